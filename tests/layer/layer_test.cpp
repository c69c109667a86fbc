#include <algorithm>
#include <cmath>

#include "catch.hpp"
#include "core/error.hpp"
#include "layer/layer_kernels.hpp"
#include "layer/layer_pass.hpp"
#include "layer/output_error.hpp"
#include "layer/verify.hpp"
#include "router/routing.hpp"
#include "router_shape.hpp"
#include "source/synthetic.hpp"
#include "tensor/tensor_values.hpp"

using namespace tatr;

namespace {

Dispatch dispatch_of(System& system, const std::vector<std::int32_t>& offsets, const std::vector<std::int32_t>& token,
                     const std::vector<float>& gate) {
  Dispatch dispatch;
  dispatch.rows = offsets.back();
  dispatch.offsets = Buffer<std::int32_t>(system, offsets);
  dispatch.token = Buffer<std::int32_t>(system, token);
  dispatch.gate = Buffer<float>(system, gate);
  return dispatch;
}

TensorView fp32(std::vector<float>& values, std::vector<std::int64_t> shape) {
  return {values.data(), DType::kFp32, std::move(shape)};
}

}  // namespace

TEST_CASE("gather copies rows and leaves zeros for padding") {
  const auto cpu = make_cpu_system(1);
  std::vector<float> x(3 * 8);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  const Dispatch dispatch = dispatch_of(*cpu, {0, 3}, {2, -1, 0}, {1, 0, 1});
  std::vector<float> out(3 * 8, -7);
  gather_rows(*cpu, fp32(x, {3, 8}), dispatch.token.data(), fp32(out, {3, 8}));
  CHECK(out[0] == 16);
  CHECK(out[8] == 0);
  CHECK(out[16] == 0);
  CHECK(out[23] == 7);
}

TEST_CASE("swiglu multiplies silu of the gate half with the other half") {
  const auto cpu = make_cpu_system(1);
  std::vector<float> up(16, 2.0f), h(8);
  up[0] = -1.0f;
  up[8] = 3.0f;
  swiglu(*cpu, fp32(up, {1, 16}), fp32(h, {1, 8}));
  CHECK(h[0] == Approx(-3.0 / (1 + std::exp(1.0))));
  CHECK(h[1] == Approx(4.0 / (1 + std::exp(-2.0))));
}

TEST_CASE("combine adds gated rows in row order; tokens without rows become zero") {
  const auto cpu = make_cpu_system(1);
  const Dispatch dispatch = dispatch_of(*cpu, {0, 2, 4}, {1, 0, 1, -1}, {0.5f, 1.0f, 0.25f, 0.0f});
  std::vector<float> rows(4 * 8);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i / 8 + 1);
  std::vector<float> y(3 * 8, -7);
  combine_rows(*cpu, fp32(rows, {4, 8}), dispatch.gate.data(), rows_by_token(*cpu, dispatch, 3), fp32(y, {3, 8}));
  CHECK(y[0] == 2.0f);
  CHECK(y[8] == 0.5f * 1 + 0.25f * 3);
  CHECK(y[16] == 0.0f);
}

TEST_CASE("random tensors do not depend on threads and have the deviation asked for") {
  const auto one = make_cpu_system(1), three = make_cpu_system(3);
  std::vector<float> a(80000), b(80000);
  fill_normal(*one, fp32(a, {80000}), 0.5f, 1, 2);
  fill_normal(*three, fp32(b, {80000}), 0.5f, 1, 2);
  CHECK(a == b);
  double squares = 0;
  for (const float value : a) squares += static_cast<double>(value) * value;
  CHECK(std::sqrt(squares / 80000) == Approx(0.5).epsilon(0.02));
}

TEST_CASE("relative_difference and count_not_finite see what they should") {
  const auto cpu = make_cpu_system(2);
  std::vector<float> a(16000, 3.0f), b(16000, 4.0f);
  CHECK(relative_difference(*cpu, fp32(a, {20, 800}), fp32(b, {20, 800})) == Approx(0.25));
  CHECK(relative_difference(*cpu, fp32(a, {20, 800}), fp32(a, {20, 800})) == 0.0);
  CHECK(count_not_finite(*cpu, fp32(a, {20, 800})) == 0);
  poison(*cpu, fp32(a, {1, 800}));
  CHECK(count_not_finite(*cpu, fp32(a, {20, 800})) == 800);
}

TEST_CASE("same_bits sees one bit, of any number of elements") {
  const auto cpu = make_cpu_system(2);
  std::vector<float> a(777, 3.0f), b(777, 3.0f);
  poison(*cpu, fp32(a, {1, 7}));
  poison(*cpu, fp32(b, {1, 7}));
  CHECK(same_bits(*cpu, fp32(a, {777}), fp32(b, {777})));
  CHECK_FALSE(same_bits(*cpu, fp32(a, {777}), fp32(b, {7, 111})));
  b.back() = std::nextafter(3.0f, 4.0f);
  CHECK_FALSE(same_bits(*cpu, fp32(a, {777}), fp32(b, {777})));
  CHECK(same_bits(*cpu, fp32(a, {0}), fp32(b, {0})));
}

TEST_CASE("the layer passes its own verification for every fill, with starved and empty experts") {
  const auto cpu = make_cpu_system();
  RouterConfig router;
  router.tokens = 200;
  router.experts = 12;
  router.top_k = 3;
  SourceConfig source;
  source.options = ZipfSource{3.0};
  const Routing routing = route(*cpu, synthetic_logits(*cpu, source, 1, 200, 12), router);
  for (const StrategyKind kind : {StrategyKind::kNone, StrategyKind::kDown, StrategyKind::kUp}) {
    for (const Fill fill : {Fill::kNextBest, Fill::kDuplicate, Fill::kPad}) {
      StrategyConfig strategy;
      strategy.kind = kind;
      strategy.fill = fill;
      const Rounded rounded = round_routing(routing, {strategy, 64, 1, 0}, *cpu);
      ExpertLayer layer(*cpu, {200, 12, 64, 32, rounded.dispatch.rows}, 5);
      LayerPass run(layer, rounded.dispatch, {"openblas"});
      REQUIRE_NOTHROW(verify(run));
    }
  }
}

TEST_CASE("a pass has the stages of the table in their order, but for those that it fuses") {
  const auto cpu = make_cpu_system(1);
  const Routing routing = route(*cpu, synthetic_logits(*cpu, {}, 1, 40, 4), router_shape(40, 4, 2));
  const Rounded rounded = round_routing(routing, {{}, 8, 1, 0}, *cpu);
  ExpertLayer layer(*cpu, {40, 4, 16, 8, rounded.dispatch.rows}, 5);
  for (std::size_t i = 0; i < kStages.size(); ++i) CHECK(index_of(kStages[i].stage) == i);
  for (const bool gather : {false, true}) {
    for (const bool swiglu : {false, true}) {
      LayerPass run(layer, rounded.dispatch, {"reference", 8, gather, swiglu});
      std::vector<Stage> expected, stages;
      for (const StageInfo& info : kStages) {
        const bool fused = (info.stage == Stage::kGather && gather) || (info.stage == Stage::kActivation && swiglu);
        if (!fused && !info.backward) expected.push_back(info.stage);
      }
      for (const auto& stage : run.stages()) stages.push_back(stage->stage());
      CHECK(stages == expected);
      CHECK_NOTHROW(verify(run));
    }
  }
}

TEST_CASE("verification finds a stage that is wrong") {
  const auto cpu = make_cpu_system(1);
  RouterConfig router;
  router.tokens = 40;
  router.experts = 4;
  router.top_k = 2;
  const Routing routing = route(*cpu, synthetic_logits(*cpu, {}, 1, 40, 4), router);
  Rounded rounded = round_routing(routing, {{}, 8, 1, 0}, *cpu);
  ExpertLayer layer(*cpu, {40, 4, 16, 8, rounded.dispatch.rows}, 5);
  LayerPass run(layer, rounded.dispatch, {});
  rounded.dispatch.gate.data()[0] += 1.0f;  // after the run has bound its lists: combine and check read the same gate
  REQUIRE_NOTHROW(verify(run));
  std::int32_t& token = rounded.dispatch.token.data()[0];
  token = (token + 1) % 40;  // the list by token still says otherwise
  CHECK_THROWS_AS(verify(run), VerificationError);
}

TEST_CASE("padding and duplicates do not change the output; a back end that is not there is refused") {
  const auto cpu = make_cpu_system();
  RouterConfig router;
  router.tokens = 100;
  router.experts = 6;
  router.top_k = 2;
  const Routing routing = route(*cpu, synthetic_logits(*cpu, {}, 1, 100, 6), router);
  StrategyConfig up;
  up.kind = StrategyKind::kUp;
  up.fill = Fill::kPad;
  const Rounded none = round_routing(routing, {{}, 32, 1, 0}, *cpu);
  const Rounded padded = round_routing(routing, {up, 32, 1, 0}, *cpu);
  ExpertLayer layer(*cpu, {100, 6, 32, 16, padded.dispatch.rows}, 5);
  LayerPass plain(layer, none.dispatch, {}), with_padding(layer, padded.dispatch, {});
  plain.run();
  std::vector<float> reference = to_host(*cpu, plain.output());
  with_padding.run();
  CHECK(relative_difference(*cpu, with_padding.output(), fp32(reference, {100, 32})) < 1e-6);
  CHECK_THROWS_AS(LayerPass(layer, none.dispatch, {"cublas_loop"}), ConfigError);
}

TEST_CASE("the output error and its parts, against sums by hand") {
  const auto cpu = make_cpu_system(2);
  const std::int64_t tokens = 300, experts = 6, hidden = 32;
  RouterConfig config = router_shape(tokens, experts, 2);
  const Routing routing = route(*cpu, synthetic_logits(*cpu, {}, 5, tokens, experts), config);
  const auto rounded = [&](StrategyKind kind, bool renormalise) {
    StrategyConfig strategy;
    strategy.kind = kind;
    strategy.renormalise = renormalise;
    return round_routing(routing, {strategy, 64, 1, 0}, *cpu).dispatch;
  };
  ExpertLayer layer(*cpu, {tokens, experts, hidden, 16, tokens * 2 + experts * 63}, 3);
  const Dispatch before = rounded(StrategyKind::kNone, false);
  LayerPass none(layer, before, {});

  /// y of a dispatch [T, H] on the host.
  const auto output_of = [&](const Dispatch& dispatch) {
    LayerPass run(layer, dispatch, {});
    run.run();
    return to_host(*cpu, run.output());
  };
  const auto distance = [&](const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0, base = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
      base += double{b[i]} * b[i];
    }
    return std::sqrt(difference / base);
  };
  const std::vector<float> reference = output_of(before);
  for (const StrategyKind kind : {StrategyKind::kDown, StrategyKind::kUp, StrategyKind::kNearest}) {
    const Dispatch after = rounded(kind, false);
    LayerPass run(layer, after, {});
    const OutputError error = OutputReference(layer, none, before).compare(run, after);
    const std::vector<float> moved = output_of(after);
    CHECK(error.overall == Approx(distance(moved, reference)).epsilon(1e-5));
    CHECK(error.rescaled == 0);
    CHECK(error.worst_percent >= error.overall);
    if (kind == StrategyKind::kDown) {  // one part alone is the whole
      CHECK(error.dropped == Approx(error.overall).epsilon(1e-4));
      CHECK(error.added == 0);
    } else if (kind == StrategyKind::kUp) {
      CHECK(error.added == Approx(error.overall).epsilon(1e-4));
      CHECK(error.dropped == 0);
    } else {
      CHECK(error.dropped > 0);
      CHECK(error.added > 0);
      CHECK(error.overall <= error.dropped + error.added);
    }

    // The worst 1 % of 300 tokens are 3.
    std::vector<std::pair<double, std::size_t>> by_token;
    const auto row = [&](const std::vector<float>& y, std::size_t t) {
      const auto first = y.begin() + static_cast<std::ptrdiff_t>(t) * hidden;
      return std::vector<float>(first, first + hidden);
    };
    for (std::size_t t = 0; t < 300; ++t) by_token.emplace_back(-distance(row(moved, t), row(reference, t)), t);
    std::sort(by_token.begin(), by_token.end());
    std::vector<float> worst_moved, worst_reference;
    for (int i = 0; i < 3; ++i) {
      const auto a = row(moved, by_token[i].second), b = row(reference, by_token[i].second);
      worst_moved.insert(worst_moved.end(), a.begin(), a.end());
      worst_reference.insert(worst_reference.end(), b.begin(), b.end());
    }
    CHECK(error.worst_percent == Approx(distance(worst_moved, worst_reference)).epsilon(1e-4));
  }
  const Dispatch after = rounded(StrategyKind::kDown, true);
  LayerPass run(layer, after, {});
  const OutputError error = OutputReference(layer, none, before).compare(run, after);
  CHECK(error.rescaled > 0);
  CHECK(error.overall <= error.dropped + error.rescaled);
  CHECK(error.overall >= std::abs(error.dropped - error.rescaled));
}
