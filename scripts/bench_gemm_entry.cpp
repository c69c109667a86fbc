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
};

/// Null on failure, with a line on stderr. Never freed: the process is short-lived.
const void* bench_gemm_bind(const BenchGemm* bench) {
  try {
    tatr::TatrPlan plan = tatr::make_plan(
        {static_cast<std::int32_t>(bench->experts), bench->n, bench->k, static_cast<std::int32_t>(bench->tile_rows),
         bench->rows_bound, bench->gather != 0, bench->swiglu != 0},
        tatr::current_tatr_device());
    if (bench->band_pairs > 0) plan.band_pairs = static_cast<std::int32_t>(bench->band_pairs);
    if (bench->k_stagger >= 0) plan.k_stagger = static_cast<std::int32_t>(bench->k_stagger);
    if (bench->schedule >= 0) plan.schedule = static_cast<tatr::Schedule>(bench->schedule);
    return new tatr::TatrGemm(
        plan, {bench->a, static_cast<const std::int32_t*>(bench->token_index), bench->weights,
               static_cast<const std::int32_t*>(bench->offsets), bench->c, static_cast<std::int32_t*>(bench->queue)});
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
