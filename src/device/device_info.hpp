// What is known of a device without running anything on it: enough to say what could run there. A device that is not at
// hand is described by the same.
#pragma once

#include <optional>
#include <string>

namespace tatr {

struct DeviceInfo {
  std::string name = "cpu";  // "cpu", or the GPU's product name
  bool is_gpu = false;
  int compute_capability = 0;          // of a GPU: 90 for 9.0
  int multiprocessors = 0;             // of a GPU
  std::optional<std::string> runtime;  // of CUDA, "13.0": what this build uses on it
};

}  // namespace tatr
