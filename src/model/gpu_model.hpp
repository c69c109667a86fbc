// A GPU as the model of the layer's times knows it: a file of figures (configs/devices), measured by `tatr-sim device
// --measure`, or derived from another one's by datasheets. The GPU need not be at hand. What each figure means, and how
// figures are derived: docs/model.md.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "device/device_info.hpp"

namespace tatr {

/// Where the figures of a device file come from.
enum class FiguresFrom {
  kMeasured,  // on such a GPU, by this program
  kDatasheet  // a measured file of another GPU, scaled by what datasheets say of both
};

/// How far modelled times were from measured ones, as shares of the measured, over cases that nothing was fitted on.
struct ModelError {
  double median = 0, p90 = 0;  // of times, in the stage where it is worst
  double ratio = 0;            // 90th percentile of a speed-up's: what errs alike in both of its times cancels
  std::int64_t cases = 0;
  std::string where;                              // on which GPU, by which figures
  bool own = false;                               // of this GPU by this file; else of another, which is no promise
  std::optional<double> ratio_across_tiles = {};  // as `ratio`, of times at different tiles, where less cancels

  /// 90th percentile of the error of a ratio of two times. Where none is known across tiles, that of a time stands in:
  /// as if one of the two were right.
  double of_ratio(bool same_tile) const { return same_tile ? ratio : ratio_across_tiles.value_or(p90); }
};

/// What datasheets say.
struct GpuPeaks {
  double clock_mhz = 0;     // the highest
  double power_w = 0;       // the cap
  double flops_clock = 0;   // bf16, dense, of a multiprocessor in a clock
  double memory_bytes = 0;  // a second
};

/// Of the project's grouped GEMM (gemm/sm90), in steps of 64 of k of a tile of 128 x 256. Shares are of such a step.
struct GemmFigures {
  double half_step = 0;                               // a tile of 64 rows
  double gathered_half_step = 0;                      // the same, with rows gathered in the load
  double partial_gather = 0;                          // a step of a tile with missing rows, gathered
  double ping_pong_step = 0;                          // per FLOP, of tiles of 128 x 128 in turns
  double epilogue_us = 0, ping_pong_epilogue_us = 0;  // of a tile, what the next one's products do not hide
  double launch_us = 0;                               // of a launch, from start to first product and from last to end
  double band_rereads = 0;                            // share of an expert's weights that a further band reads again
  double window = 0;     // tiles that share memory's rate while they run, in rounds of all multiprocessors
  double sharpness = 0;  // p of (multiply^p + memory^p)^(1/p)
};

/// Shares of the power cap, and how power grows with the clock: a multiplication's energy with clock^(growth - 1).
struct PowerFigures {
  double idle = 0;    // whatever runs
  double memory = 0;  // while memory is read at its full rate
  double growth = 0;
};

struct CombineFigures {
  double bytes = 0;                 // a second
  double launch_us = 0;             // beside what bytes or elements take
  double row_ps = 0, token_ps = 0;  // of an element of a row, and of the output, where bytes do not bind
  double turn_us = 0;               // of a token's row: they are added one after the other
};

/// cuBLAS at equal counts.
struct UniformFigures {
  double rate = 0, memory_rate = 0;  // shares of `flops` and of the memory's bytes
  double depth = 0;                  // k at which filling and emptying tiles takes half the time
  double launch_us = 0;
};

/// Top-k with gates and counts.
struct RoutingFigures {
  double launch_us = 0, token_ns = 0, logit_ns = 0;
  double groups_us = 0;  // more, where experts are chosen by groups
};

/// A rounding with its dispatch, as a replayed graph.
struct RoundingFigures {
  double counts_us = 0, fills_us = 0, budget_us = 0;  // by counts alone; with rows to find; by gates and budget
  double row_ns = 0;                                  // of a row
  double sort_ns = 0, merge_ns = 0;                   // of the largest expert's rows; more for each merge
  double expert_ns = 0;                               // where rows are found
};

struct GpuFigures {
  double flops = 0;         // bf16 a second while all tensor cores multiply, and memory rests, under the power cap
  double memory_bytes = 0;  // a second, of weights that stream
  double l2_bytes = 0;      // a second, into shared memory
  PowerFigures power;
  GemmFigures gemm;
  CombineFigures combine;
  UniformFigures uniform;
  RoutingFigures routing;
  RoundingFigures rounding;
};

/// Of figures that were measured.
struct Measurement {
  std::string date, version;  // of the program
  std::string note;           // which figures were found how
};

/// What a GEMM cannot beat, a second: dense work and copies at their best, measured.
struct DeviceRates {
  double flops = 0, bytes = 0;
};

struct GpuModel {
  std::string id;    // "h100", or the path of a file
  std::string name;  // the product
  FiguresFrom from = FiguresFrom::kDatasheet;
  std::string source;  // in words: date and version, or the datasheet
  Measurement measured = {};
  ModelError error;
  std::int64_t memory_bytes = 0;
  DeviceInfo device;  // as back ends are asked; is_gpu
  GpuPeaks peaks;
  std::optional<DeviceRates> ceilings;
  GpuFigures figures;
};

/// Those that the program carries.
std::vector<std::string> shipped_gpu_models();

/// By name, or else the file of that path. Throws ConfigError: at the pointer of what the schema refuses, or with the
/// names there are.
GpuModel read_gpu_model(const std::string& name_or_path);

/// The file's own text, of a name or path.
nlohmann::ordered_json gpu_model_document(const std::string& name_or_path);

/// The device file of measured figures.
nlohmann::ordered_json gpu_model_document(const GpuModel& gpu);

/// The figures of `like` on a GPU of other peaks and size: rates of multiplying by the power law, rates of memory by
/// its peak, all else as it is.
GpuFigures scale_figures(const GpuModel& like, const GpuPeaks& peaks, int multiprocessors);

/// How many times faster than `flops` the tensor cores are while they multiply a share `busy` of the time, and memory
/// runs at a share `streaming` of its rate: what the power cap leaves to them, at most the highest clock.
double clock_gain(const GpuModel& gpu, double busy, double streaming);

/// "datasheet, not validated" in words where a figure of it appears; empty where the file's own error is known.
std::string doubt_of(const GpuModel& gpu);

}  // namespace tatr
