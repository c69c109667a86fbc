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

SourceShape shape_of(const RouterConfig& router) { return code_of(router.source).shape(router); }

void check_source_start(const RouterConfig& router) { code_of(router.source).check_start(router); }

std::size_t source_bytes(const RouterConfig& router) { return code_of(router.source).bytes(router); }

std::size_t source_host_bytes(const RouterConfig& router) { return code_of(router.source).host_bytes(router); }

}  // namespace tatr
