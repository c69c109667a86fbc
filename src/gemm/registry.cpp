#include "gemm/registry.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "gemm/cublas/cublas.hpp"
#include "gemm/openblas/openblas.hpp"
#include "gemm/reference/reference.hpp"
#include "gemm/sm90/tatr_backend.hpp"

namespace tatr {

namespace {

using Make = decltype(BackEnd::make);

std::string nothing() { return {}; }

#if defined(TATR_HAS_CUDA)
constexpr auto kCudaMissing = nothing;
constexpr auto kCublasMissing = cublas_missing;
constexpr Make kMakeTatr = make_tatr_backend;

template <CublasMode kMode>
constexpr Make kMakeCublas =
    [](System& system, const GroupedGemmProblem& problem, const std::vector<std::int32_t>& offsets,
       const GroupedGemmData& data) { return make_cublas_gemm(system, kMode, problem, offsets, data); };
#else
std::string no_cuda() { return "this build has no CUDA"; }

constexpr auto kCudaMissing = no_cuda, kCublasMissing = no_cuda;
constexpr Make kMakeTatr = nullptr;

template <CublasMode kMode>
constexpr Make kMakeCublas = nullptr;
#endif

constexpr BackEnd kBackEnds[] = {
    {"tatr", "the project's own kernel for Hopper: tiles of 64, 128 and 256 rows", true, kCudaMissing, why_not_tatr,
     kMakeTatr},
    {"cublas_loop", "cuBLAS, one call of cublasGemmEx an expert", true, kCublasMissing, why_not_cublas,
     kMakeCublas<CublasMode::kLoop>},
    {"cublas_grouped", "cuBLAS, one call of cublasGemmGroupedBatchedEx for all", true, kCublasMissing, why_not_cublas,
     kMakeCublas<CublasMode::kGrouped>},
    {"cublas_uniform", "cuBLAS with equal counts: a yardstick, not for layers", true, kCublasMissing,
     why_not_cublas_uniform, kMakeCublas<CublasMode::kUniform>},
    {"openblas", "one call of cblas_sgemm an expert", false, nothing, why_not_openblas, make_openblas_gemm},
    {"reference", "plain loops in fp32, for any shape: slow", false, nothing, why_not_reference, make_reference_gemm},
};

/// "auto, tatr, cublas_loop": what runs the problems.
std::string names_of_able(std::span<const GroupedGemmProblem> problems, const DeviceInfo& device) {
  std::string names = "auto";
  for (const BackEnd& each : kBackEnds) {
    if (why_not(each, problems, device).empty()) names += ", " + std::string(each.name);
  }
  return names;
}

}  // namespace

std::span<const BackEnd> back_ends() { return kBackEnds; }

const BackEnd* find_back_end(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kBackEnds), std::end(kBackEnds), [&](const BackEnd& each) { return each.name == name; });
  return found == std::end(kBackEnds) ? nullptr : found;
}

std::string why_not(const BackEnd& back_end, std::span<const GroupedGemmProblem> problems, const DeviceInfo& device) {
  if (back_end.on_gpu != device.is_gpu) return back_end.on_gpu ? "it runs on a GPU" : "it runs on the CPU";
  if (const std::string missing = back_end.missing(); !missing.empty()) return missing;
  for (const GroupedGemmProblem& problem : problems) {
    if (const std::string reason = back_end.why_not(problem, device); !reason.empty()) return reason;
  }
  return {};
}

namespace {

const BackEnd& known_back_end(std::string_view name, const ErrorPlace& where) {
  if (const BackEnd* back_end = find_back_end(name)) return *back_end;
  std::string names = "auto";
  for (const BackEnd& each : kBackEnds) names += ", " + std::string(each.name);
  throw ConfigError(where, fmt::format("\"{}\"", name), "one of " + names);
}

}  // namespace

void could_run(std::string_view name, std::span<const GroupedGemmProblem> problems, const DeviceInfo& device,
               const ErrorPlace& where) {
  const BackEnd& back_end = known_back_end(name, where);
  for (const GroupedGemmProblem& problem : problems) {
    const std::string reason = back_end.why_not(problem, device);
    if (!reason.empty()) throw ConfigError(where, fmt::format("\"{}\" runs this layer on no device: {}", name, reason));
  }
}

const BackEnd& choose_back_end(std::string_view asked, std::span<const GroupedGemmProblem> problems,
                               const DeviceInfo& device, const ErrorPlace& where) {
  if (asked != "auto") {
    const BackEnd& named = known_back_end(asked, where);
    const std::string reason = why_not(named, problems, device);
    if (reason.empty()) return named;
    throw ConfigError(where, fmt::format("\"{}\" does not run this layer on {} ({}); allowed there: {}", asked,
                                         device.name, reason, names_of_able(problems, device)));
  }
  std::string reasons;
  for (const BackEnd& each : kBackEnds) {
    const std::string reason = why_not(each, problems, device);
    if (reason.empty()) return each;
    if (each.on_gpu == device.is_gpu) {
      reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", each.name, reason);
    }
  }
  throw ConfigError(where, fmt::format("no back end runs this layer on {} ({})", device.name, reasons));
}

}  // namespace tatr
