// The backward pass: each stage by hand, and the whole gradient against finite differences of the layer as its
// definition says it, in fp64.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "catch.hpp"
#include "core/error.hpp"
#include "layer/layer_kernels.hpp"
#include "layer/output_error.hpp"
#include "layer/verify.hpp"
#include "router/routing.hpp"
#include "router_shape.hpp"
#include "source/synthetic.hpp"
#include "tensor/tensor_values.hpp"

using namespace tatr;

namespace {

struct Rows {
  std::vector<std::int32_t> offsets, token;
  std::vector<float> gate;

  Dispatch on(System& system) const {
    Dispatch dispatch;
    dispatch.rows = offsets.back();
    dispatch.offsets = Buffer<std::int32_t>(system, offsets);
    dispatch.token = Buffer<std::int32_t>(system, token);
    dispatch.gate = Buffer<float>(system, gate);
    return dispatch;
  }
};

/// An expert without rows, one with a single row, and one with most; a token twice at one expert.
Rows uneven_rows() {
  return {{0, 3, 3, 4, 13},
          {0, 2, 5, 1, 0, 1, 2, 3, 4, 5, 6, 7, 3},
          {0.5f, 0.25f, 0.75f, 1.0f, 0.3f, 0.6f, 0.2f, 0.9f, 0.4f, 0.1f, 0.8f, 0.7f, 0.35f}};
}

/// The same with rows behind each expert's own that carry nothing: padding, and duplicates of gate 0.
Rows with_idle_rows(const Rows& rows, int padding, int duplicates) {
  Rows all{{0}, {}, {}};
  for (std::size_t e = 0; e + 1 < rows.offsets.size(); ++e) {
    for (std::int32_t row = rows.offsets[e]; row < rows.offsets[e + 1]; ++row) {
      all.token.push_back(rows.token[static_cast<std::size_t>(row)]);
      all.gate.push_back(rows.gate[static_cast<std::size_t>(row)]);
    }
    for (int i = 0; i < duplicates; ++i) all.token.push_back(i % 8);
    for (int i = 0; i < padding; ++i) all.token.push_back(-1);
    all.gate.resize(all.token.size(), 0.0f);
    all.offsets.push_back(static_cast<std::int32_t>(all.token.size()));
  }
  return all;
}

constexpr std::int64_t kTokens = 8, kExperts = 4, kHidden = 16, kHalf = 8;

LayerShape small_shape(std::int64_t rows) { return {kTokens, kExperts, kHidden, kHalf, rows, DType::kFp32}; }

struct Gradients {
  std::vector<float> x, up_weights, down_weights, gate;
  bool operator==(const Gradients&) const = default;
};

Gradients gradients_of(const LayerPass& pass) {
  const ExpertLayer& layer = pass.parts().layer;
  const auto host = [&](const TensorView& view) { return to_host(layer.system, view); };
  return {host(layer.d_x.view()), host(layer.d_up_weights.view()), host(layer.d_down_weights.view()),
          host(pass.parts().rows(layer.d_gate))};
}

Gradients run(System& system, const Rows& rows, const LayerOptions& options) {
  ExpertLayer layer(system, small_shape(rows.offsets.back()), 7);
  const Dispatch dispatch = rows.on(system);
  LayerPass pass(layer, dispatch, options);
  pass.poison_outputs();
  pass.run();
  return gradients_of(pass);
}

/// The layer as its definition says it: ⟨y, dY⟩ of values on the host, in fp64.
struct Definition {
  const Rows& rows;
  std::vector<double> x, up, down, gate, dy;

  double loss() const {
    double sum = 0;
    for (std::size_t e = 0; e + 1 < rows.offsets.size(); ++e) {
      for (std::int32_t row = rows.offsets[e]; row < rows.offsets[e + 1]; ++row) sum += loss_of(e, row);
    }
    return sum;
  }

 private:
  double loss_of(std::size_t expert, std::int32_t row) const {
    const std::int32_t token = rows.token[static_cast<std::size_t>(row)];
    if (token < 0) return 0;
    const double* in = &x[static_cast<std::size_t>(token * kHidden)];
    std::vector<double> product(2 * kHalf, 0.0);
    for (std::int64_t i = 0; i < 2 * kHalf; ++i) {
      for (std::int64_t j = 0; j < kHidden; ++j) {
        product[static_cast<std::size_t>(i)] +=
            up[(expert * 2 * kHalf + static_cast<std::size_t>(i)) * kHidden + static_cast<std::size_t>(j)] * in[j];
      }
    }
    double sum = 0;
    for (std::size_t h = 0; h < kHidden; ++h) {
      double out = 0;
      for (std::size_t i = 0; i < kHalf; ++i) {
        out += down[(expert * kHidden + h) * kHalf + i] * silu(product[i]) * product[kHalf + i];
      }
      sum += gate[static_cast<std::size_t>(row)] * out * dy[static_cast<std::size_t>(token) * kHidden + h];
    }
    return sum;
  }
};

std::vector<double> wide(const std::vector<float>& values) { return {values.begin(), values.end()}; }

void check_differences(Definition& definition, std::vector<double> Definition::*of,
                       const std::vector<float>& gradient) {
  constexpr double kStep = 1e-5;
  std::vector<double>& values = definition.*of;
  REQUIRE(gradient.size() == values.size());
  double error = 0, base = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double before = values[i];
    values[i] = before + kStep;
    const double above = definition.loss();
    values[i] = before - kStep;
    const double difference = (above - definition.loss()) / (2 * kStep);
    values[i] = before;
    error += (gradient[i] - difference) * (gradient[i] - difference);
    base += difference * difference;
  }
  CHECK(base > 0);
  CHECK(std::sqrt(error / base) < 2e-6);
}

Routing routing_of(System& system, std::int64_t tokens, std::int64_t experts, std::int64_t top_k) {
  SourceConfig source;
  source.options = ZipfSource{3.0};
  return route(system, synthetic_logits(system, source, 1, tokens, experts), router_shape(tokens, experts, top_k));
}

Rounded rounded_of(System& system, const Routing& routing, StrategyKind kind, Fill fill) {
  StrategyConfig strategy;
  strategy.kind = kind;
  strategy.fill = fill;
  return round_routing(routing, {strategy, 64, 1, 0}, system);
}

}  // namespace

TEST_CASE("the gradient of SwiGLU and gate, by hand") {
  const auto cpu = make_cpu_system(1);
  std::vector<float> up(16, 2.0f), gradient(8, 0.0f), gate{0.5f}, d_up(16, NAN), weighted(8, NAN), d_gate(1, NAN);
  up[0] = -1.0f;
  up[8] = 3.0f;
  gradient[0] = 4.0f;
  const TensorView up_view{up.data(), DType::kFp32, {1, 16}}, gradient_view{gradient.data(), DType::kFp32, {1, 8}},
      d_up_view{d_up.data(), DType::kFp32, {1, 16}}, weighted_view{weighted.data(), DType::kFp32, {1, 8}};
  swiglu_gradient(*cpu, {up_view, gradient_view, gate.data()}, {d_up_view, weighted_view, d_gate.data()});
  const double share = 1 / (1 + std::exp(1.0));
  CHECK(weighted[0] == Approx(0.5 * -share * 3));
  CHECK(weighted[1] == Approx(0.5 * silu(2.0) * 2));
  CHECK(d_up[0] == Approx(0.5 * 4 * 3 * (share - share * (1 - share))));
  CHECK(d_up[8] == Approx(0.5 * 4 * -share));
  CHECK(d_up[1] == 0.0f);
  CHECK(d_gate[0] == Approx(4 * -share * 3));
}

TEST_CASE("the whole gradient agrees with finite differences of the layer's definition") {
  const auto cpu = make_cpu_system(2);
  const Rows rows = uneven_rows();
  ExpertLayer layer(*cpu, small_shape(rows.offsets.back()), 7);
  const auto host = [&](const Tensor& tensor) { return wide(to_host(*cpu, tensor.view())); };
  Definition definition{
      rows, host(layer.x), host(layer.up_weights), host(layer.down_weights), wide(rows.gate), host(layer.d_y)};
  for (const bool fused : {false, true}) {
    for (const char* backend : {"openblas", "reference"}) {
      INFO(backend << " fused " << fused);
      const Gradients gradients = run(*cpu, rows, {backend, 8, fused, fused});
      check_differences(definition, &Definition::x, gradients.x);
      check_differences(definition, &Definition::up, gradients.up_weights);
      check_differences(definition, &Definition::down, gradients.down_weights);
      check_differences(definition, &Definition::gate, gradients.gate);
    }
  }
}

TEST_CASE("a training pass has the stages of the table in their order, but for those that it fuses") {
  const auto cpu = make_cpu_system(1);
  const Rows rows = uneven_rows();
  ExpertLayer layer(*cpu, small_shape(rows.offsets.back()), 7);
  const Dispatch dispatch = rows.on(*cpu);
  for (const bool gather : {false, true}) {
    for (const bool swiglu : {false, true}) {
      LayerPass pass(layer, dispatch, {"reference", 8, gather, swiglu});
      std::vector<Stage> expected, stages;
      for (const StageInfo& info : kStages) {
        const Stage stage = info.stage;
        const bool gathers = stage == Stage::kGather || stage == Stage::kGatherGradient || stage == Stage::kGatherAgain;
        const bool activates = stage == Stage::kActivation || stage == Stage::kSwigluGradient;
        if (!(gathers && gather) && !(activates && swiglu)) expected.push_back(stage);
      }
      for (const auto& stage : pass.stages()) stages.push_back(stage->stage());
      CHECK(stages == expected);
      CHECK_NOTHROW(verify(pass));
    }
  }
}

TEST_CASE("a layer without gradients has no way back and takes less memory by what that needs") {
  const LayerShape trained = small_shape(13);
  LayerShape forward = trained;
  forward.gradients.reset();
  const std::size_t more = 2 * kTokens * kHidden + 13 * (2 * kHalf + kHalf + 1) + kExperts * 3 * kHalf * kHidden;
  CHECK(layer_bytes(trained, DType::kFp32) == layer_bytes(forward, DType::kFp32) + 4 * more);
  LayerShape halved = trained;
  halved.gradients = DType::kBf16;  // of the weights alone
  CHECK(layer_bytes(trained, DType::kFp32) - layer_bytes(halved, DType::kFp32) == 2 * kExperts * 3 * kHalf * kHidden);
  CHECK(kept_bytes_per_row(kHalf, DType::kBf16) == 2 * kHalf * 2 + 8);

  const auto cpu = make_cpu_system(1);
  const Rows rows = uneven_rows();
  const Dispatch dispatch = rows.on(*cpu);
  for (const LayerShape& shape : {trained, forward}) {
    const std::size_t before = cpu->bytes_in_use();
    ExpertLayer layer(*cpu, shape, 7);
    CHECK(cpu->bytes_in_use() - before == layer_bytes(shape, DType::kFp32));
    CHECK(LayerPass(layer, dispatch, {}).trains() == shape.trains());
  }
}

TEST_CASE("every fill of every rounding passes verification on the way back, with starved and empty experts") {
  const auto cpu = make_cpu_system();
  const Routing routing = routing_of(*cpu, 200, 12, 3);
  for (const StrategyKind kind : {StrategyKind::kNone, StrategyKind::kDown, StrategyKind::kUp}) {
    for (const Fill fill : {Fill::kNextBest, Fill::kDuplicate, Fill::kPad}) {
      const Rounded rounded = rounded_of(*cpu, routing, kind, fill);
      ExpertLayer layer(*cpu, {200, 12, 64, 32, rounded.dispatch.rows, DType::kFp32}, 5);
      for (const char* backend : {"openblas", "reference"}) {
        LayerPass pass(layer, rounded.dispatch, {backend, 64});
        INFO(backend << " strategy " << static_cast<int>(kind) << " fill " << static_cast<int>(fill));
        REQUIRE_NOTHROW(verify(pass));
      }
    }
  }
}

TEST_CASE("one row, and all rows at one expert") {
  const auto cpu = make_cpu_system();
  const Rows one{{0, 0, 1, 1, 1}, {3}, {0.5f}};
  Rows all{{0, 0, 0, 600, 600}, {}, {}};
  for (int i = 0; i < 600; ++i) {
    all.token.push_back(i * 5 % 8);
    all.gate.push_back(0.001f * static_cast<float>(i));
  }
  for (const Rows& rows : {one, all}) {
    ExpertLayer layer(*cpu, small_shape(rows.offsets.back()), 7);
    const Dispatch dispatch = rows.on(*cpu);
    for (const char* backend : {"openblas", "reference"}) {
      LayerPass pass(layer, dispatch, {backend});
      REQUIRE_NOTHROW(verify(pass));
      const Gradients gradients = gradients_of(pass);
      const auto first = gradients.up_weights.begin();  // of the first expert, which has no rows
      CHECK(std::all_of(first, first + 2 * kHalf * kHidden, [](float value) { return value == 0.0f; }));
    }
  }
}

TEST_CASE("padding and duplicated rows add exactly nothing") {
  const auto cpu = make_cpu_system();
  const Rows rows = uneven_rows();
  for (const bool fused : {false, true}) {
    for (const char* backend : {"openblas", "reference"}) {
      INFO(backend << " fused " << fused);
      const LayerOptions options{backend, 8, fused, fused};
      const Gradients plain = run(*cpu, rows, options);
      for (const auto& [padding, duplicates] : {std::pair{5, 0}, {0, 7}, {3, 4}, {300, 2}, {2, 300}}) {
        const Rows more = with_idle_rows(rows, padding, duplicates);
        const Gradients idle = run(*cpu, more, options);
        CHECK(idle.x == plain.x);
        CHECK(idle.up_weights == plain.up_weights);
        CHECK(idle.down_weights == plain.down_weights);
        for (std::size_t row = 0; row < more.token.size(); ++row) {
          if (more.token[row] < 0) CHECK(idle.gate[row] == 0.0f);
        }
      }
    }
  }
}

TEST_CASE("gradients have the same bits on every run and with any number of threads") {
  const auto one = make_cpu_system(1);
  const Routing routing = routing_of(*one, 300, 8, 3);
  for (const char* backend : {"openblas", "reference"}) {
    INFO(backend);
    std::optional<Gradients> first;
    for (const int threads : {1, 2, 3, 3}) {
      const auto cpu = make_cpu_system(threads);
      const Rounded rounded = rounded_of(*cpu, routing, StrategyKind::kNearest, Fill::kNextBest);
      ExpertLayer layer(*cpu, {300, 8, 136, 72, rounded.dispatch.rows, DType::kFp32}, 5);
      LayerPass pass(layer, rounded.dispatch, {backend});
      pass.run();
      const Gradients gradients = gradients_of(pass);
      if (!first) first = gradients;
      CHECK(gradients == *first);
    }
  }
}

TEST_CASE("verification finds a backward stage that is wrong, and one that does not write") {
  /// What a stage leaves wrong when the pass's lists are changed under it, by the stage that is blamed.
  const auto cpu = make_cpu_system(1);
  const Rows rows = uneven_rows();
  ExpertLayer layer(*cpu, small_shape(rows.offsets.back()), 7);
  const Dispatch dispatch = rows.on(*cpu);
  LayerPass pass(layer, dispatch, {"reference"});
  REQUIRE_NOTHROW(verify(pass));
  const PassSamples samples(pass.parts());
  const auto wrong = [&](Stage stage, const Tensor& output, std::int64_t element) {
    for (const auto& each : pass.stages()) {
      each->run();
      if (each->stage() != stage) continue;
      const auto worst = [&] {
        double error = 0;
        for (const StageComparison& comparison : each->compare(samples)) error = std::max(error, comparison.error());
        return error;
      };
      INFO(each->name());
      CHECK(worst() < 1e-5);
      static_cast<float*>(output.data())[element] += 1.0f;
      CHECK(worst() > 1e-3);
      return;
    }
    FAIL("no such stage");
  };
  wrong(Stage::kUp, layer.up, 0);
  wrong(Stage::kDgradDown, layer.d_up, 0);
  wrong(Stage::kDgradDown, layer.weighted, 0);
  wrong(Stage::kDgradDown, layer.d_gate, 0);
  wrong(Stage::kWgradDown, layer.d_down_weights, 0);
  wrong(Stage::kWgradDown, layer.d_down_weights, kHidden * kHalf);  // of an expert without rows
  wrong(Stage::kDgradUp, layer.down, 0);
  wrong(Stage::kCombineGradient, layer.d_x, 0);
  wrong(Stage::kWgradUp, layer.d_up_weights, 0);
  wrong(Stage::kWgradUp, layer.d_up_weights, 4 * 2 * kHalf * kHidden - 1);
  LayerPass unfused(layer, dispatch, {"openblas"});
  REQUIRE_NOTHROW(verify(unfused));
  for (const auto& stage : unfused.stages()) {
    if (stage->stage() == Stage::kSwigluGradient) CHECK(stage->outputs().size() == 3);
  }
}

TEST_CASE("the output error of a layer that is trained is that of its forward pass") {
  const auto cpu = make_cpu_system(2);
  const Routing routing = routing_of(*cpu, 300, 6, 2);
  const Rounded before = rounded_of(*cpu, routing, StrategyKind::kNone, Fill::kNextBest);
  const Rounded after = rounded_of(*cpu, routing, StrategyKind::kNearest, Fill::kNextBest);
  std::vector<OutputError> errors;
  for (const std::optional<DType> gradients : {std::optional<DType>(), std::optional(DType::kFp32)}) {
    ExpertLayer layer(*cpu, {300, 6, 32, 16, 300 * 2 + 6 * 63, gradients}, 3);
    LayerPass none(layer, before.dispatch, {}), strategy(layer, after.dispatch, {});
    errors.push_back(OutputReference(layer, none, before.dispatch).compare(strategy, after.dispatch));
  }
  CHECK(errors[0].overall == errors[1].overall);
  CHECK(errors[0].dropped == errors[1].dropped);
  CHECK(errors[0].added == errors[1].added);
  CHECK(errors[0].dropped > 0);
}
