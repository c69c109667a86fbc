// Decides whether and how the project's own grouped GEMM runs a problem: pure host arithmetic from shapes and the
// device, never from counts. What the kernel does with a plan: sm90_bf16_grouped_gemm.cuh.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/device_info.hpp"
#include "gemm/problem.hpp"
#include "gemm/sm90/gemm_config.hpp"

namespace tatr {

/// A GroupedGemmProblem (gemm/problem.hpp) as this kernel takes it: the fields mean the same.
struct TatrProblem {
  std::int32_t experts = 0;
  std::int64_t n = 0, k = 0;
  std::int32_t tile_rows = 128;  // that the user asks for
  std::int64_t rows_bound = 0;   // of a weight gradient: rows that there are, for what lies behind them may be anything
  bool gather = false, swiglu = false;
  GemmKind kind = GemmKind::kRaggedRows;
  bool keep = false, swiglu_gradient = false, transpose = false;
  DType gradient = DType::kBf16;
};

struct TatrDevice {
  std::int32_t compute_capability = 0;  // 90 for 9.0
  std::int32_t multiprocessors = 0;
};

struct TatrPlan {
  TatrProblem problem;
  std::int32_t granule_rows = 0;  // what an expert's rows are rounded up to: the tile that the time depends on, or the
                                  // step of a sum over rows
  Schedule schedule = Schedule::kCooperative;  // and with it the tile's columns and the stages: gemm_config.hpp
  std::int32_t clusters = 0;                   // pairs of CTAs, all resident at once
  std::int32_t band_pairs = 0;                 // pairs of row tiles walked at all columns before the next ones
  std::int32_t k_stagger = 0;  // k blocks by which each expert's start in k is shifted against the one before
  bool prefetch = false;       // of the rows that a weight gradient gathers, into L2, a k block before they are copied
  std::string note;            // what differs from what was asked, for the report; or empty
};

/// Of the problem of any back end, at the tile that all experts share.
TatrProblem tatr_problem_of(const GroupedGemmProblem& problem);
TatrDevice tatr_device_of(const DeviceInfo& device);

/// False, with the reason in one line, if this kernel cannot run the problem on the device.
bool can_run(const TatrProblem& problem, const TatrDevice& device, std::string* reason = nullptr);

/// What the kernel rounds an expert's rows up to where tiles of `tile_rows` are asked.
std::int32_t granule_of(std::int32_t tile_rows);

/// Where experts differ, the granules of each launch [E]: of all experts in one, or of the experts of one tile size in
/// each and 0 for the rest. Empty where all share a tile, and of weight gradients.
std::vector<std::vector<std::int32_t>> granules_of_launches(const GroupedGemmProblem& problem);

/// The plan to use unmeasured. Throws EnvironmentError where can_run is false.
TatrPlan make_plan(const TatrProblem& problem, const TatrDevice& device);

/// What a plan chooses, in words: "cooperative, tiles of 128 x 256 x 64, 4 stages, clusters of 2, k stagger 3".
std::string describe(const TatrPlan& plan);

/// The traits that the kernel is compiled with to run the plan.
GemmTraits traits_of(const TatrPlan& plan);

/// Columns of C, of its half where it has two; of a weight gradient, of its form that is not transposed.
std::int64_t outputs_of(const TatrProblem& problem);

/// Tiles that the columns of C are cut into.
std::int32_t column_tiles_of(const TatrPlan& plan);

/// All plans worth measuring, the unmeasured choice first.
std::vector<TatrPlan> candidate_plans(const TatrProblem& problem, const TatrDevice& device);

}  // namespace tatr
