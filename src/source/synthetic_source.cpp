#include "source/routing_source.hpp"
#include "source/synthetic.hpp"

namespace tatr {

namespace {

class SyntheticSource final : public DrawnSource {
 public:
  explicit SyntheticSource(const SourceRequest& request) : DrawnSource(request) {}

  SourceRead read(System& system, std::size_t, std::size_t group) override {
    const RouterConfig& router = request_.router;
    return {LogitInput{synthetic_logits(system, router.source, request_.seed + group, router.tokens, router.experts)},
            router.tokens};
  }
};

}  // namespace

const SourceCode kSyntheticCode = {make_source_of<SyntheticSource>};

}  // namespace tatr
