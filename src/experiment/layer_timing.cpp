#include "experiment/layer_timing.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.hpp"
#include "core/interrupt.hpp"
#include "core/statistics.hpp"
#include "experiment/timing_rates.hpp"
#include "measure/clocks.hpp"
#include "measure/stopwatch.hpp"
#include "model/floors.hpp"

namespace tatr {

namespace {

TimingSeries series_of(std::vector<double> samples, double scale = 1.0) {
  TimingSeries series;
  for (double& sample : samples) sample *= scale;
  series.median = quantile(samples, 0.5);
  series.lower_quartile = quantile(samples, 0.25);
  series.upper_quartile = quantile(samples, 0.75);
  series.samples = std::move(samples);
  return series;
}

std::vector<double> sum_of(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

template <class T>
bool same_bits(const Buffer<T>& a, const std::vector<T>& b) {
  const std::vector<T> own = a.to_host();
  return own.size() == b.size() && (own.empty() || std::memcmp(own.data(), b.data(), own.size() * sizeof(T)) == 0);
}

/// Overwrites a buffer, so that a replay that does not write it, or not whole, shows.
template <class T>
void overwrite(System& system, Buffer<T>& buffer) {
  const std::vector<unsigned char> ones(buffer.size() * sizeof(T), 0xFF);
  system.copy_from_host(buffer.data(), ones.data(), ones.size());
}

[[noreturn]] void fail_replay(const std::string& what) {
  throw VerificationError(what + ": what would be timed does not give what was decided");
}

SamplingRules rules_of(const MeasureConfig& measure) {
  SamplingRules rules;
  rules.most_rounds = static_cast<int>(measure.samples);
  rules.cold_caches = measure.cold_l2;
  rules.enough_width = measure.precision;
  rules.least_warm_up_ms = measure.warm_up_ms;
  return rules;
}

}  // namespace

LayerTimer::LayerTimer(TimingRequest request, System& system, Routing& routing, RoundingScratch& scratch)
    : request_(std::move(request)), system_(system), routing_(routing), scratch_(scratch), verified_(request_, system) {
  if (routing.has_all_scores()) add_router();
  for (std::size_t i = 0; i < request_.settings.size(); ++i) add_setting(i);
}

std::vector<LayerTiming> LayerTimer::run() {
  verified_.verify();
  request_.progress("checking what will be timed");
  if (router_) verify_routing();
  for (std::size_t i = 0; i < settings_.size(); ++i) verify_rounding(i);
  sample();
  std::vector<LayerTiming> timings;
  for (std::size_t i = 0; i < settings_.size(); ++i) {
    timings.push_back(describe(i));
    warn_of(i, timings.back());
  }
  return timings;
}

std::size_t LayerTimer::add(const std::string& name, std::vector<SampledStage> stages) {
  candidates_.push_back({name, std::move(stages)});
  return candidates_.size() - 1;
}

/// Records work and gives what replays it.
std::function<void()> LayerTimer::replay_of(std::function<void()> work) {
  recordings_.push_back(system_.record(std::move(work)));
  Recording* recording = recordings_.back().get();
  return [recording] {
    stop_if_interrupted();
    recording->replay();
  };
}

void LayerTimer::add_router() {
  const auto route = [this] { route_again(system_, routing_, request_.config.router); };
  router_ = add("the router", {{"routing", replay_of(route)}});
}

void LayerTimer::add_setting(std::size_t index) {
  const Setting& setting = request_.settings[index];
  const std::string name = name_of(setting);
  Sampled& sampled = settings_.emplace_back();
  const auto round = [this, &setting] {
    round_into(routing_, {*setting.strategy, setting.tile, request_.config.seed, request_.layer}, system_, scratch_);
  };
  sampled.rounding = add(name, {{"rounding", replay_of(round)}});
  std::vector<SampledStage> stages;
  for (const auto& stage : verified_.pass(index).stages()) {
    stages.push_back({std::string(stage->name()), [&work = *stage] { work.run(); }});
  }
  sampled.layer = add(name, std::move(stages));
  if (!UniformYardstick::runs_on(system_.device())) return;
  sampled.yardstick = std::make_unique<UniformYardstick>(verified_.layer(), request_.rounded[index].dispatch);
  UniformYardstick* yardstick = sampled.yardstick.get();
  sampled.uniform = add(name, {{"up-projection of the yardstick", [yardstick] { yardstick->up(); }},
                               {"down-projection of the yardstick", [yardstick] { yardstick->down(); }}});
}

/// What is timed is what was decided and verified: a recording, replayed once, gives the same bits.
void LayerTimer::verify_routing() {
  const auto chosen = routing_.chosen.to_host(), counts = routing_.counts.to_host();
  const auto gates = routing_.gates.to_host();
  overwrite(system_, routing_.chosen);
  overwrite(system_, routing_.gates);
  overwrite(system_, routing_.counts);
  candidates_[*router_].stages[0].work();
  const bool same =
      same_bits(routing_.chosen, chosen) && same_bits(routing_.gates, gates) && same_bits(routing_.counts, counts);
  if (!same) fail_replay("the router, routing");
}

void LayerTimer::verify_rounding(std::size_t index) {
  const Candidate& candidate = candidates_[settings_[index].rounding];
  poison_dispatch(system_, scratch_);
  candidate.stages[0].work();
  const Dispatch replayed = dispatch_of(system_, scratch_);
  const Dispatch& decided = request_.rounded[index].dispatch;
  const bool same = same_bits(replayed.offsets, decided.offsets.to_host()) &&
                    same_bits(replayed.token, decided.token.to_host()) &&
                    same_bits(replayed.gate, decided.gate.to_host());
  if (!same) fail_replay(candidate.name + ", rounding");
}

void LayerTimer::sample() {
  request_.progress({"timing", "warming up: "});
  const auto watch = make_stopwatch(system_);
  const auto monitor = system_.is_cuda() ? make_device_monitor(system_.index()) : nullptr;
  const auto read_state = [&] { return monitor ? monitor->read() : DeviceState{}; };
  DeviceState before;
  const SamplingRules rules = rules_of(request_.config.measure);
  std::optional<Steps> rounds;
  const auto when_warm = [&] {
    before = read_state();
    rounds.emplace(static_cast<std::size_t>(rules.most_rounds));
  };
  series_ = sample_interleaved(candidates_, rules, *watch, when_warm, [&] {
    rounds->next();
    request_.progress({"timing", rounds->words()});
  });
  const DeviceState after = read_state();
  sm_clock_mhz_ = after.sm_clock_mhz;
  power_w_ = after.power_w;
  if (const auto warning = clock_warning(before, after)) warnings_.push_back(*warning);
  if (const auto warning = drift_warning(round_drift(series_))) warnings_.push_back(*warning);
  if (system_.is_cuda() && !UniformYardstick::runs_on(system_.device())) {
    warnings_.push_back("libcublas is not found: no uniform yardstick");
  }
}

/// Of a setting's stages forward, or backward, round by round.
std::vector<double> LayerTimer::sum_of_stages(std::size_t index, bool backward) const {
  const auto& stages = verified_.pass(index).stages();
  const Series& series = series_[settings_[index].layer];
  std::vector<double> sum(series.total_ms.size(), 0.0);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (stages[i]->backward() == backward) sum = sum_of(std::move(sum), series.stage_ms[i]);
  }
  return sum;
}

LayerTiming LayerTimer::describe(std::size_t index) const {
  const Sampled& sampled = settings_[index];
  const LayerPass& pass = verified_.pass(index);
  const LayerConfig& asked = *request_.config.layer;
  LayerTiming timing;
  timing.backend = pass.backend();
  timing.fuses_gather = pass.fuses_gather();
  timing.fuses_swiglu = pass.fuses_swiglu();
  timing.granule_rows = pass.granule_rows();
  timing.launches = pass.launches();
  for (const auto& stage : pass.stages()) {
    if (stage->gemm() == nullptr) continue;
    timing.variants[index_of(stage->stage())] = stage->gemm()->variant();
    timing.granules[index_of(stage->stage())] = stage->gemm()->granule_rows();
  }
  timing.hidden = verified_.layer().shape.hidden;
  timing.intermediate = verified_.layer().shape.intermediate;
  timing.cpu_reduced = timing.hidden != asked.hidden || timing.intermediate != asked.intermediate;
  if (router_) timing.route_us = series_of(series_[*router_].total_ms, 1e3);
  timing.round_us = series_of(series_[sampled.rounding].total_ms, 1e3);
  timing.layer_ms = series_of(series_[sampled.layer].total_ms);
  for (std::size_t i = 0; i < pass.stages().size(); ++i) {
    timing.of(pass.stages()[i]->stage()) = series_of(series_[sampled.layer].stage_ms[i]);
  }
  timing.training = pass.trains();
  if (timing.training) {
    timing.forward_ms = series_of(sum_of_stages(index, false));
    timing.backward_ms = series_of(sum_of_stages(index, true));
    timing.kept_bytes_per_row = kept_bytes_per_row(timing.intermediate, verified_.layer().dtype);
  }
  if (sampled.yardstick) {
    timing.uniform_samples_ms = series_[sampled.uniform].total_ms;
    timing.uniform_ms = quantile(timing.uniform_samples_ms, 0.5);
  }
  verified_.add_output_error(index, timing);
  timing.sm_clock_mhz = sm_clock_mhz_;
  timing.power_w = power_w_;
  add_rates(timing, request_.rounded[index].metrics);
  add_floors(timing, request_.rounded[index].metrics);
  add_speedups(timing, index);
  return timing;
}

void LayerTimer::add_floors(LayerTiming& timing, const RoundingMetrics& metrics) const {
  const std::optional<DeviceRates> rates = rates_of(system_.device().name);
  if (!rates) return;
  const std::int64_t hidden = timing.hidden, half = timing.intermediate;
  const DType dtype = verified_.layer().dtype;
  const auto rows_times_weights = [&](Stage stage, const GemmWidths& widths) {
    timing.floor_of(stage) = floor_of(*rates, metrics, widths, dtype);
  };
  // What a fused SwiGLU gives is narrower than what it is made of, unless that is kept, too.
  const std::int64_t up_out = !timing.fuses_swiglu ? 2 * half : timing.training ? 3 * half : half;
  rows_times_weights(Stage::kUp, {hidden, 2 * half, up_out});
  rows_times_weights(Stage::kDown, {half, hidden, hidden});
  if (!timing.training) return;
  const bool fused =
      timing.of(Stage::kSwigluGradient).samples.empty();  // reads the product, and writes its gradient and one more
  rows_times_weights(Stage::kDgradDown, {hidden, half, fused ? 5 * half : half});
  rows_times_weights(Stage::kDgradUp, {2 * half, hidden, hidden});
  const DType gradient = *verified_.layer().shape.gradients;
  timing.floor_of(Stage::kWgradDown) = weight_gradient_floor(*rates, metrics, {hidden, half}, dtype, gradient);
  timing.floor_of(Stage::kWgradUp) = weight_gradient_floor(*rates, metrics, {hidden, 2 * half}, dtype, gradient);
}

/// Against `none` at the same tile, from pairs of the same round.
void LayerTimer::add_speedups(LayerTiming& timing, std::size_t index) const {
  const std::optional<std::size_t> none = none_beside(request_.settings, index);
  if (!none) return;
  const Sampled &base = settings_[*none], &own = settings_[index];
  timing.speedup = paired_ratio(series_[base.layer].total_ms, series_[own.layer].total_ms);
  if (timing.training) {
    timing.forward_speedup = paired_ratio(sum_of_stages(*none, false), sum_of_stages(index, false));
    timing.backward_speedup = paired_ratio(sum_of_stages(*none, true), sum_of_stages(index, true));
  }
  const auto end_to_end = [&](const Sampled& sampled) {
    const std::vector<double> rounded = sum_of(series_[sampled.layer].total_ms, series_[sampled.rounding].total_ms);
    return router_ ? sum_of(rounded, series_[*router_].total_ms) : rounded;
  };
  timing.end_to_end_speedup = paired_ratio(end_to_end(base), end_to_end(own));
  timing.end_to_end_counts = end_to_end_counts(router_.has_value());
}

void LayerTimer::warn_of(std::size_t index, const LayerTiming& timing) {
  if (const auto warning = outlier_warning(timing.layer_ms.samples)) {
    warnings_.push_back(request_.settings[index].strategy->label + ": " + *warning);
  }
  const std::string note = verified_.pass(index).note();
  if (!note.empty() && std::find(warnings_.begin(), warnings_.end(), note) == warnings_.end())
    warnings_.push_back(note);
}

}  // namespace tatr
