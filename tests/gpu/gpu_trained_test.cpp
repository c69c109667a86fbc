// Training on a GPU gives the CPU's bits.
#include "catch.hpp"
#include "source/trained.hpp"
#include "source/training_shape.hpp"

using namespace tatr;

TEST_CASE("a router trained on the GPU has the logits of one trained on the CPU") {
  RouterConfig config = trained_router(3000, 33, 4);
  std::get<TrainedSource>(config.source.options).steps = 25;
  const auto trained = [&](System& system) { return train_router(system, config, 9, [](std::int64_t) {}); };
  const auto cpu = make_cpu_system();
  const auto gpu = make_cuda_system();
  const TrainedRouter here = trained(*cpu), there = trained(*gpu);
  CHECK(here.logits.to_host() == there.logits.to_host());
  CHECK(here.task_loss == there.task_loss);
}
