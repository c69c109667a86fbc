// Measures the figures of a GPU that the model needs (model/gpu_model.hpp): runs a few layers as any experiment is run,
// and finds for each figure the value with which the model gives what was measured.
#pragma once

#include <functional>
#include <string>

#include "device/system.hpp"
#include "model/gpu_model.hpp"

namespace tatr {

/// Takes some 15 s. What no layer here tells apart (the GEMM's shares of a step, rounding) is as of the shipped H100.
/// Throws EnvironmentError where the system is no GPU that the project's kernel runs on, or its limits are
/// not told.
GpuModel measure_gpu(System& system, const std::function<void(const std::string&)>& progress);

}  // namespace tatr
