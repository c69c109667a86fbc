#include "source/routing_source.hpp"
#include "source/synthetic.hpp"

namespace tatr {

namespace {

class SyntheticSource final : public RoutingSource {
 public:
  explicit SyntheticSource(const SourceRequest& request) : request_(request) {}

  SourceRead read(System& system, std::size_t, std::size_t group) override {
    const RouterConfig& router = request_.router;
    return {LogitInput{synthetic_logits(system, router.source, request_.seed + group, router.tokens, router.experts)},
            router.tokens};
  }

 private:
  const SourceRequest& request_;
};

}  // namespace

SourceShape shape_of_drawn(const RouterConfig& router) {
  SourceShape shape;
  shape.tokens = router.tokens;
  shape.experts = router.experts;
  shape.top_k = router.top_k;
  if (router.batches) shape.groups = static_cast<std::size_t>(router.batches->count.value_or(1));
  return shape;
}

const SourceCode kSyntheticCode = {make_source_of<SyntheticSource>, shape_of_drawn};

}  // namespace tatr
