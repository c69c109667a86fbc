#include "analysis/training_effect.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/statistics.hpp"

namespace tatr {
namespace {

/// What one training came to.
struct Outcome {
  double rounding_loss = 0, utilisation = 0, task_loss = 0;
  std::string experiment;
  double moved = std::numeric_limits<double>::quiet_NaN();  // by `nearest`: assignments dropped or added, as a share
};

/// By weight, then by seed.
using OutcomesOfWeight = std::map<double, std::map<std::uint64_t, Outcome>>;

std::optional<Outcome> outcome_of(const ExperimentRecord& experiment) {
  if (experiment.routing.empty() || !experiment.routing.front().task_loss) return std::nullopt;
  if (experiment.config.router.source.trained() == nullptr) return std::nullopt;
  const std::int64_t tile = experiment.config.router.source.trained()->tile;
  Outcome outcome;
  outcome.experiment = experiment.config.name;
  outcome.task_loss = *experiment.routing.front().task_loss;
  bool unrounded = false;
  for (const StrategyRecord& record : experiment.strategies) {
    const RoundingMetrics& metrics = record.metrics;
    if (metrics.tile != tile) continue;
    if (record.strategy.kind == StrategyKind::kNone) {
      outcome.rounding_loss = metrics.rounding_loss;
      outcome.utilisation = metrics.tile_utilisation;
      unrounded = true;
    }
    if (record.strategy.kind == StrategyKind::kNearest) outcome.moved = metrics.dropped_share + metrics.added_share;
  }
  return unrounded ? std::optional(outcome) : std::nullopt;
}

/// Trainings whose configs are the same but for weight and seed.
struct Group {
  nlohmann::json shared;
  OutcomesOfWeight outcomes;
};

/// In the order of the run.
std::vector<Group> group(const std::vector<ExperimentRecord>& experiments) {
  std::vector<Group> groups;
  std::map<std::string, std::size_t> places;  // by what is shared
  for (const ExperimentRecord& experiment : experiments) {
    const std::optional<Outcome> outcome = outcome_of(experiment);
    if (!outcome) continue;
    nlohmann::json shared = nlohmann::json::parse(experiment.config.effective_json);
    for (const char* key : {"name", "seed"}) shared.erase(key);
    shared["router"]["source"].erase("rounding_weight");
    const auto [place, is_new] = places.emplace(shared.dump(), groups.size());
    if (is_new) groups.push_back(Group{shared, {}});
    groups[place->second].outcomes[experiment.config.router.source.trained()->rounding_weight][experiment.config.seed] =
        *outcome;
  }
  return groups;
}

/// Changes against the lowest weight, seed by seed.
std::optional<Interval> change_of(const OutcomesOfWeight& outcomes, double weight, double Outcome::*value,
                                  bool relative) {
  const auto& base = outcomes.begin()->second;
  std::vector<double> all;
  for (const auto& [seed, outcome] : outcomes.at(weight)) {
    const auto without = base.find(seed);
    if (without == base.end()) continue;
    const double change = outcome.*value - without->second.*value;
    all.push_back(relative ? change / without->second.*value : change);
  }
  return all.size() < 2 ? std::nullopt : std::optional(mean_interval(all));
}

double mean_of(const std::map<std::uint64_t, Outcome>& outcomes, double Outcome::*value) {
  double sum = 0;
  for (const auto& [seed, outcome] : outcomes) sum += outcome.*value;
  return sum / static_cast<double>(outcomes.size());
}

TrainingWeightRecord describe(const OutcomesOfWeight& outcomes, double weight) {
  const auto& of_seed = outcomes.at(weight);
  TrainingWeightRecord record;
  record.weight = weight;
  for (const auto& [seed, outcome] : of_seed) record.experiments.push_back(outcome.experiment);
  record.rounding_loss = mean_of(of_seed, &Outcome::rounding_loss);
  record.tile_utilisation = mean_of(of_seed, &Outcome::utilisation);
  record.task_loss = mean_of(of_seed, &Outcome::task_loss);
  const double moved = mean_of(of_seed, &Outcome::moved);
  if (std::isfinite(moved)) record.moved = moved;
  if (weight == outcomes.begin()->first) return record;
  record.tile_utilisation_change = change_of(outcomes, weight, &Outcome::utilisation, false);
  record.task_loss_change = change_of(outcomes, weight, &Outcome::task_loss, true);
  if (record.moved) record.moved_change = change_of(outcomes, weight, &Outcome::moved, false);
  return record;
}

}  // namespace

std::vector<TrainingRecord> training_effects(const std::vector<ExperimentRecord>& experiments) {
  std::vector<TrainingRecord> records;
  for (const auto& [shared, outcomes] : group(experiments)) {
    if (outcomes.size() < 2) continue;
    const nlohmann::json& source = shared["router"]["source"];
    TrainingRecord& record = records.emplace_back();
    record.surrogate = source["surrogate"];
    record.tile = source["round_to"];
    record.seeds = outcomes.begin()->second.size();
    for (const auto& [weight, of_seed] : outcomes) record.weights.push_back(describe(outcomes, weight));
  }
  return records;
}

}  // namespace tatr
