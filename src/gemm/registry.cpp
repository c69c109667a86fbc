#include "gemm/registry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "core/error.hpp"
#include "gemm/cublas/cublas.hpp"
#include "gemm/openblas/openblas.hpp"
#include "gemm/reference/reference.hpp"
#include "gemm/sm90/tatr_backend.hpp"
#include "json/schema_walk.hpp"

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
    {"cublas_grouped", "cuBLAS, one call of cublasGemmGroupedBatchedEx for all", true, kCublasMissing,
     why_not_cublas_grouped, kMakeCublas<CublasMode::kGrouped>},
    {"cublas_uniform", "cuBLAS with equal counts: a yardstick, not for layers", true, kCublasMissing,
     why_not_cublas_uniform, kMakeCublas<CublasMode::kUniform>},
    {"openblas", "one call of cblas_sgemm an expert", false, nothing, why_not_openblas, make_openblas_gemm},
    {"reference", "plain loops in fp32, for any shape: slow", false, nothing, why_not_reference, make_reference_gemm},
};

/// "auto, tatr, cublas_loop": those that `allowed` takes.
template <class Allowed>
std::string names_of(Allowed allowed) {
  std::string names = "auto";
  for (const BackEnd& each : kBackEnds) {
    if (allowed(each)) names += ", " + std::string(each.name);
  }
  return names;
}

/// The back end's own reason against the first problem that it could not run; empty: it could run all.
std::string own_reason(const BackEnd& back_end, std::span<const GroupedGemmProblem> problems,
                       const DeviceInfo& device) {
  for (const GroupedGemmProblem& problem : problems) {
    if (std::string reason = back_end.why_not(problem, device); !reason.empty()) return reason;
  }
  return {};
}

}  // namespace

std::span<const BackEnd> back_ends() { return kBackEnds; }

std::vector<BackEnd> built_back_ends() {
  std::vector<BackEnd> built;
  std::ranges::copy_if(kBackEnds, std::back_inserter(built), [](const BackEnd& each) { return each.make != nullptr; });
  return built;
}

const BackEnd* find_back_end(std::string_view name) {
  const auto found = std::ranges::find(kBackEnds, name, &BackEnd::name);
  return found == std::end(kBackEnds) ? nullptr : found;
}

const BackEnd& named_back_end(std::string_view name, const ErrorPlace& where) {
  if (const BackEnd* back_end = find_back_end(name)) return *back_end;
  const auto any = [](const BackEnd&) { return true; };
  std::vector<std::string> names;
  for (const BackEnd& each : kBackEnds) names.emplace_back(each.name);
  const std::string near = nearest_name(std::string(name), names);
  throw ConfigError(where, fmt::format("\"{}\"", name),
                    "one of " + names_of(any) + (near.empty() ? "" : "; did you mean " + near + "?"));
}

std::string why_not(const BackEnd& back_end, std::span<const GroupedGemmProblem> problems, const DeviceInfo& device) {
  if (back_end.on_gpu != device.is_gpu) return back_end.on_gpu ? "it runs on a GPU" : "it runs on the CPU";
  if (std::string missing = back_end.missing(); !missing.empty()) return missing;
  return own_reason(back_end, problems, device);
}

void could_run(const BackEnd& back_end, std::span<const GroupedGemmProblem> problems, const DeviceInfo& device,
               const ErrorPlace& where) {
  const std::string reason = own_reason(back_end, problems, device);
  if (reason.empty()) return;
  throw ConfigError(where, fmt::format("\"{}\" runs this layer on no device: {}", back_end.name, reason));
}

const BackEnd& choose_back_end(std::string_view asked, std::span<const GroupedGemmProblem> problems,
                               const DeviceInfo& device, const ErrorPlace& where) {
  if (asked != "auto") {
    const BackEnd& named = named_back_end(asked, where);
    const std::string reason = why_not(named, problems, device);
    if (reason.empty()) return named;
    const auto able = [&](const BackEnd& each) { return why_not(each, problems, device).empty(); };
    throw ConfigError(where, fmt::format("\"{}\" does not run this layer on {} ({}); allowed there: {}", asked,
                                         device.name, reason, names_of(able)));
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
