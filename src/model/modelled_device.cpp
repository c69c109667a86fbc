#include "model/modelled_device.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/digest.hpp"

namespace tatr {

std::string modelled_name(const GpuModel& gpu) { return gpu.name + ", modelled"; }

std::string figures_digest(const GpuModel& gpu) {
  Digest digest;
  const nlohmann::ordered_json document = gpu_model_document(gpu);
  for (const char* key : {"multiprocessors", "peaks", "figures"}) digest.add_values(document[key].dump());
  return digest.text();
}

std::string modelled_key(const std::string& modelled_name, const std::string& figures_digest) {
  return fmt::format("{} (figures {})", modelled_name, figures_digest);
}

std::string modelled_key(const GpuModel& gpu) { return modelled_key(modelled_name(gpu), figures_digest(gpu)); }

std::string error_words(const GpuModel& gpu) {
  const std::string doubt = doubt_of(gpu);
  const ModelError& error = gpu.error;
  if (error.cases == 0) return doubt.empty() ? "error not known" : doubt;
  return fmt::format("{}median error {:.2g} %, 90th percentile {:.2g} % on {} held-out cases on {}",
                     doubt.empty() ? "" : doubt + "; ", 100 * error.median, 100 * error.p90, error.cases, error.where);
}

Interval interval_of(double value, double error) { return {value, value / (1 + error), value / (1 - error)}; }

}  // namespace tatr
