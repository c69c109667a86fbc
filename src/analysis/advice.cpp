#include "analysis/advice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "analysis/batches.hpp"
#include "analysis/gain.hpp"
#include "analysis/worth.hpp"
#include "core/error.hpp"
#include "core/format.hpp"
#include "model/known_errors.hpp"
#include "model/tile_cost.hpp"
#include "records/metric_catalogue.hpp"

namespace tatr {

namespace {

constexpr double kWorthwhile = 1.02;  // less is within what clocks and placement change from day to day

/// Milliseconds of all layers with their rounding; absent unless every layer has times of its whole shape.
std::optional<double> time_ms(const ExperimentRecord& experiment, const NetworkRecord& network) {
  if (!network.layer_ms || network.cpu_reduced) return std::nullopt;
  return milliseconds_of(experiment, network, Rounding::kIncluded);
}

/// Of the first layer that has any.
std::string doubt_of_times(const ExperimentRecord& experiment, const NetworkRecord& network) {
  if (!experiment.model || network.own_tiles) return {};
  for (const std::size_t place : network.layers) {
    const RoundingMetrics& metrics = experiment.strategies[place].metrics;
    if (std::string doubt = known_error(metrics.tile, metrics.counts_after); !doubt.empty()) return doubt;
  }
  return {};
}

/// Of all layers: FLOPs are proportional to them.
double rows_of(const ExperimentRecord& experiment, const NetworkRecord& network, bool training) {
  double rows = 0;
  for (const std::size_t place : network.layers) {
    const RoundingMetrics& metrics = experiment.strategies[place].metrics;
    rows += training ? both_rows(metrics) : tile_rows(metrics);
  }
  return rows;
}

bool is_none(const AdviceChoice& choice) { return choice.network->kind == StrategyKind::kNone; }

bool cheaper(const AdviceChoice& a, const AdviceChoice& b) {
  return a.cost != b.cost ? a.cost < b.cost : a.quality < b.quality;
}

bool better(const AdviceChoice& a, const AdviceChoice& b) {
  return a.quality != b.quality ? a.quality < b.quality : a.cost < b.cost;
}

/// Over groups where there are several.
const RoundingMetrics& mean_metrics(const NetworkRecord& network, RoundingMetrics& room) {
  if (!network.batches) return network.metrics;
  room = mean_over(network.batches->groups);
  return room;
}

double counted_quality(const NetworkRecord& network, AdviceQuality quality) {
  RoundingMetrics room;
  const RoundingMetrics& metrics = mean_metrics(network, room);
  return quality == AdviceQuality::kDroppedShare ? metrics.dropped_share : metrics.dropped_gate_mass;
}

/// By what the limits name; where only time is limited, by the best that can be known.
AdviceQuality quality_of(const AdviceLimits& limits, const std::vector<NetworkRecord>& candidates) {
  const bool gates = std::all_of(candidates.begin(), candidates.end(),
                                 [](const NetworkRecord& network) { return network.metrics.known >= Known::kGates; });
  if (!gates && (limits.perplexity || limits.dropped_mass)) {
    throw UsageError(fmt::format("{} needs gates, and {}; --max-dropped-share needs none",
                                 limits.perplexity ? "--max-perplexity" : "--max-dropped-mass",
                                 why_unknown(candidates.front().metrics)));
  }
  if (limits.perplexity) return AdviceQuality::kPerplexity;
  if (limits.dropped_mass) return AdviceQuality::kDroppedMass;
  return limits.dropped_share || !gates ? AdviceQuality::kDroppedShare : AdviceQuality::kPerplexity;
}

std::vector<AdviceChoice> make_choices(const ExperimentRecord& experiment, Advice& advice) {
  const std::vector<NetworkRecord>& candidates = experiment.network;
  const bool timed = std::all_of(candidates.begin(), candidates.end(), [&](const NetworkRecord& network) {
    return time_ms(experiment, network).has_value();
  });
  if (timed) advice.cost = experiment.model ? AdviceCost::kModelled : AdviceCost::kMeasured;
  advice.candidates = candidates.size();
  const AdviceLimits& limits = advice.limits;
  advice.quality = quality_of(limits, candidates);
  if (limits.time_ms && !timed) {
    throw UsageError(
        "--max-time in ms needs times: a layer in the config, and a GPU or a model of one; or give a share, 90%");
  }
  std::vector<AdviceChoice> choices;
  for (const NetworkRecord& network : candidates) {
    const auto& estimate = network.quality.post_hoc;
    if (advice.by_perplexity() && !estimate) {
      advice.not_estimated.push_back(&network);
      continue;
    }
    AdviceChoice choice;
    choice.network = &network;
    choice.cost = timed ? *time_ms(experiment, network) : rows_of(experiment, network, advice.training);
    choice.quality = advice.by_perplexity() ? estimate->value : counted_quality(network, advice.quality);
    choice.calibrated = !advice.by_perplexity() || network.quality.beyond.empty();
    choices.push_back(choice);
  }
  std::stable_sort(choices.begin(), choices.end(), cheaper);  // ties stay in the order of the candidates
  return choices;
}

bool keeps(const AdviceLimits& limits, const AdviceChoice& choice, bool in_ms) {
  const NetworkRecord& network = *choice.network;
  if (limits.perplexity && !(network.quality.post_hoc && network.quality.post_hoc->high <= *limits.perplexity))
    return false;
  if (limits.dropped_mass && !(counted_quality(network, AdviceQuality::kDroppedMass) <= *limits.dropped_mass)) {
    return false;
  }
  if (limits.dropped_share && !(counted_quality(network, AdviceQuality::kDroppedShare) <= *limits.dropped_share)) {
    return false;
  }
  if (limits.time_ms && !(in_ms && choice.cost <= *limits.time_ms)) return false;
  return !limits.time_share || 1 <= *limits.time_share * choice.speedup;
}

/// Not the worse in both: the one costs less, the other is better.
bool trades(const AdviceChoice& a, const AdviceChoice& b) {
  return (a.cost < b.cost && b.quality < a.quality) || (b.cost < a.cost && a.quality < b.quality);
}

/// The cheapest that keeps a limit on quality; where only time is limited, the best that keeps it.
void choose(const std::vector<AdviceChoice>& choices, Advice& advice) {
  std::vector<AdviceChoice> kept;
  for (const AdviceChoice& choice : choices) {
    if (keeps(advice.limits, choice, advice.in_ms())) kept.push_back(choice);
  }
  const bool only_time = !advice.limits.perplexity && !advice.limits.dropped_mass && !advice.limits.dropped_share;
  std::stable_sort(kept.begin(), kept.end(), only_time ? better : cheaper);
  if (!kept.empty() && !kept.front().calibrated) advice.uncalibrated = kept.front();
  std::erase_if(kept, [](const AdviceChoice& choice) { return !choice.calibrated; });
  if (kept.empty()) return;
  advice.best = kept.front();
  const auto other =
      std::find_if(kept.begin(), kept.end(), [&](const AdviceChoice& choice) { return trades(choice, kept.front()); });
  if (other != kept.end()) advice.runner_up = *other;
}

/// Whether every setting that rounds was left out for want of an estimate.
bool none_estimated(const std::vector<AdviceChoice>& choices, const Advice& advice) {
  return !advice.not_estimated.empty() && std::all_of(choices.begin(), choices.end(), is_none);
}

std::string place_words(const NetworkRecord& network) {
  return network.own_tiles ? network.label : fmt::format("{} at tile {}", network.label, network.tile);
}

/// Why nothing is advised: no calibrated setting keeps the limits, or only plain top-k.
std::string verdict_without(const Advice& advice) {
  if (!advice.uncalibrated) return "Nothing keeps the limits; the table shows what is nearest.";
  return fmt::format(
      "Only settings beyond what the estimate is calibrated on {}: {}measure them on your model before use.",
      advice.best ? "beat plain top-k within the limits" : "keep the limits",
      advice.names_uncalibrated ? "" : "--uncalibrated names them; ");
}

/// "1.21 [1.16, 1.26] times as fast"; of rows of tiles without an interval.
std::string times_as_fast(const AdviceChoice& choice) {
  if (!choice.gain) return fmt::format("{:.2f} times as fast", choice.speedup);
  return fmt::format("{:.2f} [{:.2f}, {:.2f}] times as fast", choice.speedup, choice.gain->low, choice.gain->high);
}

std::string verdict_with(Advice& advice) {
  const bool unrounded_keeps = keeps(advice.limits, advice.unrounded, advice.in_ms());
  const bool limits_time = advice.limits.time_ms || advice.limits.time_share;
  if (is_none(*advice.best)) {
    return fmt::format("Rounding is not worth it: no strategy within the limits{} beats plain top-k at tile {}.",
                       advice.not_estimated.empty() ? "" : ", of those that the estimate covers,",
                       advice.best->network->tile);
  }
  if (limits_time && unrounded_keeps) return "Rounding is not needed: plain top-k keeps the limit on time.";
  if (advice.best->speedup < kWorthwhile) {
    return fmt::format("Rounding is not worth it: the best within the limits is {} as plain top-k at tile {}.",
                       times_as_fast(*advice.best), advice.unrounded.network->tile);
  }
  advice.worth_it = advice.best->surely_faster().value_or(true);
  return fmt::format("Rounding {}: {} as plain top-k at tile {}, its fastest, {}{}.",
                     advice.worth_it ? "is worth it" : "may be worth it", times_as_fast(*advice.best),
                     advice.unrounded.network->tile,
                     advice.cost == AdviceCost::kMeasured   ? "measured, rounding included"
                     : advice.cost == AdviceCost::kModelled ? "modelled, rounding included"
                                                            : "modelled",
                     advice.worth_it ? "" : "; the interval holds 1.00: too close to tell");
}

void judge(const std::vector<AdviceChoice>& choices, Advice& advice) {
  if (none_estimated(choices, advice)) {
    advice.verdict = fmt::format(
        "No advice: none of the {} settings that round has an estimate ({}). --max-dropped-mass needs none, "
        "--calibration takes one of your own.",
        advice.not_estimated.size(), advice.not_estimated.front()->quality.why_not);
    return;
  }
  advice.certain = advice.best && !(is_none(*advice.best) && advice.uncalibrated);
  advice.verdict = advice.certain ? verdict_with(advice) : verdict_without(advice);
  if (!advice.certain) return;
  if (advice.limits.perplexity) advice.surely_kept = true;  // keeps() asks for it
  if (advice.uncalibrated && advice.names_uncalibrated) {
    advice.verdict += fmt::format(
        " By an estimate beyond its calibration {} would be better, {:.2f} times as fast as "
        "plain top-k: measure it before use.",
        place_words(*advice.uncalibrated->network), advice.uncalibrated->speedup);
  }
}

/// Along rising cost, what is better than all before; an uncalibrated estimate hides no calibrated one.
std::vector<AdviceChoice> front_of(const std::vector<AdviceChoice>& choices) {
  double lowest = std::numeric_limits<double>::infinity(), lowest_calibrated = lowest;
  std::vector<AdviceChoice> front;
  for (const AdviceChoice& choice : choices) {
    if (choice.quality >= (choice.calibrated ? lowest_calibrated : lowest)) continue;
    lowest = std::min(lowest, choice.quality);
    if (choice.calibrated) lowest_calibrated = choice.quality;
    front.push_back(choice);
  }
  return front;
}

}  // namespace

Advice advise(const ExperimentRecord& experiment, const AdviceLimits& limits, bool name_uncalibrated, bool training) {
  Advice advice;
  advice.limits = limits;
  advice.names_uncalibrated = name_uncalibrated;
  advice.training = training || trains(experiment);
  std::vector<AdviceChoice> choices = make_choices(experiment, advice);
  const auto unrounded = std::find_if(choices.begin(), choices.end(), is_none);  // the cheapest: choices are sorted
  if (unrounded == choices.end()) throw UsageError("advice needs plain top-k, strategy none, among its candidates");
  const double base = unrounded->cost;
  const NetworkRecord& plain = *unrounded->network;
  for (AdviceChoice& choice : choices) {
    choice.speedup = choice.cost > 0 ? base / choice.cost : 1.0;
    if (!advice.in_ms()) continue;
    choice.gain = gain_over(experiment, plain, *choice.network, Rounding::kIncluded);
    choice.speedup = choice.gain->value;
    choice.doubt = doubt_of_times(experiment, *choice.network);
  }
  advice.unrounded = *unrounded;
  advice.beyond = static_cast<std::size_t>(
      std::count_if(choices.begin(), choices.end(), [](const AdviceChoice& choice) { return !choice.calibrated; }));
  advice.front = front_of(choices);
  choose(choices, advice);
  judge(choices, advice);
  return advice;
}

}  // namespace tatr
