// The project's own Hopper kernel (tatr_gemm.hpp) behind the interface of all back ends.
#pragma once

#include "gemm/grouped_gemm.hpp"

namespace tatr {

/// Whether the GPU of a system can run it: compute capability 9.0.
bool tatr_backend_runs(const System& system);

/// Throws ConfigError with the reason where it cannot run.
std::unique_ptr<GroupedGemm> make_tatr_backend(System& system, const GroupedGemmShape& shape,
                                               const GroupedGemmData& data);

}  // namespace tatr
