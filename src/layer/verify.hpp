// Whether a pass computes what it should.
#pragma once

#include "layer/layer_pass.hpp"

namespace tatr {

/// Runs every stage on poisoned outputs and compares sampled elements of each with fp64 sums over the stage's own
/// input. VerificationError names the back end, the stage and the error; DeviceTimeoutError the stage that does not
/// end.
void verify(LayerPass& pass);

}  // namespace tatr
