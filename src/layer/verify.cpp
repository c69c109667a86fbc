#include "layer/verify.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "tensor/tensor_values.hpp"

namespace tatr {

namespace {

/// bf16 rounds each output to 8 bits; sums of fp32 over a few thousand terms stay far below the other limit.
double tolerance(DType dtype) { return dtype == DType::kBf16 ? 5e-3 : 1e-5; }

void run_stages(const ForwardPass& pass) {
  for (const auto& stage : pass.stages()) {
    try {
      stage->run();
      pass.parts().layer.system.synchronize();
    } catch (const DeviceTimeoutError& error) {
      throw DeviceTimeoutError(fmt::format("{}: {}: {}", pass.backend(), stage->name(), error.what()));
    }
  }
}

void check_finite(const ForwardPass& pass, const PassStage& stage) {
  const std::int64_t bad = count_not_finite(pass.parts().layer.system, stage.output());
  if (bad == 0) return;
  throw VerificationError(fmt::format("{}: {}: {} of {} elements were not written or are not finite", pass.backend(),
                                      stage.name(), bad, stage.output().count()));
}

void check_values(const ForwardPass& pass, const PassStage& stage, const PassSamples& samples) {
  const Comparison comparison = stage.compare(samples);
  const double allowed = tolerance(pass.parts().layer.dtype);
  if (comparison.error() <= allowed) return;
  throw VerificationError(
      fmt::format("{}: {}: relative error {:.2e} against fp64 on sampled elements, allowed {:.0e}; worst in row {}",
                  pass.backend(), stage.name(), comparison.error(), allowed, comparison.worst_row()));
}

}  // namespace

void verify(ForwardPass& pass) {
  pass.poison_outputs();
  run_stages(pass);
  const PassSamples samples(pass.parts());
  for (const auto& stage : pass.stages()) {  // in order: the first that is wrong is named
    check_finite(pass, *stage);
    check_values(pass, *stage, samples);
  }
}

}  // namespace tatr
