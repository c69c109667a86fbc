#include "forecast.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <numeric>

#include "core/error.hpp"
#include "core/steps.hpp"
#include "experiment/settings.hpp"
#include "experiment/time_estimate.hpp"

namespace tatr {

namespace {

constexpr double kLongSeconds = 60.0;

std::string offer(const ExperimentConfig& config, double seconds, bool modelled) {
  const LayerConfig& layer = *config.layer;
  const bool could_be_modelled = !modelled && !layer.training;
  return fmt::format(
      "tatr-sim: {}: the CPU computes its whole layer ({} x {}), {} by a short probe; less: --set "
      "'/layer/cpu={}'{}, or --set /layer=null\n",
      config.file, layer.hidden, layer.intermediate, about(seconds), smaller_layer(layer),
      could_be_modelled ? ", or --device model:h100" : "");
}

}  // namespace

std::string smaller_layer(const LayerConfig& layer) {
  const auto tenth = [](std::int64_t width) { return std::max<std::int64_t>(width / 10 / 8 * 8, 8); };
  return fmt::format("{{\"hidden\":{},\"intermediate\":{}}}", tenth(layer.hidden), tenth(layer.intermediate));
}

std::string forecast(const std::vector<ExperimentConfig>& configs, System& system, const ModelChoice& choice) {
  if (system.is_cuda()) return {};
  std::vector<double> seconds;
  try {
    seconds = estimate_seconds(configs, system, choice);
  } catch (const Error&) {  // of a config or of memory: told where it belongs
    return {};
  } catch (const std::bad_alloc&) {
    return {};
  }
  const double all = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  if (all <= kLongSeconds) return {};
  std::string text;
  const auto whole = [&](std::size_t i) { return seconds[i] > 0.0 && computes_whole_layer(configs[i]); };
  double most = 0.0;
  std::size_t first = configs.size();
  for (std::size_t i = 0; i < configs.size(); ++i) {
    if (!whole(i)) continue;
    first = std::min(first, i);
    most += seconds[i];
  }
  if (most > kLongSeconds) text = offer(configs[first], most, modelled_gpu(configs[first], choice).gpu.has_value());
  std::size_t settings = 0;
  for (const ExperimentConfig& config : configs) settings += settings_of(config).size();
  return text +
         fmt::format("tatr-sim: this will take {} (estimated): {} experiment{}, {} setting{} on {} CPU thread{}\n",
                     about(all), configs.size(), configs.size() == 1 ? "" : "s", settings, settings == 1 ? "" : "s",
                     system.threads(), system.threads() == 1 ? "" : "s");
}

}  // namespace tatr
