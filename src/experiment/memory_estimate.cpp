#include "experiment/memory_estimate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "core/error.hpp"
#include "core/memory.hpp"
#include "device/cache_flush.hpp"
#include "experiment/settings.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"
#include "source/routing_source.hpp"

namespace tatr {

namespace {

/// Tensors and workspace that timing the layer allocates on the system, for so many settings.
std::size_t timing_bytes(const ExperimentConfig& config, std::size_t settings, const System& system) {
  const LayerShape shape = layer_shape(config, system.device());
  const DType dtype = gemm_dtype(system.device());
  const auto tokens = static_cast<std::size_t>(shape.tokens);
  const std::size_t assignments = tokens * static_cast<std::size_t>(config.router.top_k);
  const std::size_t by_token = (tokens + assignments) * 4 * settings;
  const std::size_t reference = tokens * static_cast<std::size_t>(shape.hidden) * bytes_of(dtype);
  const std::size_t comparing = static_cast<std::size_t>(shape.most_rows) * 4 + tokens * 8;
  return layer_bytes(shape, dtype) + reference + comparing + by_token + CacheFlush::bytes(system);
}

}  // namespace

MemoryEstimate estimate_memory(const ExperimentConfig& config, const System& system) {
  const RouterConfig& router = config.router;
  const auto tokens = static_cast<std::size_t>(router.tokens), experts = static_cast<std::size_t>(router.experts);
  const std::size_t assignments = tokens * static_cast<std::size_t>(router.top_k);
  const std::size_t settings = settings_of(config).size();
  const std::int64_t tile = most_tile(config);
  MemoryEstimate estimate;
  // A result is held as records, as a JSON document and as text; tests/cli/limits_test.py measures it.
  constexpr std::size_t kResultCopies = 3;
  estimate.host_bytes = kResultCopies * estimate_result_bytes(config) + source_host_bytes(router);
  const bool counts = router.source.counts() != nullptr;
  if (counts && (!config.layer || router.tokens > kMaxTokens)) return estimate;  // nothing is routed
  const std::size_t logit_bytes = keeps_bf16(system, router) ? 2 : 4;
  const std::size_t routing =
      tokens * experts * logit_bytes + assignments * 12 + tokens * ((experts + 31) / 32) * 4 + tokens * 8;
  const std::size_t scratch = RoundingScratch::bytes(system, router.tokens, router.experts, router.top_k, tile);
  const std::size_t sums = (assignments + tokens) * 4 + tokens / 2;
  const std::size_t dispatches = settings * (assignments + experts * static_cast<std::size_t>(tile)) * 8;
  // A source is done before the rest is needed.
  estimate.routing_bytes = std::max(routing + scratch + sums + dispatches, source_bytes(router));
  if (config.layer) estimate.layer_bytes = timing_bytes(config, settings, system);
  return estimate;
}

std::string kept_words(const ExperimentConfig& config, const DeviceInfo& device) {
  if (!config.layer || !config.layer->training) return {};
  const LayerShape shape = layer_shape(config, device);
  const std::int64_t bytes = kept_bytes_per_row(shape.intermediate, gemm_dtype(device));
  return fmt::format(
      "kept of each row for the backward pass: {} bytes (the up-projection's product, token and gate), {:.1f} MiB at "
      "most",
      bytes, static_cast<double>(bytes) * static_cast<double>(shape.most_rows) / 1048576.0);
}

void check_memory(const ExperimentConfig& config, const System& system) {
  const MemoryEstimate need = estimate_memory(config, system);
  const std::size_t on_host = need.host_bytes + (system.is_cuda() ? 0 : need.on_system());
  const auto check = [&](const std::string& device, std::size_t needed, std::size_t available) {
    if (needed > available) throw OutOfMemoryError::before_work(device, needed, available);
  };
  if (system.is_cuda()) check(system.name(), need.on_system(), system.available_bytes());
  check(system.is_cuda() ? "host" : system.name(), on_host, available_host_bytes());
}

std::size_t estimate_result_bytes(const ExperimentConfig& config) {
  constexpr std::size_t kFixed = 4096, kPerExpert = 100;  // four lists by expert
  const bool trains = config.layer && config.layer->training;
  const std::size_t per_sample = trains ? 700 : 300;  // eight series, or eighteen
  const std::size_t samples = config.layer ? static_cast<std::size_t>(config.measure.samples) : 0;
  const std::size_t setting =
      kFixed + kPerExpert * static_cast<std::size_t>(config.router.experts) + per_sample * samples;
  const SourceShape shape = shape_of(config.router);
  const std::size_t groups = shape.groups > 1 ? shape.groups * sizeof(RoundingMetrics) : 0;
  return kFixed + config.effective_json.size() + shape.layers * settings_of(config).size() * (setting + groups);
}

}  // namespace tatr
