// Gradients of the weights: for each expert, the sum over its rows of what went in ⊗ the gradient of what came out.
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

/// d_weights[e] [n, k] = sum of a[r, n] ⊗ b[r, k], or that transposed. `a` is by token where it is gathered.
struct Operands {
  const GroupedGemmProblem& problem;
  const Tensor &a, &b, &d_weights;
};

GroupedGemmData data_of(const PassParts& parts, const Operands& operands) {
  return {operands.a.data(), operands.b.data(), operands.d_weights.data(), parts.dispatch.offsets.data(),
          parts.token_if(operands.problem.gather)};
}

class WgradStage final : public GemmStage {
 public:
  WgradStage(Stage stage, const PassParts& parts, const Operands& operands)
      : GemmStage(stage, parts, operands.problem, data_of(parts, operands), {operands.d_weights.view()}),
        operands_(operands) {}

  /// Every expert's: of all its rows, in a few columns of either operand.
  std::vector<StageComparison> compare(const PassSamples& samples) const override {
    const auto& [problem, a, b, d_weights] = operands_;
    StageComparison comparison("expert");
    for (std::int64_t expert = 0; expert < problem.experts; ++expert) {
      const auto n = samples.columns_of_expert(problem.n, expert), k = samples.columns_of_expert(problem.k, expert);
      const std::vector<double> sums = sums_of(samples.columns_of_rows(a, expert, problem.gather, n),
                                               samples.columns_of_rows(b, expert, false, k), n.size(), k.size());
      const std::vector<float> own = problem.transpose ? samples.elements_of(d_weights, expert, k, n)
                                                       : samples.elements_of(d_weights, expert, n, k);
      for (std::size_t i = 0; i < n.size(); ++i) {
        for (std::size_t j = 0; j < k.size(); ++j) {
          comparison.add(expert, own[problem.transpose ? j * n.size() + i : i * k.size() + j], sums[i * k.size() + j]);
        }
      }
    }
    return {comparison};
  }

 private:
  /// [n, k], for a [rows, n] and b [rows, k].
  static std::vector<double> sums_of(const std::vector<float>& a, const std::vector<float>& b, std::size_t n,
                                     std::size_t k) {
    std::vector<double> sums(n * k, 0.0);
    for (std::size_t row = 0; row < a.size() / n; ++row) {
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < k; ++j) sums[i * k + j] += double{a[row * n + i]} * double{b[row * k + j]};
      }
    }
    return sums;
  }

  Operands operands_;
};

}  // namespace

std::unique_ptr<PassStage> make_wgrad_down(const PassParts& parts) {
  if (!parts.plan.backward) return nullptr;
  const ExpertLayer& layer = parts.layer;
  return std::make_unique<WgradStage>(
      Stage::kWgradDown, parts,
      Operands{parts.backward().wgrad_down, parts.d_y_input(), layer.weighted, layer.d_down_weights});
}

std::unique_ptr<PassStage> make_wgrad_up(const PassParts& parts) {
  if (!parts.plan.backward) return nullptr;
  const ExpertLayer& layer = parts.layer;
  return std::make_unique<WgradStage>(
      Stage::kWgradUp, parts, Operands{parts.backward().wgrad_up, parts.x_input(), layer.d_up, layer.d_up_weights});
}

}  // namespace tatr
