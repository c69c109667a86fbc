#include "layer/verify.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "tensor/tensor_values.hpp"

namespace tatr {

namespace {

/// bf16 rounds each output to 8 bits; sums of fp32 over a few thousand terms stay far below the other limit.
double tolerance(DType dtype) { return dtype == DType::kBf16 ? 5e-3 : 1e-5; }

void run_stage(const LayerPass& pass, PassStage& stage) {
  try {
    stage.run();
    pass.parts().layer.system.synchronize();
  } catch (const DeviceTimeoutError& error) {
    throw DeviceTimeoutError(fmt::format("{}: {}: {}", pass.backend(), stage.name(), error.what()));
  }
}

void check_finite(const LayerPass& pass, const PassStage& stage) {
  std::int64_t bad = 0, all = 0;
  for (const TensorView& output : stage.outputs()) {
    bad += count_not_finite(pass.parts().layer.system, output);
    all += output.count();
  }
  if (bad == 0) return;
  throw VerificationError(fmt::format("{}: {}: {} of {} elements were not written or are not finite", pass.backend(),
                                      stage.name(), bad, all));
}

void check_values(const LayerPass& pass, const PassStage& stage, const PassSamples& samples) {
  const double allowed = tolerance(pass.parts().layer.dtype);
  for (const StageComparison& comparison : stage.compare(samples)) {
    if (comparison.error() <= allowed) continue;
    throw VerificationError(fmt::format(
        "{}: {}: relative error {:.2e} against fp64 on sampled elements, allowed {:.0e}; worst in {} {}",
        pass.backend(), stage.name(), comparison.error(), allowed, comparison.of(), comparison.worst_row()));
  }
}

}  // namespace

void verify(LayerPass& pass) {
  pass.poison_outputs();
  const PassSamples samples(pass.parts());
  for (const auto& stage : pass.stages()) {
    // Several stages may write to one place, so each is poisoned anew, and looked at before the next one runs.
    for (const TensorView& output : stage->outputs()) poison(pass.parts().layer.system, output);
    run_stage(pass, *stage);
    check_finite(pass, *stage);
    check_values(pass, *stage, samples);
  }
}

}  // namespace tatr
