#include "source/routing_source.hpp"

#include <algorithm>
#include <utility>

#include "source/synthetic.hpp"
#include "source/trace.hpp"
#include "source/trained.hpp"

namespace tatr {

namespace {

class SyntheticSource final : public RoutingSource {
 public:
  explicit SyntheticSource(const SourceRequest& request) : request_(request) {}

  RoutingInput read(System& system, std::size_t) override {
    const RouterConfig& router = request_.router;
    return LogitInput{synthetic_logits(system, router.source, request_.seed, router.tokens, router.experts)};
  }

 private:
  const SourceRequest& request_;
};

class TrainedRouterSource final : public RoutingSource {
 public:
  explicit TrainedRouterSource(const SourceRequest& request) : request_(request) {}

  RoutingInput read(System& system, std::size_t) override {
    const std::string steps = std::to_string(request_.router.source.trained()->steps);
    TrainedRouter trained = train_router(system, request_.router, request_.seed, [&](std::int64_t step) {
      request_.progress("training, step " + std::to_string(step + 1) + " of " + steps);
    });
    task_loss_ = trained.task_loss;
    return LogitInput{std::move(trained.logits)};
  }

  std::optional<double> task_loss() const override { return task_loss_; }

 private:
  const SourceRequest& request_;
  std::optional<double> task_loss_;
};

class RecordedSource final : public RoutingSource {
 public:
  explicit RecordedSource(const SourceRequest& request)
      : request_(request), reader_(*request.router.source.trace()), layers_(reader_.inspect().tensors) {}

  std::vector<std::string> layers() const override { return layers_; }

  RoutingInput read(System& system, std::size_t layer) override {
    const TraceLayer read = reader_.read_layer(layers_[layer], request_.router.tokens, request_.router.experts);
    add_to(digest_, read);
    if (!read.logits.empty()) return LogitInput{Buffer<float>(system, read.logits)};
    return TopKInput{Buffer<std::int32_t>(system, read.chosen), Buffer<float>(system, read.scores)};
  }

  std::string digest() const override { return digest_.text(); }

 private:
  const SourceRequest& request_;
  TraceReader reader_;
  std::vector<std::string> layers_;
  Digest digest_;
};

}  // namespace

std::unique_ptr<RoutingSource> make_source(const SourceRequest& request) {
  switch (request.router.source.kind()) {
    case SourceKind::kTrained:
      return std::make_unique<TrainedRouterSource>(request);
    case SourceKind::kTrace:
      return std::make_unique<RecordedSource>(request);
    default:
      return std::make_unique<SyntheticSource>(request);
  }
}

bool has_all_scores(const SourceConfig& source) {
  return source.trace() == nullptr || inspect_trace(*source.trace()).top_k == 0;
}

std::size_t source_bytes(const RouterConfig& router) {
  return router.source.trained() != nullptr ? training_bytes(router) : 0;
}

std::size_t source_host_bytes(const RouterConfig& router) {
  if (router.source.trace() == nullptr) return 0;
  const auto tokens = static_cast<std::size_t>(router.tokens);
  return tokens * std::max(static_cast<std::size_t>(router.experts) * 4, static_cast<std::size_t>(router.top_k) * 8);
}

}  // namespace tatr
