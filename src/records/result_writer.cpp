#include "records/result_writer.hpp"

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "model/modelled_device.hpp"
#include "records/metric_catalogue.hpp"

namespace tatr {
namespace {

using Json = nlohmann::ordered_json;

/// The only way a double enters the result: JSON has no NaN and no infinity.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json number(const std::optional<double>& value) { return value ? number(*value) : Json(nullptr); }

Json text(const std::optional<std::string>& value) { return value ? Json(*value) : Json(nullptr); }

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

std::string key(std::string_view name) { return std::string(name); }

Json tile_json(std::int64_t tile) { return tile > 0 ? Json(tile) : Json(nullptr); }

Json interval_json(const std::optional<Interval>& interval) {
  if (!interval || !std::isfinite(interval->value)) return nullptr;
  return {{"value", number(interval->value)}, {"low", number(interval->low)}, {"high", number(interval->high)}};
}

const char* kind_name(TimingKind kind) { return kind == TimingKind::kModelled ? "modelled" : "measured"; }

Json series_json(const TimingSeries& series) {
  if (series.modelled) return interval_json(series.modelled);
  if (series.samples.empty()) return nullptr;
  return {{"samples", numbers(series.samples)},
          {"median", number(series.median)},
          {"lower_quartile", number(series.lower_quartile)},
          {"upper_quartile", number(series.upper_quartile)},
          {"n", series.samples.size()}};
}

Json floor_json(const std::optional<GemmFloor>& floor) {
  if (!floor) return nullptr;
  return {{"ms", number(floor->ms)}, {"bound", floor->by_bytes ? "bytes" : "flops"}};
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json integer_or_null(const std::optional<std::int64_t>& value) { return value ? Json(*value) : Json(nullptr); }

/// A value of each GEMM under its key, by the place of its stage.
template <class Value>
Json of_gemms(Value value) {
  Json values;
  for (std::size_t i = 0; i < kStages.size(); ++i) {
    if (!kStages[i].gemm.empty()) values[key(kStages[i].gemm)] = value(i);
  }
  return values;
}

Json timing_json(const std::optional<LayerTiming>& timing) {
  if (!timing) return nullptr;
  Json json = {{"kind", kind_name(timing->kind)},
               {"pass", timing->training ? "training" : "forward"},
               {"backend", timing->backend},
               {"granule_rows", integer_or_null(timing->granule_rows)},
               {"launches", timing->launches ? Json(*timing->launches) : Json(nullptr)},
               {"kernels", of_gemms([&](std::size_t i) { return text_or_null(timing->variants[i]); })},
               {"granules", of_gemms([&](std::size_t i) { return integer_or_null(timing->granules[i]); })},
               {"fused", {{"gather", timing->fuses_gather}, {"swiglu", timing->fuses_swiglu}}},
               {"cpu_reduced", timing->cpu_reduced},
               {"shape", {{"hidden", timing->hidden}, {"intermediate", timing->intermediate}}}};
  for (const TimeMetric& metric : kTimeMetrics) json[key(metric.name)] = series_json(metric.in(*timing));
  for (const RatioMetric& metric : kRatioMetrics) json[key(metric.name)] = interval_json((*timing).*metric.member);
  for (const TimingValue& metric : kTimingValues) json[key(metric.name)] = number((*timing).*metric.member);
  json["end_to_end_counts"] = timing->end_to_end_counts;
  json["floors"] = of_gemms([&](std::size_t i) { return floor_json(timing->floors[i]); });
  json["kept_bytes_per_row"] = integer_or_null(timing->kept_bytes_per_row);
  json["uniform_samples_ms"] =
      timing->uniform_ms && timing->kind == TimingKind::kMeasured ? numbers(timing->uniform_samples_ms) : Json(nullptr);
  return json;
}

void add_metrics(Json& json, const RoundingMetrics& metrics) {
  for (const RoundingMetric& metric : kRoundingMetrics) {
    Json& value = json[key(metric.name)];
    if (!metric.is_known(metrics)) continue;  // null
    value = metric.is_count() ? Json(metrics.*metric.count) : number(metrics.*metric.real);
  }
}

Json last_tiles_json(const std::vector<double>& utilisation) {
  Json list = Json::array();
  for (const double value : utilisation) list.push_back(value < 0 ? Json(nullptr) : number(value));
  return list;
}

void add_quality(Json& json, const QualityEstimate& quality) {
  json["estimated_perplexity_change"] = perplexity_json(quality.post_hoc);
  json["estimated_perplexity_change_trained"] = perplexity_json(quality.trained);
  json["why_not_estimated"] = text_or_null(quality.why_not);
  json["estimate_beyond"] = quality.beyond;
  json["estimate_is_ranking"] = quality.ranking;
}

Json waves_json(const std::optional<WaveRecord>& waves) {
  if (!waves) return nullptr;
  return {{"asked", number(waves->asked)},         {"sms", waves->sms},
          {"column_tiles", waves->column_tiles},   {"filled", number(waves->filled)},
          {"nearest_tiles", waves->nearest_tiles}, {"nearest_waves", number(waves->nearest_waves)}};
}

/// Of one strategy; over all layers where `network`.
Json batches_json(const std::optional<BatchRecord>& batches, bool network) {
  if (!batches) return nullptr;
  Json metrics = Json::object();
  for (std::size_t i = 0; i < batches->spread.size(); ++i) {
    const std::optional<BatchSpread>& spread = batches->spread[i];
    Json& json = metrics[key(kRoundingMetrics[i].name)];
    if (!spread) continue;  // null
    json = {{"mean", number(spread->mean)},
            {"deviation", number(spread->deviation)},
            {"worst", number(spread->worst)},
            {"worst_group", spread->worst_group}};
  }
  Json json = {{"count", batches->groups.size()},
               {"tokens", batches->tokens},
               {"median_group", batches->median_group},
               {"worst_group", batches->worst_group},
               {"metrics", metrics}};
  json["worst_layer_ms"] = number(batches->worst_layer_ms);
  if (!network) json["worst_timing"] = timing_json(batches->worst_timing);
  return json;
}

Json rank_json(const RankLoad& rank) {
  return {{"experts", rank.experts},
          {"tiles", rank.tiles},
          {"rows", rank.rows},
          {"sent_rows", rank.sent_rows},
          {"received_rows", rank.received_rows},
          {"sent_copies", rank.sent_copies},
          {"received_copies", rank.received_copies}};
}

Json parallel_json(const ParallelRecord& parallel) {
  Json ranks = Json::array();
  for (const RankLoad& rank : parallel.ranks) ranks.push_back(rank_json(rank));
  return {{"busiest_tiles_over_mean", number(parallel.busiest_tiles)},
          {"busiest_rows_over_mean", number(parallel.busiest_rows)},
          {"wire_rows", parallel.wire_rows},
          {"wire_copies", parallel.wire_copies},
          {"wire_bytes", integer_or_null(parallel.wire_bytes)},
          {"ranks", ranks}};
}

Json strategy_json(const StrategyRecord& record) {
  Json json = {{"name", record.strategy.name},
               {"label", record.strategy.label},
               {"tile", tile_json(record.metrics.tile)},
               {"layer", record.layer}};
  add_metrics(json, record.metrics);
  json["unknown"] = text_or_null(why_unknown(record.metrics));
  add_quality(json, record.quality);
  json["batches"] = batches_json(record.batches, /*network=*/false);
  json["counts_before"] = record.metrics.counts_before;
  json["counts_after"] = record.metrics.counts_after;
  json["tiles_per_expert"] = record.metrics.tiles_per_expert;
  json["last_tile_utilisation"] = last_tiles_json(record.metrics.last_tile_utilisation);
  json["waves"] = waves_json(record.waves);
  json["timing"] = timing_json(record.timing);
  json["warnings"] = record.warnings;
  if (record.parallel) json["parallel"] = parallel_json(*record.parallel);
  return json;
}

Json network_json(const NetworkRecord& network) {
  Json json = {{"name", network.name},
               {"label", network.label},
               {"tile", tile_json(network.metrics.tile)},
               {"layers", network.layers.size()}};
  add_metrics(json, network.metrics);
  json["unknown"] = text_or_null(why_unknown(network.metrics));
  add_quality(json, network.quality);
  json["batches"] = batches_json(network.batches, /*network=*/true);
  json["lowest_tile_utilisation"] = number(network.lowest_utilisation);
  json["highest_dropped_gate_mass"] = number(network.highest_dropped_mass);
  json["timing_kind"] = network.layer_ms && network.timing_kind ? Json(kind_name(*network.timing_kind)) : Json(nullptr);
  json["cpu_reduced"] = network.layer_ms ? Json(network.cpu_reduced) : Json(nullptr);
  json["layer_ms"] = number(network.layer_ms);
  json["gemm_ms"] = number(network.gemm_ms);
  json["speedup_of_sums"] = number(network.speedup);
  json["speedup_over_fastest_none"] = interval_json(network.speedup_over_fastest);
  return json;
}

Json routing_json(const RoutingRecord& routing) {
  return {{"layer", routing.layer},
          {"tensor", text_or_null(routing.tensor)},
          {"tokens", routing.tokens},
          {"masked", routing.masked},
          {"experts", routing.experts},
          {"top_k", routing.top_k},
          {"assignments", routing.assignments},
          {"counts",
           {{"min", routing.count_min},
            {"median", number(routing.count_median)},
            {"max", routing.count_max},
            {"cv", number(routing.count_cv)}}},
          {"task_loss", number(routing.task_loss)}};
}

Json documented_json(const DocumentedRecord& record) {
  return {{"metric", record.figure.metric},
          {"strategy", record.figure.strategy},
          {"tile", tile_json(record.figure.tile)},
          {"documented", number(record.figure.value)},
          {"measured", number(record.measured)},
          {"verdict", verdict_name(record.verdict)},
          {"why", record.why},
          {"source", record.figure.source}};
}

Json environment_json(const Environment& environment) {
  return {{"host", environment.host},
          {"cpu", environment.cpu},
          {"date", environment.date},
          {"threads", environment.threads},
          {"device", environment.device},
          {"driver", text(environment.driver)},
          {"cuda", text(environment.cuda)},
          {"sm_clock_mhz", number(environment.sm_clock_mhz)},
          {"power_w", number(environment.power_w)},
          {"back_ends", environment.back_ends}};
}

template <typename Record, typename Convert>
Json list_json(const std::vector<Record>& records, Convert convert) {
  Json list = Json::array();
  for (const Record& record : records) list.push_back(convert(record));
  return list;
}

Json config_json(const std::string& effective) {
  const Json config = Json::parse(effective, nullptr, /*allow_exceptions=*/false);
  return config.is_object() ? config : Json(nullptr);
}

/// What the config only names: the hash does not cover what it held.
Json inputs_json(const ExperimentRecord& experiment) {
  Json trace, calibration;
  const SourceConfig& source = experiment.config.router.source;
  if (source.path() != nullptr && !experiment.trace_digest.empty()) {
    trace = {{"file", source.trace() != nullptr ? source.trace()->file : source.counts()->file},
             {"digest", experiment.trace_digest}};
    if (!experiment.trace_model.empty()) trace["model"] = experiment.trace_model;
  }
  if (experiment.calibration) {
    calibration = {{"name", experiment.calibration->name}, {"digest", text_or_null(experiment.calibration->digest)}};
    if (!experiment.reach.empty()) calibration["reach"] = experiment.reach;
  }
  return {{"trace", trace}, {"calibration", calibration}};
}

/// The GPU that is not there, by which times are modelled.
Json model_json(const std::optional<GpuModel>& model) {
  if (!model) return nullptr;
  const ModelError& error = model->error;
  return {{"id", model->id},
          {"name", model->name},
          {"device", modelled_name(*model)},
          {"source", model->source},
          {"digest", figures_digest(*model)},
          {"doubt", text_or_null(doubt_of(*model))},
          {"error",
           {{"median", number(error.median)},
            {"p90", number(error.p90)},
            {"ratio", number(error.ratio)},
            {"cases", error.cases},
            {"where", error.where},
            {"own", error.own},
            {"ratio_across_tiles", number(error.ratio_across_tiles)}}},
          {"words", error_words(*model)}};
}

Json experiment_json(const ExperimentRecord& experiment) {
  return {{"name", experiment.config.name},
          {"config", config_json(experiment.config.effective_json)},
          {"config_hash", experiment.config.hash},
          {"inputs", inputs_json(experiment)},
          {"reading", text_or_null(experiment.reading)},
          {"model", model_json(experiment.model)},
          {"routing", list_json(experiment.routing, routing_json)},
          {"strategies", list_json(experiment.strategies, strategy_json)},
          {"network", list_json(experiment.network, network_json)},
          {"documented", list_json(experiment.documented, documented_json)},
          {"memory", {{"estimated_bytes", experiment.estimated_bytes}, {"peak_bytes", experiment.peak_bytes}}},
          {"warnings", experiment.warnings},
          {"error", text(experiment.error)}};
}

}  // namespace

nlohmann::ordered_json perplexity_json(const std::optional<PerplexityEstimate>& estimate) {
  if (!estimate) return nullptr;
  return {{"value", number(estimate->value)},
          {"low", number(estimate->low)},
          {"high", number(estimate->high)},
          {"calibration", estimate->calibration}};
}

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kReproduced:
      return "reproduced";
    case Verdict::kDiffers:
      return "differs";
    case Verdict::kInconsistent:
      return "inconsistent";
    case Verdict::kNotMeasured:
      return "not_measured";
  }
  return "not_measured";
}

namespace {

Json change_json(const std::optional<Interval>& change) {
  if (!change) return nullptr;
  return {{"value", number(change->value)}, {"low", number(change->low)}, {"high", number(change->high)}};
}

Json weight_json(const TrainingWeightRecord& weight) {
  return {{"weight", number(weight.weight)},
          {"experiments", weight.experiments},
          {"rounding_loss", number(weight.rounding_loss)},
          {"tile_utilisation", number(weight.tile_utilisation)},
          {"tile_utilisation_change", change_json(weight.tile_utilisation_change)},
          {"task_loss", number(weight.task_loss)},
          {"task_loss_change", change_json(weight.task_loss_change)},
          {"moved", number(weight.moved)},
          {"moved_change", change_json(weight.moved_change)}};
}

Json training_json(const TrainingRecord& training) {
  return {{"surrogate", training.surrogate},
          {"tile", training.tile},
          {"seeds", training.seeds},
          {"weights", list_json(training.weights, weight_json)}};
}

}  // namespace

nlohmann::ordered_json to_json(const RunRecord& run) {
  return {{"schema_version", kResultSchemaVersion},
          {"tool", {{"version", run.version}, {"git", run.git}}},
          {"environment", environment_json(run.environment)},
          {"experiments", list_json(run.experiments, experiment_json)},
          {"training", list_json(run.training, training_json)}};
}

std::string json_text(const RunRecord& run, int indent) {
  return to_json(run).dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace tatr
