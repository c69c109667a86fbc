#include "experiment/layer_modelling.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "experiment/modelled_gpu.hpp"
#include "experiment/timing_rates.hpp"
#include "model/modelled_device.hpp"

namespace tatr {

namespace {

constexpr std::int64_t kMostModelledRows = 1 << 25;  // the model walks every tile of them

}  // namespace

ModelledLayer::ModelledLayer(TimingRequest request, const LayerConfig& layer, const GpuModel& gpu, System& system,
                             bool routes)
    : request_(std::move(request)), whole_(request_.config), gpu_(gpu), routes_(routes) {
  whole_.layer = layer;
  if (request_.config.layer) verified_.emplace(request_, system);
}

std::vector<LayerTiming> ModelledLayer::run() {
  for (const Rounded& rounded : request_.rounded) {
    if (rounded.metrics.rows <= kMostModelledRows) continue;
    throw ConfigError({request_.config.file, "/layer"},
                      std::to_string(rounded.metrics.rows) + " rows are more than times are modelled for, " +
                          std::to_string(kMostModelledRows) + "; \"layer\": null counts tiles alone");
  }
  if (verified_) verified_->verify();
  request_.progress("modelling times");
  std::vector<LayerTiming> timings;
  for (std::size_t i = 0; i < request_.settings.size(); ++i) timings.push_back(model(i));
  for (std::size_t i = 0; i < timings.size(); ++i) add_speedups(timings, i);
  return timings;
}

LayerTiming ModelledLayer::model(std::size_t index) const {
  const Setting& setting = request_.settings[index];
  const Rounded& rounded = request_.rounded[index];
  const DeviceInfo device = kernel_device(gpu_);
  const LayerShape shape = layer_shape(whole_, device);
  LayerOptions options = layer_options(whole_, setting, rounded.tile_of_expert);
  options.backend = kModelledBackEnd;
  const LayerPlan plan =
      plan_layer_with(named_back_end(kModelledBackEnd, options.backend_place), shape, options, device);
  options.fuse_gather = plan.up.gather;
  options.fuse_swiglu = plan.up.swiglu;
  const ModelledForward forward = model_forward(gpu_, shape, options, rounded.metrics.counts_after);
  const auto modelled = [&](double value) {
    TimingSeries series;
    series.modelled = interval_of(value, gpu_.error.p90);
    return series;
  };
  LayerTiming timing;
  timing.kind = TimingKind::kModelled;
  timing.backend = options.backend;
  timing.fuses_gather = options.fuse_gather;
  timing.fuses_swiglu = options.fuse_swiglu;
  timing.hidden = shape.hidden;
  timing.intermediate = shape.intermediate;
  if (routes_) timing.route_us = modelled(model_routing_us(gpu_, whole_.router));
  timing.round_us = modelled(model_rounding_us(gpu_, *setting.strategy, rounded.metrics.counts_before));
  timing.layer_ms = modelled(forward.layer_ms);
  for (std::size_t stage = 0; stage < kStages.size(); ++stage) {
    if (forward.stage_ms[stage]) timing.stage_ms[stage] = modelled(*forward.stage_ms[stage]);
  }
  timing.uniform_ms = forward.uniform_ms;
  if (verified_) verified_->add_output_error(index, timing);
  add_rates(timing, rounded.metrics);
  return timing;
}

/// Against `none` at the same tile. What the model errs by alike in both cancels; less of it where a strategy has tiles
/// of its own.
void ModelledLayer::add_speedups(std::vector<LayerTiming>& timings, std::size_t index) const {
  const std::optional<std::size_t> none = none_beside(request_.settings, index);
  if (!none) return;
  LayerTiming &own = timings[index], &base = timings[*none];
  const auto ratio = [&](double before, double after) {
    const bool one_tile = request_.rounded[index].metrics.tile != 0;
    return interval_of(before / after, *none == index ? 0 : gpu_.error.of_ratio(one_tile));
  };
  const auto end_to_end = [&](const LayerTiming& timing) {
    const double routing_us = routes_ ? timing.route_us.modelled->value : 0;
    return timing.layer_ms.modelled->value + (timing.round_us.modelled->value + routing_us) / 1000;
  };
  own.speedup = ratio(base.layer_ms.modelled->value, own.layer_ms.modelled->value);
  own.end_to_end_speedup = ratio(end_to_end(base), end_to_end(own));
  own.end_to_end_counts = end_to_end_counts(routes_);
}

}  // namespace tatr
