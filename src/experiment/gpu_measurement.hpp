// Measures the figures of a GPU that the model needs (model/gpu_model.hpp): runs a few layers as any experiment is run,
// and finds for each figure the value with which the model gives what was measured.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "device/system.hpp"
#include "model/gpu_model.hpp"
#include "options/options.hpp"

namespace tatr {

/// The layers that are timed, by what they tell of a GPU: "dense" multiplies all the time, "stream" waits for weights,
/// "small" is over at once. One strategy at one tile each.
std::map<std::string, ExperimentConfig> measurement_configs();

/// Medians of one of them.
struct MeasuredLayer {
  ExperimentConfig config;
  std::vector<std::int32_t> rows;  // [E], of each expert
  double up_ms = 0, down_ms = 0, combine_ms = 0, route_us = 0;
  std::optional<double> uniform_ms;
};

/// Replaces those figures of `gpu` that the layers tell; the others are taken for right.
void find_figures(GpuModel& gpu, const std::map<std::string, MeasuredLayer>& layers);

/// Takes some 15 s. What no layer here tells apart (the GEMM's shares of a step, power, rounding) is as of the shipped
/// H100. Throws EnvironmentError where the system is no GPU that the project's kernel runs on, or its limits are not
/// told.
GpuModel measure_gpu(System& system, const std::function<void(const std::string&)>& progress);

}  // namespace tatr
