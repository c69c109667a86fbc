// A GPU as the model of the layer's times knows it: a file of figures (configs/devices), measured by `tatr-sim device
// --measure` or taken from datasheets. The GPU need not be at hand. What each figure means: docs/model.md.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "device/device_info.hpp"

namespace tatr {

/// Where the figures of a device file come from.
enum class FiguresFrom {
  kMeasured,   // on such a GPU, by this program
  kScaled,     // a measured file of a relative, with clock, cap and bandwidth replaced
  kDatasheet,  // the vendor's
};

/// How far modelled times were from measured ones, as shares of the measured, over cases that nothing was fitted on.
struct ModelError {
  double median = 0, p90 = 0;
  std::int64_t cases = 0;
  std::string where;    // on which GPU, by which figures
  bool own = false;     // of this GPU by this file; else of another, which is no promise
  double ratio = 0.02;  // 90th percentile, of ratios of two dispatches' times: what errs alike in both cancels
};

struct GpuModel {
  std::string id;    // "h100", or the path of a file
  std::string name;  // the product
  FiguresFrom from = FiguresFrom::kDatasheet;
  std::string source;  // in words: date and version, or the datasheet
  ModelError error;
  std::int64_t memory_bytes = 0;
  DeviceInfo device;  // as back ends are asked; is_gpu
  nlohmann::json figures;
};

/// Those that the program carries: of h100, h200, h100_pcie, h100_nvl, a100, b200.
std::vector<std::string> shipped_gpu_models();

/// By name, or else the file of that path. Throws ConfigError: at the pointer of what the schema refuses, or with the
/// names there are.
GpuModel read_gpu_model(const std::string& name_or_path);

/// "not validated" in words where a figure of it appears: empty where the file's own error is known.
std::string doubt_of(const GpuModel& gpu);

}  // namespace tatr
