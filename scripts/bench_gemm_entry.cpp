// C entry points of the grouped GEMM, for scripts/bench_gemm to call beside PyTorch in one process.
#include <cstdint>
#include <cstdio>
#include <exception>

#include "gemm/sm90/tatr_gemm.hpp"

extern "C" {

struct BenchGemm {
  std::int64_t experts, n, k, tile_rows, rows_bound, gather, swiglu;
  std::int64_t band_pairs, k_stagger, schedule;  // 0, negative and negative: as planned
  const void *a, *token_index, *weights, *offsets;
  void *c, *queue;
  // Behind what libraries know that were built before there was a backward pass, so that --against takes them too.
  std::int64_t kind;  // as in enum GemmKind
  std::int64_t keep, swiglu_gradient, transpose, fp32_gradient;
  void* product;
  const void* gate;
  void *weighted, *gate_gradient, *gate_parts;  // gate_parts: bench_gemm_gate_parts floats
};

static tatr::TatrPlan plan_of(const BenchGemm& bench) {
  tatr::TatrProblem problem;
  problem.experts = static_cast<std::int32_t>(bench.experts);
  problem.n = bench.n;
  problem.k = bench.k;
  problem.tile_rows = static_cast<std::int32_t>(bench.tile_rows);
  problem.rows_bound = bench.rows_bound;
  problem.gather = bench.gather != 0;
  problem.swiglu = bench.swiglu != 0;
  problem.kind = static_cast<tatr::GemmKind>(bench.kind);
  problem.keep = bench.keep != 0;
  problem.swiglu_gradient = bench.swiglu_gradient != 0;
  problem.transpose = bench.transpose != 0;
  problem.gradient = bench.fp32_gradient != 0 ? tatr::DType::kFp32 : tatr::DType::kBf16;
  tatr::TatrPlan plan = tatr::make_plan(problem, tatr::current_tatr_device());
  if (bench.band_pairs > 0) plan.band_pairs = static_cast<std::int32_t>(bench.band_pairs);
  if (bench.k_stagger >= 0) plan.k_stagger = static_cast<std::int32_t>(bench.k_stagger);
  if (bench.schedule >= 0) plan.schedule = static_cast<tatr::Schedule>(bench.schedule);
  return plan;
}

static tatr::TatrBuffers buffers_of(const BenchGemm& bench) {
  tatr::TatrBuffers buffers;
  buffers.a = bench.a;
  buffers.token_index = static_cast<const std::int32_t*>(bench.token_index);
  buffers.weights = bench.weights;
  buffers.offsets = static_cast<const std::int32_t*>(bench.offsets);
  buffers.c = bench.c;
  buffers.queue = static_cast<std::int32_t*>(bench.queue);
  buffers.product = bench.product;
  buffers.gate = static_cast<const float*>(bench.gate);
  buffers.weighted = bench.weighted;
  buffers.gate_gradient = static_cast<float*>(bench.gate_gradient);
  buffers.gate_parts = static_cast<float*>(bench.gate_parts);
  return buffers;
}

/// Floats that the GEMM wants as gate_parts; -1 on failure, with a line on stderr.
std::int64_t bench_gemm_gate_parts(const BenchGemm* bench) {
  try {
    return tatr::column_tiles_of(plan_of(*bench)) * bench->rows_bound;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_gemm: %s\n", error.what());
    return -1;
  }
}

/// Null on failure, with a line on stderr. Never freed: the process is short-lived.
const void* bench_gemm_bind(const BenchGemm* bench) {
  try {
    return new tatr::TatrGemm(plan_of(*bench), buffers_of(*bench));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_gemm: %s\n", error.what());
    return nullptr;
  }
}

/// 0 if launched.
int bench_gemm_launch(const void* gemm, void* stream) {
  try {
    static_cast<const tatr::TatrGemm*>(gemm)->launch(static_cast<CUstream_st*>(stream));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_gemm: %s\n", error.what());
    return 1;
  }
}

}  // extern "C"
