#include <fmt/format.h>

#include <utility>

#include "source/routing_source.hpp"
#include "source/trained.hpp"

namespace tatr {

namespace {

class TrainedRouterSource final : public DrawnSource {
 public:
  explicit TrainedRouterSource(const SourceRequest& request) : DrawnSource(request) {}

  SourceRead read(System& system, std::size_t, std::size_t group) override {
    const auto total = request_.router.source.trained()->steps;
    Steps steps(static_cast<std::size_t>(total));
    TrainedRouter trained = train_router(system, request_.router, request_.seed + group, [&](std::int64_t step) {
      steps.next();
      const std::string left = steps.left();
      request_.progress({fmt::format("training, step {} of {}", step + 1, total), left.empty() ? left : left + ": "});
    });
    task_loss_ = trained.task_loss;
    return {LogitInput{std::move(trained.logits)}, request_.router.tokens};
  }

  std::optional<double> task_loss() const override { return task_loss_; }

 private:
  std::optional<double> task_loss_;
};

}  // namespace

const SourceCode kTrainedCode = {.make = make_source_of<TrainedRouterSource>, .bytes = training_bytes};

}  // namespace tatr
