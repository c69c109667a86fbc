// Gradients of each row's data. Through the down-projection: dA[r, :] = dY of the row's token times its expert's [H,
// I], and on through SwiGLU and gate where the back end fuses that. Through the up-projection: d_up[r, :] times its
// expert's [2I, H].
#include "layer/pass_stage.hpp"

namespace tatr {

namespace {

constexpr int kWholeRows = 6;  // whose gate's gradient is summed anew, which takes all of their expert's weights

GroupedGemmData down_data(const PassParts& parts) {
  const ExpertLayer& layer = parts.layer;
  const GroupedGemmProblem& problem = parts.backward().dgrad_down;
  GroupedGemmData data{parts.d_y_input().data(), layer.down_weights.data(), layer.activated.data(),
                       parts.dispatch.offsets.data(), parts.token_if(problem.gather)};
  if (!problem.swiglu_gradient) return data;
  data.c = layer.d_up.data();
  data.product = layer.up.data();
  data.gate = parts.dispatch.gate.data();
  data.weighted = layer.weighted.data();
  data.gate_gradient = static_cast<float*>(layer.d_gate.data());
  return data;
}

std::vector<TensorView> down_outputs(const PassParts& parts) {
  const ExpertLayer& layer = parts.layer;
  if (!parts.backward().dgrad_down.swiglu_gradient) return {parts.rows(layer.activated)};
  return {parts.rows(layer.d_up), parts.rows(layer.weighted), parts.rows(layer.d_gate)};
}

class DgradDownStage final : public GemmStage {
 public:
  explicit DgradDownStage(const PassParts& parts)
      : GemmStage(Stage::kDgradDown, parts, parts.backward().dgrad_down, down_data(parts), down_outputs(parts)) {}

  std::vector<StageComparison> compare(const PassSamples& samples) const override {
    if (parts().backward().dgrad_down.swiglu_gradient) return compare_fused(samples);
    const ExpertLayer& layer = parts().layer;
    StageComparison comparison;
    for (const auto& [row, expert, columns] : samples.rows_by_expert(layer.shape.intermediate)) {
      const std::vector<float> input = input_of(samples, row), output = samples.row_of(layer.activated, row);
      const auto weights = samples.columns_of(layer.down_weights, expert, columns);
      for (std::size_t i = 0; i < columns.size(); ++i) {
        comparison.add(row, output[static_cast<std::size_t>(columns[i])], dot(input, weights[i]));
      }
    }
    return {comparison};
  }

 private:
  std::vector<float> input_of(const PassSamples& samples, std::int64_t row) const {
    const ExpertLayer& layer = parts().layer;
    return parts().backward().dgrad_down.gather ? samples.token_row(layer.d_y, row)
                                                : samples.row_of(layer.gathered, row);
  }

  std::vector<StageComparison> compare_fused(const PassSamples& samples) const {
    const ExpertLayer& layer = parts().layer;
    const std::int64_t half = layer.shape.intermediate;
    StageComparison d_up, weighted, d_gate = gates_of_whole_rows(samples), of_parts;
    for (const auto& [row, expert, columns] : samples.rows_by_expert(half)) {
      const std::vector<float> input = input_of(samples, row), up = samples.row_of(layer.up, row);
      const std::vector<float> own = samples.row_of(layer.d_up, row), product = samples.row_of(layer.weighted, row);
      const double gate = samples.gates()[static_cast<std::size_t>(row)];
      const auto weights = samples.columns_of(layer.down_weights, expert, columns);
      for (std::size_t i = 0; i < columns.size(); ++i) {
        const auto a = static_cast<std::size_t>(columns[i]), b = static_cast<std::size_t>(half) + a;
        const double gradient = dot(input, weights[i]);
        const SwigluGradient expected = swiglu_gradient_at(up[a], up[b], gate, gradient);
        d_up.add(row, own[a], expected.a);
        d_up.add(row, own[b], expected.b);
        weighted.add(row, product[a], expected.weighted);
      }
      // ⟨dA, A⟩ times the gate, by what was written of the second half: sum over b of its gradient times b.
      double sum = 0.0;
      for (std::size_t b = static_cast<std::size_t>(half); b < up.size(); ++b) sum += double{own[b]} * double{up[b]};
      of_parts.add(row, gate * samples.gate_gradient(row), sum);
    }
    return {d_up, weighted, d_gate, of_parts};
  }

  StageComparison gates_of_whole_rows(const PassSamples& samples) const {
    const ExpertLayer& layer = parts().layer;
    const std::int64_t half = layer.shape.intermediate;
    StageComparison comparison;
    for (const std::int64_t row : samples.rows(kWholeRows)) {
      const std::vector<float> input = input_of(samples, row), up = samples.row_of(layer.up, row);
      const std::vector<float> weights = samples.matrix_of(layer.down_weights, samples.expert_of(row));
      std::vector<double> gradient(static_cast<std::size_t>(half), 0.0);
      for (std::size_t i = 0; i < input.size(); ++i) {
        const float* own = &weights[i * gradient.size()];
        for (std::size_t j = 0; j < gradient.size(); ++j) gradient[j] += double{input[i]} * double{own[j]};
      }
      double sum = 0.0;
      for (std::size_t j = 0; j < gradient.size(); ++j) sum += gradient[j] * silu(up[j]) * up[gradient.size() + j];
      comparison.add(row, samples.gate_gradient(row), sum);
    }
    return comparison;
  }
};

GroupedGemmData up_data(const PassParts& parts) {
  const ExpertLayer& layer = parts.layer;
  return {layer.d_up.data(), layer.up_weights.data(), layer.down.data(), parts.dispatch.offsets.data(), nullptr};
}

class DgradUpStage final : public GemmStage {
 public:
  explicit DgradUpStage(const PassParts& parts)
      : GemmStage(Stage::kDgradUp, parts, parts.backward().dgrad_up, up_data(parts), {parts.rows(parts.layer.down)}) {}

  std::vector<StageComparison> compare(const PassSamples& samples) const override {
    const ExpertLayer& layer = parts().layer;
    StageComparison comparison;
    for (const auto& [row, expert, columns] : samples.rows_by_expert(layer.shape.hidden)) {
      const std::vector<float> input = samples.row_of(layer.d_up, row), output = samples.row_of(layer.down, row);
      const auto weights = samples.columns_of(layer.up_weights, expert, columns);
      for (std::size_t i = 0; i < columns.size(); ++i) {
        comparison.add(row, output[static_cast<std::size_t>(columns[i])], dot(input, weights[i]));
      }
    }
    return {comparison};
  }
};

}  // namespace

std::unique_ptr<PassStage> make_dgrad_down(const PassParts& parts) {
  return parts.plan.backward ? std::make_unique<DgradDownStage>(parts) : nullptr;
}

std::unique_ptr<PassStage> make_dgrad_up(const PassParts& parts) {
  return parts.plan.backward ? std::make_unique<DgradUpStage>(parts) : nullptr;
}

}  // namespace tatr
