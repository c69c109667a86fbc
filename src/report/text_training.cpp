#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/statistics.hpp"
#include "report/format.hpp"
#include "report/text_sections.hpp"

namespace tatr {
namespace {

/// What one training came to.
struct Outcome {
  double rounding_loss = 0, utilisation = 0, task_loss = 0;
  double moved = std::numeric_limits<double>::quiet_NaN();  // by `nearest`: assignments dropped or added, as a share
};

/// By weight, then by seed.
using OutcomesOfWeight = std::map<double, std::map<std::uint64_t, Outcome>>;

std::optional<Outcome> outcome_of(const ExperimentRecord& experiment) {
  if (experiment.routing.empty() || !experiment.routing.front().task_loss) return std::nullopt;
  const std::int64_t tile = experiment.config.router.source.training.tile;
  Outcome outcome;
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
std::vector<Group> group(const RunRecord& run) {
  std::vector<Group> groups;
  std::map<std::string, std::size_t> places;  // by what is shared
  for (const ExperimentRecord& experiment : run.experiments) {
    const std::optional<Outcome> outcome = outcome_of(experiment);
    if (!outcome) continue;
    nlohmann::json shared = nlohmann::json::parse(experiment.config.effective_json);
    for (const char* key : {"name", "seed"}) shared.erase(key);
    shared["router"]["source"].erase("rounding_weight");
    const auto [place, is_new] = places.emplace(shared.dump(), groups.size());
    if (is_new) groups.push_back(Group{shared, {}});
    groups[place->second].outcomes[experiment.config.router.source.training.rounding_weight][experiment.config.seed] =
        *outcome;
  }
  return groups;
}

/// Changes against the lowest weight, seed by seed.
std::vector<double> changes(const OutcomesOfWeight& outcomes, double weight, double Outcome::*value, bool relative) {
  const auto& base = outcomes.begin()->second;
  std::vector<double> all;
  for (const auto& [seed, outcome] : outcomes.at(weight)) {
    const auto without = base.find(seed);
    if (without == base.end()) continue;
    const double change = outcome.*value - without->second.*value;
    all.push_back(relative ? change / without->second.*value : change);
  }
  return all;
}

std::optional<Interval> interval_of(const std::vector<double>& values) {
  return values.size() < 2 ? std::nullopt : std::optional(mean_interval(values));
}

std::string percent_words(const std::optional<Interval>& change) {
  if (!change) return kAbsent;
  const auto words = [](double share) { return fmt::format("{:+.{}f}", 100 * share, std::abs(share) < 0.1 ? 1 : 0); };
  return fmt::format("{}% [{}, {}]", words(change->value), words(change->low), words(change->high));
}

double mean_of(const std::map<std::uint64_t, Outcome>& outcomes, double Outcome::*value) {
  double sum = 0;
  for (const auto& [seed, outcome] : outcomes) sum += outcome.*value;
  return sum / static_cast<double>(outcomes.size());
}

bool has_moved(const OutcomesOfWeight& outcomes) {
  return std::all_of(outcomes.begin(), outcomes.end(),
                     [](const auto& one) { return std::isfinite(mean_of(one.second, &Outcome::moved)); });
}

/// The lowest weight that changes a value for the better beyond chance, and the change, with its price; or that none
/// does. `gain` is 1 where more is better, -1 where less is.
std::string effect_words(const OutcomesOfWeight& outcomes, double Outcome::*value, double gain,
                         const std::string& effect, const std::string& no_effect) {
  for (auto one = std::next(outcomes.begin()); one != outcomes.end(); ++one) {
    const double weight = one->first;
    const auto change = interval_of(changes(outcomes, weight, value, false));
    if (!change || std::min(gain * change->low, gain * change->high) <= 0) continue;
    return fmt::format("Weight {} {}: {} points, for {} of task loss. ", format_value(weight), effect,
                       percent_words(change),
                       percent_words(interval_of(changes(outcomes, weight, &Outcome::task_loss, true))));
  }
  return no_effect;
}

std::string verdict(const OutcomesOfWeight& outcomes) {
  for (const auto& [weight, of_seed] : outcomes) {
    if (of_seed.size() < 2) return "Give each weight two seeds or more to see what is chance.";
  }
  return effect_words(outcomes, &Outcome::utilisation, 1, "fills tiles better",
                      "No weight fills tiles better than chance would. ") +
         (has_moved(outcomes) ? effect_words(outcomes, &Outcome::moved, -1, "leaves nearest less to move",
                                             "No weight leaves nearest less to move.")
                              : "");
}

std::string table_of(const OutcomesOfWeight& outcomes) {
  Table table({"Weight", "Loss", "Filled", "Change", "Task", "Change", "Moved"});
  for (const auto& [weight, of_seed] : outcomes) {
    const bool base = weight == outcomes.begin()->first;
    const auto change = [&, weight = weight](double Outcome::*value, bool relative) {  // a binding, to Clang 14
      return base ? std::string(kAbsent) : percent_words(interval_of(changes(outcomes, weight, value, relative)));
    };
    table.add_row({weight == 0 ? "0" : format_value(weight), format_value(mean_of(of_seed, &Outcome::rounding_loss)),
                   format_percent(mean_of(of_seed, &Outcome::utilisation)), change(&Outcome::utilisation, false),
                   format_value(mean_of(of_seed, &Outcome::task_loss)), change(&Outcome::task_loss, true),
                   has_moved(outcomes) ? format_percent(mean_of(of_seed, &Outcome::moved)) : kAbsent});
  }
  return table.render();
}

}  // namespace

std::string training_section(const RunRecord& run, const TextOptions& options) {
  std::string text;
  for (const auto& [shared, outcomes] : group(run)) {
    if (outcomes.size() < 2) continue;
    const nlohmann::json& source = shared["router"]["source"];
    const std::size_t seeds = outcomes.begin()->second.size();
    text += text.empty() ? heading("Auxiliary Loss", options) : "\n";
    text +=
        fmt::format("Router trained with a weight on the rounding loss ({}, tile {}), {} seed{}:\n",
                    source["surrogate"].get<std::string>(), source["round_to"].dump(), seeds, seeds == 1 ? "" : "s");
    text += table_of(outcomes) + wrap(verdict(outcomes), 2, 0);
  }
  if (text.empty()) return text;
  return text + wrap(
                    "On batches not trained on. Loss: of rounding, mean of (count mod tile) / tile. Filled: "
                    "utilization of the "
                    "tiles without rounding. Task: share of the target that the layer misses. Moved: assignments that "
                    "nearest drops or adds. Change: against the lowest weight at the same seeds, with a 95 % interval "
                    "(Student's t).",
                    2, 0);
}

}  // namespace tatr
