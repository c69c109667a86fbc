#include "gemm/grouped_gemm.hpp"

#include "core/error.hpp"
#include "gemm/openblas.hpp"

#if defined(TATR_HAS_CUDA)
#include "gemm/cublas.hpp"
#include "gemm/tatr_backend.hpp"
#endif

namespace tatr {

#if !defined(TATR_HAS_CUDA)
static bool tatr_backend_runs(const System&) { return false; }
#endif

bool can_fuse(const std::string& backend) { return backend == "tatr"; }

std::string default_backend(const System& system) {
  if (!system.is_cuda()) return "openblas";
  return tatr_backend_runs(system) ? "tatr" : "cublas_loop";
}

bool has_uniform_yardstick([[maybe_unused]] const System& system) {
#if defined(TATR_HAS_CUDA)
  return system.is_cuda() && cublas_is_there();
#else
  return false;
#endif
}

std::vector<std::string> backends_of(bool cuda) {
  if (!cuda) return {"openblas"};
  return {"tatr", "cublas_grouped", "cublas_loop", "cublas_uniform"};
}

std::unique_ptr<GroupedGemm> make_grouped_gemm(System& system, const std::string& backend,
                                               const GroupedGemmShape& shape, const std::vector<std::int32_t>& offsets,
                                               const GroupedGemmData& data) {
  const std::string name = backend == "auto" ? default_backend(system) : backend;
  if (!system.is_cuda() && name == "openblas") return make_openblas_gemm(system.threads(), shape, offsets, data);
#if defined(TATR_HAS_CUDA)
  if (system.is_cuda() && name == "tatr") return make_tatr_backend(system, shape, data);
  if (system.is_cuda() && name == "cublas_grouped")
    return make_cublas_gemm(system, CublasMode::kGrouped, shape, offsets, data);
  if (system.is_cuda() && name == "cublas_loop")
    return make_cublas_gemm(system, CublasMode::kLoop, shape, offsets, data);
  if (system.is_cuda() && name == "cublas_uniform")
    return make_cublas_gemm(system, CublasMode::kUniform, shape, offsets, data);
#endif
  std::string allowed = "auto";
  for (const std::string& other : backends_of(system.is_cuda())) allowed += ", " + other;
  throw ConfigError("/layer/backend",
                    "\"" + name + "\" does not run on " + system.name() + "; allowed there: " + allowed);
}

}  // namespace tatr
