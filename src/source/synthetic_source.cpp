#include "source/routing_source.hpp"
#include "source/synthetic.hpp"

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

}  // namespace

const SourceCode kSyntheticCode = {make_source_of<SyntheticSource>};

}  // namespace tatr
