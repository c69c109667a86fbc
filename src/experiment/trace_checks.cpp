#include "experiment/trace_checks.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "config/read.hpp"
#include "core/error.hpp"
#include "device/system.hpp"
#include "router/routing.hpp"
#include "source/routing_source.hpp"

namespace tatr {

void resolve_source(ExperimentConfig& config) {
  RouterConfig& router = config.router;
  if (router.source.path() == nullptr) return;
  const std::string& path = *router.source.path();
  const SourceShape shape = shape_of(router);
  const auto refuse = [&](const char* key, std::int64_t asked, const std::string& there) {
    throw ConfigError({config.file, std::string("/router/") + key},
                      fmt::format("{} is asked, but {} {}", asked, path, there));
  };
  const bool counts = shape.known == Known::kCounts;
  if (!router.batches && !counts && router.tokens > shape.tokens) {
    refuse("tokens", router.tokens,
           fmt::format("holds {} from token {} on", shape.tokens, router.source.trace()->first_token));
  }
  if (!router.tokens_told) router.tokens = shape.tokens;
  if (!counts && router.tokens > kMaxTokens) {
    throw ConfigError(
        {config.file, "/router/tokens"},
        fmt::format("{} has {} tokens; allowed in a group: at most {}; router.tokens takes the first of them, "
                    "router.batches cuts them into groups",
                    path, router.tokens, kMaxTokens));
  }
  if (router.experts == 0) router.experts = shape.experts;
  if (router.experts == 0)
    throw ConfigError({config.file, "/router/experts"}, "is required: the file does not say how many");
  if (shape.experts != 0 && router.experts != shape.experts) {
    refuse("experts", router.experts, fmt::format("holds {} of {}", counts ? "counts" : "logits", shape.experts));
  }
  if (router.experts > kMaxExperts)
    refuse("experts", router.experts, fmt::format("exceeds the {} allowed", kMaxExperts));
  if (router.top_k == 0) router.top_k = shape.top_k;
  if (router.top_k == 0) {
    throw ConfigError({config.file, "/router/top_k"},
                      "is required: logits do not say how many experts a token goes to");
  }
  if (!counts && shape.top_k != 0 && router.top_k != shape.top_k)
    refuse("top_k", router.top_k, fmt::format("holds the top {}", shape.top_k));
  if (router.top_k > router.experts) refuse("top_k", router.top_k, fmt::format("has only {} experts", router.experts));
  if (router.top_k > kMaxTopK) refuse("top_k", router.top_k, fmt::format("exceeds the {} allowed", kMaxTopK));
  check_router(router, config.file);
}

void check_sources(const std::vector<ExperimentConfig>& configs) {
  std::set<std::pair<std::string, std::string>> seen;  // path, and all that the config says of its router
  for (const ExperimentConfig& config : configs) {
    if (config.router.source.path() == nullptr) continue;
    const auto document = nlohmann::json::parse(config.effective_json);
    if (!seen.emplace(*config.router.source.path(), document["router"].dump()).second) continue;
    check_source_start(config.router);
  }
}

std::string trace_digest(const ExperimentConfig& config) {
  const auto system = make_cpu_system();
  const SourceRequest request{config.router, config.seed};
  const auto source = make_source(request);
  const std::size_t groups = source->shape().groups, layers = source->layers().size();
  for (std::size_t layer = 0; layer < layers; ++layer) {
    for (std::size_t group = 0; group < groups; ++group) source->read(*system, layer, group);
  }
  return source->digest();
}

}  // namespace tatr
