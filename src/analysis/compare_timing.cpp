#include "analysis/compare_timing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "records/metric_catalogue.hpp"

namespace tatr {
namespace {

using nlohmann::json;

constexpr double kMostSamples = 1000;  // more would take a run too long to be advised

/// The samples of a series, or none where it is null; those that are null count as not taken.
std::vector<double> samples_of(const json& list) {
  std::vector<double> samples;
  if (!list.is_array()) return samples;
  for (const json& sample : list) {
    if (sample.is_number()) samples.push_back(sample.get<double>());
  }
  return samples;
}

std::vector<double> series_of(const json& strategy, std::string_view metric) {
  const json& timing = strategy["timing"];
  if (timing.is_null() || !timing[metric].is_object() || !timing[metric].contains("samples")) return {};
  return samples_of(timing[metric]["samples"]);
}

std::vector<double> uniform_of(const json& strategy) {
  const json& timing = strategy["timing"];
  return timing.contains("uniform_samples_ms") ? samples_of(timing["uniform_samples_ms"]) : std::vector<double>{};
}

/// What the times of a pair are divided by, sample by sample.
struct Yardstick {
  std::string name;
  std::vector<double> base, next;
};

bool all_positive(const std::vector<double>& samples) {
  return !samples.empty() && *std::min_element(samples.begin(), samples.end()) > 0;
}

/// Without a name where there is none.
Yardstick yardstick_of(const StrategyPair& pair) {
  Yardstick uniform{"cublas_uniform", uniform_of(pair.base), uniform_of(pair.next)};
  if (all_positive(uniform.base) && all_positive(uniform.next)) return uniform;
  if (pair.base_none == nullptr || pair.next_none == nullptr || pair.base_none == &pair.base) return {};
  Yardstick none{"none", series_of(*pair.base_none, "layer_ms"), series_of(*pair.next_none, "layer_ms")};
  return all_positive(none.base) && all_positive(none.next) ? none : Yardstick{};
}

/// Sample by sample; empty where the series do not pair or a time is not positive.
std::vector<double> divided(std::vector<double> times, const std::vector<double>& yardstick) {
  if (times.size() != yardstick.size() || !all_positive(times)) return {};
  for (std::size_t i = 0; i < times.size(); ++i) times[i] /= yardstick[i];
  return times;
}

/// Neither the layer nor one of its GEMMs: memory and launches pace it.
bool is_pass(std::string_view metric) {
  return metric == "layer_ms" || metric == "forward_ms" || metric == "backward_ms";
}

bool is_gemm(std::string_view metric) {
  return std::any_of(kStages.begin(), kStages.end(),
                     [&](const StageInfo& stage) { return stage.metric == metric && !stage.gemm.empty(); });
}

/// Neither the whole of a pass nor one of its GEMMs.
bool is_stage(std::string_view metric) { return !is_pass(metric) && !is_gemm(metric); }

double margin_of(std::string_view metric, const CompareThresholds& thresholds) {
  if (is_stage(metric)) return thresholds.stage_margin;
  return is_pass(metric) ? thresholds.layer_margin : thresholds.gemm_margin;
}

/// Whether a series of this metric has samples and is not too short to be judged.
bool is_long_enough(const std::vector<double>& samples, std::string_view metric, const CompareThresholds& thresholds) {
  const double ms = metric.ends_with("_us") ? 1e-3 : 1.0;
  return !samples.empty() && ms * quantile(samples, 0.5) >= thresholds.least_ms;
}

/// Half the width of an interval, as a share.
double half_width(const Interval& interval) { return 0.5 * std::log(interval.high / interval.low); }

/// About how many samples would tell, where `samples` do not: intervals shrink with their square root, and must fit
/// between the ratio and its margin, or where the ratio is beyond it between the ratio and 1. Nothing tells a ratio
/// that lies on its margin.
std::optional<double> samples_to_tell(const Interval& ratio, const Interval& sure, double margin, double samples) {
  const double far = std::abs(std::log(ratio.value)), edge = std::log(1 + margin);
  if (far == edge) return std::nullopt;
  double times = half_width(ratio) / std::abs(far - edge);
  if (far > edge) times = std::max(times, half_width(sure) / far);
  const double needed = std::max(samples * times * times, samples + 1);
  return std::isfinite(needed) && needed <= kMostSamples ? std::optional(std::ceil(needed)) : std::nullopt;
}

/// Sets verdict and reason from intervals alone: the ordinary one, which is shown and says how much, and the one that
/// is sure that there is a difference at all.
void judge(MetricChange& change, const Interval& sure, double margin, const std::string& yardstick) {
  const Interval& ratio = *change.time->ratio;
  const double most = 1 + margin, least = 1 / most;
  const char* why = "neither within nor beyond";
  change.change = Change::kAmbiguous;
  if (ratio.low >= least && ratio.high <= most) {
    change.change = Change::kSame;
    why = "within";
  } else if (ratio.low > most || ratio.high < least) {
    why = "not surely, among so many times, beyond";
    if (sure.low > 1 || sure.high < 1) {
      change.change = sure.low > 1 ? Change::kSlower : Change::kFaster;
      why = "beyond";
    }
  }
  change.reason = fmt::format("{:.3f} [{:.3f}, {:.3f}] of BASE, over {}: {} {:.3g} %", ratio.value, ratio.low,
                              ratio.high, yardstick, why, margin * 100);
}

/// Of the pair's series of the change's metric, which both have.
void judge_series(MetricChange& change, const StrategyPair& pair, const Yardstick& yardstick, const TimeRules& rules) {
  const std::vector<double> base = series_of(pair.base, change.metric), next = series_of(pair.next, change.metric);
  const auto ambiguous = [&](const std::string& reason) {
    change.change = Change::kAmbiguous;
    change.reason = reason;
  };
  if (yardstick.name.empty() && pair.base_none == &pair.base) {
    change.reason = "is the yardstick itself: shown, not judged";
    return;
  }
  if (rules.on_cpu && is_stage(change.metric)) {
    change.reason = "on a CPU it moves more from run to run than a run's samples tell: shown, not judged";
    return;
  }
  if (yardstick.name.empty()) return ambiguous("no yardstick in both: neither cublas_uniform nor none");
  const double fewest = static_cast<double>(std::min(base.size(), next.size()));
  if (fewest < rules.thresholds.least_samples) {
    change.samples_needed = rules.thresholds.least_samples;
    return ambiguous(fmt::format("{} samples; at least {} needed", fewest, rules.thresholds.least_samples));
  }
  if (pair.base["rows"] != pair.next["rows"]) {
    return ambiguous(fmt::format("rows changed: {} → {}; times are of other work", pair.base["rows"].dump(),
                                 pair.next["rows"].dump()));
  }
  const std::vector<double> base_ratios = divided(base, yardstick.base);
  const std::vector<double> next_ratios = divided(next, yardstick.next);
  if (base_ratios.empty() || next_ratios.empty()) {
    return ambiguous("samples do not pair with those of " + yardstick.name);
  }
  change.time->ratio = independent_ratio(base_ratios, next_ratios);
  const Interval sure = independent_ratio(base_ratios, next_ratios, rules.sure);
  const double margin = margin_of(change.metric, rules.thresholds);
  judge(change, sure, margin, yardstick.name);
  if (change.change == Change::kAmbiguous) {
    change.samples_needed = samples_to_tell(*change.time->ratio, sure, margin, fewest);
  }
}

}  // namespace

std::int64_t tile_of(const json& strategy) {
  return strategy["tile"].is_null() ? 0 : strategy["tile"].get<std::int64_t>();
}

bool is_modelled(const json& strategy) {
  return !strategy["timing"].is_null() && strategy["timing"].value("kind", "") == "modelled";
}

NoneIndex::NoneIndex(const json& strategies) {
  for (const json& strategy : strategies) {
    if (strategy["name"] != "none") continue;
    const std::int64_t layer = strategy["layer"];
    first_.emplace(layer, &strategy);
    beside_.emplace(std::pair(layer, tile_of(strategy)), &strategy);
  }
}

const json* NoneIndex::beside(const json& strategy) const {
  const auto found = [](const auto& map, const auto& key) -> const json* {
    const auto entry = map.find(key);
    return entry == map.end() ? nullptr : entry->second;
  };
  const std::int64_t layer = strategy["layer"], tile = tile_of(strategy);
  return tile == 0 ? found(first_, layer) : found(beside_, std::pair(layer, tile));
}

std::vector<Quotient> quotients_of(const json& strategy, const json* none) {
  std::vector<Quotient> quotients;
  if (strategy["timing"].is_null() || is_modelled(strategy)) return quotients;
  const Yardstick yardstick = yardstick_of({strategy, strategy, none, none});
  if (yardstick.name.empty()) return quotients;
  for (const TimeMetric& known : kTimeMetrics) {
    const std::string metric(known.name);
    if (is_stage(metric)) continue;
    const std::vector<double> times = series_of(strategy, metric), ratios = divided(times, yardstick.base);
    if (ratios.empty()) continue;
    quotients.push_back({metric, yardstick.name, quantile(ratios, 0.5), quantile(times, 0.5), ratios.size()});
  }
  return quotients;
}

TimeRules rules_for(const json& strategies, bool on_cpu, const CompareThresholds& thresholds) {
  std::size_t judged = 0;
  for (const json& strategy : strategies) {
    for (const TimeMetric& metric : kTimeMetrics) {
      if (on_cpu && is_stage(metric.name)) continue;
      judged += is_long_enough(series_of(strategy, metric.name), metric.name, thresholds);
    }
  }
  // The share of a two-sided interval that lies on one side is half of what it leaves out.
  return {thresholds, 1 - 2 * thresholds.false_alarm / static_cast<double>(std::max<std::size_t>(judged, 1)), on_cpu};
}

std::vector<MetricChange> compare_times(const StrategyPair& pair, const MetricChange& place, const TimeRules& rules) {
  std::vector<MetricChange> changes;
  if (pair.base["timing"].is_null()) return changes;
  const Yardstick yardstick = pair.next["timing"].is_null() ? Yardstick{} : yardstick_of(pair);
  for (const TimeMetric& metric : kTimeMetrics) {
    const std::vector<double> base = series_of(pair.base, metric.name), next = series_of(pair.next, metric.name);
    if (base.empty()) continue;
    MetricChange change = place;
    change.metric = metric.name;
    if (next.empty()) {
      change.change = Change::kMissing;
      change.reason = "NEW did not measure it";
    } else {
      if (!is_long_enough(base, metric.name, rules.thresholds) &&
          !is_long_enough(next, metric.name, rules.thresholds)) {
        continue;
      }
      change.time = TimeChange{quantile(base, 0.5), quantile(next, 0.5), std::nullopt};
      judge_series(change, pair, yardstick, rules);
    }
    changes.push_back(std::move(change));
  }
  return changes;
}

std::optional<YardstickChange> yardstick_change(const StrategyPair& pair) {
  const Yardstick yardstick = yardstick_of(pair);
  if (yardstick.name.empty()) return std::nullopt;
  return YardstickChange{yardstick.name, independent_ratio(yardstick.base, yardstick.next)};
}

}  // namespace tatr
