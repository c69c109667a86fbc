// A hand-made run that the report tests share: three experts, ten tokens, top-2, tile 8.
#pragma once

#include "analysis/network.hpp"
#include "records/records.hpp"

namespace tatr::test {

inline TimingSeries series(std::vector<double> samples, double median) {
  return {std::move(samples), median, median, median};
}

inline StrategyConfig strategy(StrategyKind kind, const std::string& name, const std::string& label = {}) {
  StrategyConfig config;
  config.kind = kind;
  config.name = name;
  config.label = label.empty() ? name : label;
  return config;
}

/// Counts 9, 8, 3: three experts in four tiles of 8, 20 of 32 rows used.
inline StrategyRecord plain_record(std::int64_t layer = 0) {
  StrategyRecord record;
  record.strategy = strategy(StrategyKind::kNone, "none");
  record.layer = layer;
  RoundingMetrics& metrics = record.metrics;
  metrics.tile = 8;
  metrics.rows = 20;
  metrics.tiles = 4;
  metrics.tile_utilisation = 0.625;
  metrics.wasted_flops = 0.375;
  metrics.counts_before = {9, 8, 3};
  metrics.counts_after = {9, 8, 3};
  metrics.tiles_per_expert = {2, 1, 1};
  metrics.last_tile_utilisation = {0.125, 1.0, 0.375};
  return record;
}

/// The same rounded down: 8, 8, 0. Expert 2 starves.
inline StrategyRecord down_record(std::int64_t layer = 0) {
  StrategyRecord record = plain_record(layer);
  record.strategy = strategy(StrategyKind::kDown, "down");
  RoundingMetrics& metrics = record.metrics;
  metrics.rows = 16;
  metrics.tiles = 2;
  metrics.tile_utilisation = 1;
  metrics.wasted_flops = 0;
  metrics.dropped = 4;
  metrics.dropped_share = 0.2;
  metrics.dropped_gate_mass = 0.15;
  metrics.mean_dropped_probability = 0.012;
  metrics.starved_experts = 1;
  metrics.counts_after = {8, 8, 0};
  metrics.tiles_per_expert = {1, 1, 0};
  metrics.last_tile_utilisation = {1.0, 1.0, -1.0};
  return record;
}

inline LayerTiming timing(double layer_ms, bool cpu_reduced = true) {
  LayerTiming timing;
  timing.backend = "openblas";
  timing.cpu_reduced = cpu_reduced;
  timing.hidden = 256;
  timing.intermediate = 64;
  timing.layer_ms = series({layer_ms, layer_ms}, layer_ms);
  timing.of(Stage::kUp) = series({layer_ms / 2, layer_ms / 2}, layer_ms / 2);
  timing.of(Stage::kDown) = series({layer_ms / 4, layer_ms / 4}, layer_ms / 4);
  timing.useful_tflops = 0.25;
  timing.hardware_tflops = 0.5;
  return timing;
}

inline RoutingRecord routing(std::int64_t layer = 0) {
  RoutingRecord record;
  record.layer = layer;
  record.tokens = 10;
  record.experts = 3;
  record.top_k = 2;
  record.assignments = 20;
  record.count_min = 3;
  record.count_max = 9;
  record.count_median = 8;
  record.count_cv = 0.394;
  return record;
}

inline ExperimentRecord experiment() {
  ExperimentRecord record;
  record.config.name = "sample";
  record.config.seed = 7;
  record.config.tiles = {8};
  record.config.router.tokens = 10;
  record.config.router.experts = 3;
  record.config.router.top_k = 2;
  record.config.strategies = {strategy(StrategyKind::kNone, "none"), strategy(StrategyKind::kDown, "down")};
  record.config.effective_json = R"({"name":"sample"})";
  record.config.hash = "0123456789abcdef";
  record.routing = {routing()};
  record.strategies = {plain_record(), down_record()};
  return record;
}

inline RunRecord run_of(ExperimentRecord experiment) {
  RunRecord run;
  run.version = "0.1.0";
  run.git = "unknown";
  run.environment.cpu = "Test CPU";
  run.environment.threads = 2;
  run.environment.device = "cpu";
  run.environment.back_ends = {"openblas"};
  if (experiment.network.empty()) experiment.network = summarise_network(experiment);
  run.experiments = {std::move(experiment)};
  return run;
}

/// The sample with times of a reduced CPU layer.
inline ExperimentRecord timed_experiment() {
  ExperimentRecord record = experiment();
  record.config.layer = LayerConfig{};
  record.config.layer->hidden = 4096;
  record.config.layer->intermediate = 1024;
  record.strategies[0].timing = timing(4.0);
  record.strategies[1].timing = timing(2.0);
  record.strategies[1].timing->speedup = RatioInterval{2.0, 1.9, 2.1};
  record.strategies[1].timing->output_error = 0.031;
  return record;
}

/// The sample with times of training passes on a GPU: forward twice as fast as `none`, backward 1.5 times.
inline ExperimentRecord trained_experiment() {
  ExperimentRecord record = timed_experiment();
  record.config.layer->training = true;
  for (StrategyRecord& strategy : record.strategies) {
    const double forward = strategy.strategy.kind == StrategyKind::kNone ? 4 : 2, backward = 4 + 2 * forward;
    LayerTiming& timing = *strategy.timing = test::timing(forward + backward, false);
    timing.training = true;
    timing.hidden = 4096;
    timing.intermediate = 1024;
    timing.kept_bytes_per_row = 4104;
    timing.forward_ms = series({forward, forward}, forward);
    timing.backward_ms = series({backward, backward}, backward);
    for (const StageInfo& stage : kStages) {
      if (stage.backward && !stage.gemm.empty())
        timing.of(stage.stage) = series({backward / 4, backward / 4}, backward / 4);
      if (!stage.gemm.empty()) timing.floor_of(stage.stage) = GemmFloor{0.5, false};
    }
    timing.speedup = RatioInterval{16 / (forward + backward), 1, 2};
    timing.forward_speedup = RatioInterval{4 / forward, 1.9, 2.1};
    timing.backward_speedup = RatioInterval{12 / backward, 1.4, 1.6};
    timing.forward_useful_tflops = timing.forward_hardware_tflops = 500;
    timing.backward_useful_tflops = 450;
    timing.backward_hardware_tflops = 460;
  }
  return record;
}

/// The sample with times that are modelled: 4 ms [3.5, 4.5] and half of it.
inline LayerTiming modelled_timing(double layer_ms) {
  LayerTiming modelled;
  modelled.kind = TimingKind::kModelled;
  modelled.backend = "tatr";
  modelled.fuses_gather = modelled.fuses_swiglu = true;
  modelled.hidden = 4096;
  modelled.intermediate = 1024;
  const auto part = [&](double share) {
    const double ms = layer_ms * share;
    return TimingSeries{{}, 0, 0, 0, Interval{ms, 0.875 * ms, 1.125 * ms}};
  };
  modelled.round_us = part(2);
  modelled.layer_ms = part(1);
  modelled.of(Stage::kUp) = part(0.5);
  modelled.of(Stage::kDown) = part(0.25);
  modelled.useful_tflops = 500;
  modelled.end_to_end_counts = {"rounding", "layer"};
  return modelled;
}

/// The sample on a GPU that is not there.
inline ExperimentRecord modelled_experiment(const std::string& gpu) {
  ExperimentRecord record = timed_experiment();
  record.config.layer->cpu_hidden = 256;
  record.config.layer->cpu_intermediate = 64;
  record.model = read_gpu_model(gpu);
  record.strategies[0].timing = modelled_timing(4.0);
  record.strategies[1].timing = modelled_timing(2.0);
  record.strategies[0].timing->speedup = record.strategies[0].timing->end_to_end_speedup = RatioInterval{1, 1, 1};
  record.strategies[1].timing->speedup = RatioInterval{2.0, 1.9, 2.1};
  record.strategies[1].timing->end_to_end_speedup = RatioInterval{1.9, 1.8, 2.0};
  record.strategies[1].timing->output_error = record.strategies[1].timing->output_error_worst_percent = 0.031;
  return record;
}

}  // namespace tatr::test
