#include "source/routing_source.hpp"

namespace tatr {

namespace {

/// The row of a kind.
const SourceCode& code_of(const SourceConfig& source) {
  switch (source.kind()) {
    case SourceKind::kGaussian:
    case SourceKind::kZipf:
    case SourceKind::kLognormal:
    case SourceKind::kTopics:
    case SourceKind::kHot:
      return kSyntheticCode;
    case SourceKind::kTrained:
      return kTrainedCode;
    case SourceKind::kTrace:
      return kTraceCode;
    case SourceKind::kCounts:
      return kCountsCode;
  }
  return kSyntheticCode;
}

}  // namespace

std::unique_ptr<RoutingSource> make_source(const SourceRequest& request) {
  return code_of(request.router.source).make(request);
}

SourceShape shape_of(const RouterConfig& router) {
  const SourceRequest request{router};
  return make_source(request)->shape();
}

SourceShape DrawnSource::shape() const {
  const RouterConfig& router = request_.router;
  SourceShape shape;
  shape.tokens = router.tokens;
  shape.experts = router.experts;
  shape.top_k = router.top_k;
  if (router.batches) shape.groups = static_cast<std::size_t>(router.batches->count.value_or(1));
  return shape;
}

void check_source_start(const RouterConfig& router) { code_of(router.source).check_start(router); }

std::size_t source_bytes(const RouterConfig& router) { return code_of(router.source).bytes(router); }

std::size_t source_host_bytes(const RouterConfig& router) { return code_of(router.source).host_bytes(router); }

}  // namespace tatr
