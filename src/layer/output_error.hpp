// How far a strategy moves the layer's output, and by what: assignments that it dropped, that it added, and gates that
// it rescaled. All on the layer's own weights and tokens.
#pragma once

#include <vector>

#include "layer/layer_pass.hpp"

namespace tatr {

/// Norms relative to ||y_none||. The parts are vectors that add up to y - y_none, so their norms need not.
struct OutputError {
  double overall = 0;        // ||y - y_none||
  double worst_percent = 0;  // the same over the 1 % of tokens (at least one) that are relatively furthest off
  double dropped = 0;        // what the dropped assignments had contributed
  double added = 0;          // what the added ones contribute
  double rescaled = 0;       // change of the gates of those that stay (renormalise)
};

/// Holds the output of plain top-k, to which strategies are compared. Uses the layer's workspace: whatever ran before
/// must run again after.
class OutputReference {
 public:
  /// Runs `none`, which is bound to the dispatch `before`. Both must outlive this.
  OutputReference(ExpertLayer& layer, LayerPass& none, const Dispatch& before);

  /// Runs `none` and then the strategy that is bound to the dispatch `after`.
  OutputError compare(LayerPass& strategy, const Dispatch& after);

 private:
  ExpertLayer& layer_;
  LayerPass& none_;
  std::vector<std::int32_t> offsets_;  // [E+1] of none
  std::vector<float> gates_;           // [R] of none
  Tensor output_;                      // [T, H]
  std::vector<double> squares_;        // [T] of the output's rows
};

}  // namespace tatr
