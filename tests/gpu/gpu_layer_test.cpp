#include <set>

#include "catch.hpp"
#include "core/error.hpp"
#include "gemm/registry.hpp"
#include "layer/layer_pass.hpp"
#include "layer/verify.hpp"
#include "router/routing.hpp"
#include "source/synthetic.hpp"
#include "tensor/tensor_values.hpp"

using namespace tatr;

namespace {

Routing skewed_routing(System& system, std::int64_t tokens, std::int64_t experts, std::int64_t top_k) {
  RouterConfig router;
  router.tokens = tokens;
  router.experts = experts;
  router.top_k = top_k;
  SourceConfig source;
  source.options = ZipfSource{1.5};
  return route(system, synthetic_logits(system, source, 1, tokens, experts), router);
}

}  // namespace

TEST_CASE("every back end passes the layer's verification, with empty experts and every fill") {
  const auto gpu = make_cuda_system();
  const Routing routing = skewed_routing(*gpu, 500, 24, 4);
  for (const BackEnd& back_end : back_ends()) {
    const std::string backend(back_end.name);
    if (!back_end.on_gpu || backend == "cublas_uniform") continue;
    for (const StrategyKind kind :
         {StrategyKind::kNone, StrategyKind::kDown, StrategyKind::kUp, StrategyKind::kNearest}) {
      for (const Fill fill : {Fill::kNextBest, Fill::kDuplicate, Fill::kPad}) {
        StrategyConfig strategy;
        strategy.kind = kind;
        strategy.fill = fill;
        const Rounded rounded = round_routing(routing, {strategy, 64, 1, 0}, *gpu);
        ExpertLayer layer(*gpu, {500, 24, 264, 136, rounded.dispatch.rows}, 5);
        for (const bool fused : {true, false}) {
          INFO(backend << " strategy " << static_cast<int>(kind) << " fill " << static_cast<int>(fill) << " fused "
                       << fused);
          LayerPass run(layer, rounded.dispatch, {backend, 64, fused, fused});
          REQUIRE_NOTHROW(verify(run));
        }
      }
    }
  }
}

TEST_CASE("every back end that trains passes verification on the way back, to the same bits every time") {
  const auto gpu = make_cuda_system();
  const Routing routing = skewed_routing(*gpu, 500, 24, 4);
  for (const DType gradients : {DType::kBf16, DType::kFp32}) {
    for (const Fill fill : {Fill::kNextBest, Fill::kDuplicate, Fill::kPad}) {
      StrategyConfig strategy;
      strategy.kind = StrategyKind::kNearest;
      strategy.fill = fill;
      const Rounded rounded = round_routing(routing, {strategy, 64, 1, 0}, *gpu);
      ExpertLayer layer(*gpu, {500, 24, 264, 136, rounded.dispatch.rows, gradients}, 5);
      for (const BackEnd& back_end : back_ends()) {
        for (const bool fused : {true, false}) {
          const LayerOptions options{std::string(back_end.name), 64, fused, fused};
          const std::vector<GroupedGemmProblem> gemms = gemms_of(unfused_plan(layer.shape, options, gpu->device()));
          if (!back_end.on_gpu || !why_not(back_end, gemms, gpu->device()).empty()) continue;
          INFO(back_end.name << " fill " << static_cast<int>(fill) << " fused " << fused << " gradients "
                             << static_cast<int>(gradients));
          LayerPass pass(layer, rounded.dispatch, options);
          REQUIRE_NOTHROW(verify(pass));
          const auto gradients_now = [&] {
            std::vector<std::vector<float>> all;
            for (const Tensor* tensor : {&layer.d_x, &layer.d_up_weights, &layer.d_down_weights}) {
              all.push_back(to_host(*gpu, tensor->view()));
            }
            all.push_back(to_host(*gpu, pass.parts().rows(layer.d_gate)));
            return all;
          };
          const std::vector<std::vector<float>> first = gradients_now();
          pass.run();
          CHECK(gradients_now() == first);
        }
      }
    }
  }
}

TEST_CASE("gradients on a GPU are nearly the CPU's, whatever the tile, the fill and the load") {
  const auto gpu = make_cuda_system();
  const auto cpu = make_cpu_system();
  struct Load {
    std::int64_t tokens, experts, top_k, hidden, intermediate;
  };
  for (const Load& load : {Load{500, 24, 4, 264, 136}, Load{300, 1, 1, 128, 64}, Load{64, 32, 1, 8, 8}}) {
    const Routing on_gpu = skewed_routing(*gpu, load.tokens, load.experts, load.top_k);
    const Routing on_cpu = skewed_routing(*cpu, load.tokens, load.experts, load.top_k);
    for (const std::int64_t tile : {32, 64, 128, 256}) {
      for (const Fill fill : {Fill::kNextBest, Fill::kDuplicate, Fill::kPad}) {
        StrategyConfig strategy;
        strategy.kind = StrategyKind::kUp;
        strategy.fill = fill;
        const Rounded a = round_routing(on_gpu, {strategy, tile, 1, 0}, *gpu);
        const Rounded b = round_routing(on_cpu, {strategy, tile, 1, 0}, *cpu);
        LayerShape shape{load.tokens, load.experts, load.hidden, load.intermediate, a.dispatch.rows, DType::kFp32};
        ExpertLayer cpu_layer(*cpu, shape, 5), gpu_layer(*gpu, shape, 5);
        const LayerOptions asked{"auto", tile};
        std::vector<std::string> back_ends_that_train;
        for (const BackEnd& back_end : back_ends()) {
          const std::vector<GroupedGemmProblem> gemms = gemms_of(unfused_plan(shape, asked, gpu->device()));
          if (back_end.on_gpu && why_not(back_end, gemms, gpu->device()).empty()) {
            back_ends_that_train.emplace_back(back_end.name);
          }
        }
        LayerPass cpu_pass(cpu_layer, b.dispatch, asked);
        cpu_pass.run();
        for (const std::string& back_end : back_ends_that_train) {
          INFO(back_end << " tile " << tile << " fill " << static_cast<int>(fill) << " tokens " << load.tokens);
          LayerPass gpu_pass(gpu_layer, a.dispatch, {back_end, tile});
          gpu_pass.poison_outputs();
          gpu_pass.run();
          const auto off_by = [&](const TensorView& own, const TensorView& theirs) {
            std::vector<float> host = to_host(*gpu, own);
            return relative_difference(*cpu, {host.data(), DType::kFp32, own.shape}, theirs);
          };
          CHECK(off_by(gpu_layer.d_x.view(), cpu_layer.d_x.view()) < 1e-2);
          CHECK(off_by(gpu_layer.d_up_weights.view(), cpu_layer.d_up_weights.view()) < 1e-2);
          CHECK(off_by(gpu_layer.d_down_weights.view(), cpu_layer.d_down_weights.view()) < 1e-2);
          const std::vector<float> gates = to_host(*gpu, gpu_pass.parts().rows(gpu_layer.d_gate)),
                                   expected = to_host(*cpu, cpu_pass.parts().rows(cpu_layer.d_gate));
          double error = 0, base = 0;
          for (std::size_t i = 0; i < gates.size(); ++i) {
            error += (double{gates[i]} - expected[i]) * (double{gates[i]} - expected[i]);
            base += double{expected[i]} * expected[i];
          }
          CHECK(error <= 1e-4 * base);
        }
      }
    }
  }
}

TEST_CASE("tiles of several sizes pass verification in one launch and in one each, with the same bits") {
  const auto gpu = make_cuda_system();
  const Routing routing = skewed_routing(*gpu, 900, 24, 4);
  StrategyConfig strategy;
  strategy.kind = StrategyKind::kDynamic;
  for (const StrategyKind then : {StrategyKind::kNone, StrategyKind::kDown, StrategyKind::kUp}) {
    strategy.options = DynamicOptions{then, {{40, 32}, {120, 64}, {500, 128}, {std::nullopt, 256}}};
    const Rounded rounded = round_routing(routing, {strategy, 64, 1, 0}, *gpu);
    const std::set<std::int32_t> sizes(rounded.tile_of_expert.begin(), rounded.tile_of_expert.end());
    REQUIRE(sizes == std::set<std::int32_t>{32, 64, 128, 256});
    ExpertLayer layer(*gpu, {900, 24, 264, 136, rounded.dispatch.rows}, 5);
    std::vector<std::vector<float>> outputs;
    for (const bool launch_per_tile : {false, true}) {
      LayerPass run(layer, rounded.dispatch, {"tatr", 64, true, true, rounded.tile_of_expert, launch_per_tile});
      INFO("then " << static_cast<int>(then) << " launch per tile " << launch_per_tile);
      CHECK(run.launches() == (launch_per_tile ? 3 : 1));  // 32 runs as 64
      CHECK_FALSE(run.granule_rows());
      REQUIRE_NOTHROW(verify(run));
      run.run();
      outputs.push_back(to_host(*gpu, run.output()));
      run.tune();
      REQUIRE_NOTHROW(verify(run));
    }
    CHECK(outputs[0] == outputs[1]);
  }
}

TEST_CASE("the layer's output has the same bits on every run, and nearly the CPU's values") {
  const auto gpu = make_cuda_system();
  const auto cpu = make_cpu_system();
  const Routing on_gpu = skewed_routing(*gpu, 200, 8, 2), on_cpu = skewed_routing(*cpu, 200, 8, 2);
  const Rounded a = round_routing(on_gpu, {{}, 32, 1, 0}, *gpu), b = round_routing(on_cpu, {{}, 32, 1, 0}, *cpu);
  ExpertLayer gpu_layer(*gpu, {200, 8, 128, 64, 400}, 5), cpu_layer(*cpu, {200, 8, 128, 64, 400}, 5);
  LayerPass gpu_run(gpu_layer, a.dispatch, {}), cpu_run(cpu_layer, b.dispatch, {});
  gpu_run.run();
  const std::vector<float> first = to_host(*gpu, gpu_run.output());
  gpu_run.run();
  CHECK(to_host(*gpu, gpu_run.output()) == first);
  cpu_run.run();
  std::vector<float> on_host = first;
  const TensorView gpu_output{on_host.data(), DType::kFp32, cpu_run.output().shape};
  CHECK(relative_difference(*cpu, gpu_output, cpu_run.output()) < 1e-2);
}

TEST_CASE("a GPU out of memory tells the bytes asked and free") {
  const auto gpu = make_cuda_system();
  try {
    gpu->allocate(std::size_t{1} << 45);
    FAIL("no error");
  } catch (const OutOfMemoryError& error) {
    CHECK(error.asked_bytes() == std::size_t{1} << 45);
    CHECK(error.free_bytes() > 0);
  }
  CHECK(gpu->bytes_in_use() == 0);
  Buffer<int> works(*gpu, std::vector<int>{1, 2, 3});
  CHECK(works.to_host() == std::vector<int>{1, 2, 3});
}
