#include <algorithm>

#include "source/routing_source.hpp"
#include "source/trace.hpp"

namespace tatr {

namespace {

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

/// A layer as it is read: logits, or ids with scores.
std::size_t host_bytes(const RouterConfig& router) {
  const auto tokens = static_cast<std::size_t>(router.tokens);
  return tokens * std::max(static_cast<std::size_t>(router.experts) * 4, static_cast<std::size_t>(router.top_k) * 8);
}

bool has_every_score(const SourceConfig& source) { return inspect_trace(*source.trace()).top_k == 0; }

}  // namespace

const SourceCode kTraceCode = {
    .make = make_source_of<RecordedSource>, .host_bytes = host_bytes, .has_all_scores = has_every_score};

}  // namespace tatr
