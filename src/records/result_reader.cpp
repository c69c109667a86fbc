#include "records/result_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "config/read.hpp"
#include "core/error.hpp"
#include "records/metric_catalogue.hpp"
#include "records/result_writer.hpp"

namespace tatr {
namespace {

using nlohmann::json;

const json& null_value() {
  static const json kNull;
  return kNull;
}

/// Null where the object, or the key, is absent.
const json& at(const json& from, std::string_view key) {
  if (!from.is_object()) return null_value();
  const auto found = from.find(std::string(key));
  return found == from.end() ? null_value() : *found;
}

std::optional<double> number(const json& value) {
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

std::int64_t integer(const json& value) { return value.is_number() ? value.get<std::int64_t>() : 0; }

std::string text(const json& value) { return value.is_string() ? value.get<std::string>() : std::string(); }

template <class Value>
std::vector<Value> list(const json& values) {
  std::vector<Value> read;
  if (!values.is_array()) return read;
  read.reserve(values.size());
  for (const json& value : values) read.push_back(value.is_null() ? Value{} : value.get<Value>());
  return read;
}

std::optional<Interval> interval(const json& from) {
  const auto value = number(at(from, "value")), low = number(at(from, "low")), high = number(at(from, "high"));
  if (!value || !low || !high) return std::nullopt;
  return Interval{*value, *low, *high};
}

TimingSeries series(const json& from) {
  TimingSeries read;
  if (!from.is_object()) return read;
  read.modelled = interval(from);
  read.samples = list<double>(at(from, "samples"));
  read.median = number(at(from, "median")).value_or(0);
  read.lower_quartile = number(at(from, "lower_quartile")).value_or(0);
  read.upper_quartile = number(at(from, "upper_quartile")).value_or(0);
  return read;
}

std::optional<GemmFloor> floor(const json& from) {
  const auto ms = number(at(from, "ms"));
  return ms ? std::optional(GemmFloor{*ms, at(from, "bound") == "bytes"}) : std::nullopt;
}

std::optional<TimingKind> timing_kind(const json& kind) {
  if (!kind.is_string()) return std::nullopt;
  return kind == "modelled" ? TimingKind::kModelled : TimingKind::kMeasured;
}

std::optional<LayerTiming> timing(const json& from) {
  if (!from.is_object()) return std::nullopt;
  LayerTiming read;
  read.kind = timing_kind(at(from, "kind")).value_or(TimingKind::kMeasured);
  read.backend = text(at(from, "backend"));
  read.training = at(from, "pass") == "training";
  read.fuses_gather = at(at(from, "fused"), "gather") == true;
  read.fuses_swiglu = at(at(from, "fused"), "swiglu") == true;
  if (const json& rows = at(from, "granule_rows"); rows.is_number()) read.granule_rows = integer(rows);
  if (const json& launches = at(from, "launches"); launches.is_number()) read.launches = launches.get<int>();
  read.cpu_reduced = at(from, "cpu_reduced") == true;
  read.hidden = integer(at(at(from, "shape"), "hidden"));
  read.intermediate = integer(at(at(from, "shape"), "intermediate"));
  for (const TimeMetric& metric : kTimeMetrics) {
    TimingSeries& into = metric.member != nullptr ? read.*metric.member : read.of(metric.stage);
    into = series(at(from, metric.name));
  }
  for (const RatioMetric& metric : kRatioMetrics) read.*metric.member = interval(at(from, metric.name));
  for (const TimingValue& metric : kTimingValues) read.*metric.member = number(at(from, metric.name));
  read.end_to_end_counts = list<std::string>(at(from, "end_to_end_counts"));
  for (std::size_t i = 0; i < kStages.size(); ++i) {
    const std::string_view gemm = kStages[i].gemm;
    if (gemm.empty()) continue;
    read.floors[i] = floor(at(at(from, "floors"), gemm));
    read.variants[i] = text(at(at(from, "kernels"), gemm));
    if (const json& rows = at(at(from, "granules"), gemm); rows.is_number()) read.granules[i] = integer(rows);
  }
  if (const json& bytes = at(from, "kept_bytes_per_row"); bytes.is_number()) read.kept_bytes_per_row = integer(bytes);
  read.uniform_samples_ms = list<double>(at(from, "uniform_samples_ms"));
  return read;
}

/// What is known of the routing follows from the words for what is not.
Known known_by(const json& unknown) {
  RoundingMetrics metrics;
  for (const Known known : {Known::kCounts, Known::kChoices}) {
    metrics.known = known;
    if (unknown == why_unknown(metrics)) return known;
  }
  return Known::kScores;
}

RoundingMetrics metrics(const json& from) {
  RoundingMetrics read;
  read.known = known_by(at(from, "unknown"));
  read.tile = integer(at(from, "tile"));
  for (const RoundingMetric& metric : kRoundingMetrics) {
    const json& value = at(from, metric.name);
    if (metric.is_count()) {
      read.*metric.count = integer(value);
    } else {
      read.*metric.real = number(value).value_or(std::numeric_limits<double>::quiet_NaN());
    }
  }
  read.counts_before = list<std::int32_t>(at(from, "counts_before"));
  read.counts_after = list<std::int32_t>(at(from, "counts_after"));
  read.tiles_per_expert = list<std::int32_t>(at(from, "tiles_per_expert"));
  const json& last = at(from, "last_tile_utilisation");
  for (const json& value : last.is_array() ? last : json::array()) {
    read.last_tile_utilisation.push_back(number(value).value_or(-1));
  }
  return read;
}

std::optional<PerplexityEstimate> estimate(const json& from) {
  const auto change = interval(from);
  if (!change) return std::nullopt;
  return PerplexityEstimate{change->value, change->low, change->high, text(at(from, "calibration"))};
}

QualityEstimate quality(const json& from) {
  return {estimate(at(from, "estimated_perplexity_change")), estimate(at(from, "estimated_perplexity_change_trained")),
          text(at(from, "why_not_estimated")), list<std::string>(at(from, "estimate_beyond")),
          at(from, "estimate_is_ranking") == true};
}

std::optional<BatchRecord> batches(const json& from) {
  if (!from.is_object()) return std::nullopt;
  BatchRecord read;
  read.tokens = integer(at(from, "tokens"));
  read.groups.resize(static_cast<std::size_t>(std::max<std::int64_t>(integer(at(from, "count")), 0)));
  for (const RoundingMetric& metric : kRoundingMetrics) {
    const json& spread = at(at(from, "metrics"), metric.name);
    auto& into = read.spread.emplace_back();
    if (!spread.is_object()) continue;
    into = BatchSpread{number(at(spread, "mean")).value_or(0), number(at(spread, "deviation")),
                       number(at(spread, "worst")).value_or(0), integer(at(spread, "worst_group"))};
  }
  read.median_group = integer(at(from, "median_group"));
  read.worst_group = integer(at(from, "worst_group"));
  read.worst_timing = timing(at(from, "worst_timing"));
  read.worst_layer_ms = number(at(from, "worst_layer_ms"));
  return read;
}

std::optional<WaveRecord> waves(const json& from) {
  if (!from.is_object()) return std::nullopt;
  const auto real = [&](const char* key) { return number(at(from, key)).value_or(0); };
  return WaveRecord{real("asked"),  integer(at(from, "sms")),           integer(at(from, "column_tiles")),
                    real("filled"), integer(at(from, "nearest_tiles")), real("nearest_waves")};
}

std::optional<ParallelRecord> parallel(const json& from) {
  if (!from.is_object()) return std::nullopt;
  ParallelRecord read;
  for (const json& rank : at(from, "ranks")) {
    read.ranks.push_back({integer(at(rank, "experts")), integer(at(rank, "tiles")), integer(at(rank, "rows")),
                          integer(at(rank, "sent_rows")), integer(at(rank, "received_rows")),
                          integer(at(rank, "sent_copies")), integer(at(rank, "received_copies"))});
  }
  read.busiest_tiles = number(at(from, "busiest_tiles_over_mean")).value_or(0);
  read.busiest_rows = number(at(from, "busiest_rows_over_mean")).value_or(0);
  read.wire_rows = integer(at(from, "wire_rows"));
  read.wire_copies = integer(at(from, "wire_copies"));
  if (const json& bytes = at(from, "wire_bytes"); bytes.is_number()) read.wire_bytes = integer(bytes);
  return read;
}

/// As the config has it; of a name alone where it has none of that label.
StrategyConfig strategy_config(const json& from, const ExperimentConfig& config) {
  const std::string label = text(at(from, "label")), name = text(at(from, "name"));
  for (const StrategyConfig& one : config.strategies) {
    if (one.label == label && one.name == name) return one;
  }
  StrategyConfig made;
  made.name = name;
  made.label = label;
  for (const StrategyRow& row : kStrategies) {
    if (row.name == name) made.kind = row.kind;
  }
  return made;
}

StrategyRecord strategy(const json& from, const ExperimentConfig& config) {
  StrategyRecord read;
  read.strategy = strategy_config(from, config);
  read.layer = integer(at(from, "layer"));
  read.metrics = metrics(from);
  read.quality = quality(from);
  read.timing = timing(at(from, "timing"));
  read.warnings = list<std::string>(at(from, "warnings"));
  read.waves = waves(at(from, "waves"));
  read.batches = batches(at(from, "batches"));
  read.parallel = parallel(at(from, "parallel"));
  return read;
}

NetworkRecord network(const json& from, const ExperimentRecord& experiment) {
  NetworkRecord read;
  const StrategyConfig strategy = strategy_config(from, experiment.config);
  read.name = strategy.name;
  read.label = strategy.label;
  read.kind = strategy.kind;
  read.metrics = metrics(from);
  read.own_tiles = read.metrics.tile == 0;
  const std::vector<std::int64_t>& tiles = experiment.config.tiles;
  read.tile = read.own_tiles && !tiles.empty() ? tiles.front() : read.metrics.tile;
  read.quality = quality(from);
  read.lowest_utilisation = number(at(from, "lowest_tile_utilisation")).value_or(1);
  read.highest_dropped_mass =
      number(at(from, "highest_dropped_gate_mass")).value_or(std::numeric_limits<double>::quiet_NaN());
  read.timing_kind = timing_kind(at(from, "timing_kind"));
  read.cpu_reduced = at(from, "cpu_reduced") == true;
  read.layer_ms = number(at(from, "layer_ms"));
  read.gemm_ms = number(at(from, "gemm_ms"));
  read.speedup = number(at(from, "speedup_of_sums"));
  read.speedup_over_fastest = interval(at(from, "speedup_over_fastest_none"));
  read.batches = batches(at(from, "batches"));
  for (std::size_t place = 0; place < experiment.strategies.size(); ++place) {
    const StrategyRecord& one = experiment.strategies[place];
    if (one.strategy.label == read.label && one.metrics.tile == read.metrics.tile) read.layers.push_back(place);
  }
  return read;
}

RoutingRecord routing(const json& from) {
  RoutingRecord read;
  read.layer = integer(at(from, "layer"));
  read.tensor = text(at(from, "tensor"));
  read.tokens = integer(at(from, "tokens"));
  read.masked = integer(at(from, "masked"));
  read.experts = integer(at(from, "experts"));
  read.top_k = integer(at(from, "top_k"));
  read.assignments = integer(at(from, "assignments"));
  const json& counts = at(from, "counts");
  read.count_min = integer(at(counts, "min"));
  read.count_max = integer(at(counts, "max"));
  read.count_median = number(at(counts, "median")).value_or(0);
  read.count_cv = number(at(counts, "cv")).value_or(0);
  read.task_loss = number(at(from, "task_loss"));
  return read;
}

DocumentedRecord documented(const json& from) {
  DocumentedRecord read;
  read.figure = {text(at(from, "metric")), text(at(from, "strategy")), integer(at(from, "tile")),
                 number(at(from, "documented")).value_or(0), text(at(from, "source"))};
  read.measured = number(at(from, "measured"));
  for (const Verdict verdict :
       {Verdict::kReproduced, Verdict::kDiffers, Verdict::kInconsistent, Verdict::kNotMeasured}) {
    if (at(from, "verdict") == verdict_name(verdict)) read.verdict = verdict;
  }
  read.why = text(at(from, "why"));
  return read;
}

/// Of the GPU its names, and what its times may be off by.
std::optional<GpuModel> model(const json& from) {
  if (!from.is_object()) return std::nullopt;
  GpuModel read;
  read.id = text(at(from, "id"));
  read.name = text(at(from, "name"));
  read.source = text(at(from, "source"));
  const json& error = at(from, "error");
  const auto real = [&](const char* key) { return number(at(error, key)).value_or(0); };
  read.error = {real("median"),
                real("p90"),
                real("ratio"),
                integer(at(error, "cases")),
                text(at(error, "where")),
                at(error, "own") == true,
                number(at(error, "ratio_across_tiles"))};
  read.from = FiguresFrom::kMeasured;
  if (text(at(from, "doubt")) != doubt_of(read)) read.from = FiguresFrom::kDatasheet;
  return read;
}

/// The one that the program carries with all that it says, another by its name.
std::optional<Calibration> calibration(const json& from) {
  if (!from.is_object()) return std::nullopt;
  if (text(at(from, "digest")) == default_calibration().digest) return default_calibration();
  Calibration read;
  read.name = text(at(from, "name"));
  read.digest = text(at(from, "digest"));
  return read;
}

std::optional<std::string> text_or_nothing(const json& value) {
  return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
}

Environment environment(const json& from) {
  Environment read;
  read.host = text(at(from, "host"));
  read.cpu = text(at(from, "cpu"));
  read.date = text(at(from, "date"));
  read.threads = static_cast<int>(integer(at(from, "threads")));
  read.device = text(at(from, "device"));
  read.driver = text_or_nothing(at(from, "driver"));
  read.cuda = text_or_nothing(at(from, "cuda"));
  read.sm_clock_mhz = number(at(from, "sm_clock_mhz"));
  read.power_w = number(at(from, "power_w"));
  read.back_ends = list<std::string>(at(from, "back_ends"));
  return read;
}

ExperimentConfig config(const json& from, const std::string& source) {
  const std::string name = text(at(from, "name"));
  try {
    ExperimentConfig read = parse_experiment(at(from, "config"), source);
    read.hash = text(at(from, "config_hash"));
    return read;
  } catch (const ConfigError& error) {
    throw ConfigError(source, fmt::format("the config of experiment {} is of another version of the program ({}); "
                                          "tatr-sim report makes a page of it",
                                          name, error.problem()));
  }
}

ExperimentRecord experiment(const json& from, const std::string& source) {
  ExperimentRecord read;
  read.config = config(from, source);
  read.calibration = calibration(at(at(from, "inputs"), "calibration"));
  read.reach = text(at(at(at(from, "inputs"), "calibration"), "reach"));
  if (read.calibration && read.reach.empty()) read.reach = reach_words(Calibration{}, /*ranking=*/false);
  read.trace_digest = text(at(at(at(from, "inputs"), "trace"), "digest"));
  read.trace_model = text(at(at(at(from, "inputs"), "trace"), "model"));
  read.reading = text(at(from, "reading"));
  read.model = model(at(from, "model"));
  for (const json& one : at(from, "routing")) read.routing.push_back(routing(one));
  for (const json& one : at(from, "strategies")) read.strategies.push_back(strategy(one, read.config));
  for (const json& one : at(from, "network")) read.network.push_back(network(one, read));
  for (const json& one : at(from, "documented")) read.documented.push_back(documented(one));
  read.estimated_bytes = static_cast<std::size_t>(integer(at(at(from, "memory"), "estimated_bytes")));
  read.peak_bytes = static_cast<std::size_t>(integer(at(at(from, "memory"), "peak_bytes")));
  read.warnings = list<std::string>(at(from, "warnings"));
  read.error = text_or_nothing(at(from, "error"));
  return read;
}

TrainingWeightRecord training_weight(const json& from) {
  const auto real = [&](const char* key) { return number(at(from, key)).value_or(0); };
  return {real("weight"),
          list<std::string>(at(from, "experiments")),
          real("rounding_loss"),
          real("tile_utilisation"),
          real("task_loss"),
          number(at(from, "moved")),
          interval(at(from, "tile_utilisation_change")),
          interval(at(from, "task_loss_change")),
          interval(at(from, "moved_change"))};
}

TrainingRecord training(const json& from) {
  TrainingRecord read{
      text(at(from, "surrogate")), integer(at(from, "tile")), static_cast<std::size_t>(integer(at(from, "seeds"))), {}};
  for (const json& weight : at(from, "weights")) read.weights.push_back(training_weight(weight));
  return read;
}

}  // namespace

RunRecord read_run(const ResultDocument& result) {
  const json& document = result.document;
  RunRecord run;
  run.version = text(at(at(document, "tool"), "version"));
  run.git = text(at(at(document, "tool"), "git"));
  run.environment = environment(at(document, "environment"));
  for (const json& one : at(document, "experiments")) run.experiments.push_back(experiment(one, result.source));
  for (const json& one : at(document, "training")) run.training.push_back(training(one));
  return run;
}

}  // namespace tatr
