// How a modelled GPU is named in results and reports: never like the GPU itself. And what its times may be off by.
#pragma once

#include <string>

#include "core/statistics.hpp"
#include "model/gpu_model.hpp"

namespace tatr {

/// "NVIDIA H100 80GB HBM3, modelled"
std::string modelled_name(const GpuModel& gpu);

/// Names the content of the device file: 16 hex digits.
std::string figures_digest(const GpuModel& gpu);

/// What tells a modelled GPU from every other device: "NVIDIA H100 80GB HBM3, modelled (figures 0123456789abcdef)".
std::string modelled_key(const std::string& modelled_name, const std::string& figures_digest);
std::string modelled_key(const GpuModel& gpu);

/// "median error 2 %, 90th percentile 6 % on 44 held-out cases on NVIDIA H100 80GB HBM3", with what casts doubt on it
/// before.
std::string error_words(const GpuModel& gpu);

/// Where a measurement lies of which so many are at most `error`, a share of the measurement, away from the value:
/// value / (1 + error) to value / (1 - error). `error` is less than 1.
Interval interval_of(double value, double error);

}  // namespace tatr
