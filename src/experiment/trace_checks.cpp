#include "experiment/trace_checks.hpp"

#include <fmt/format.h>

#include <set>
#include <tuple>

#include "config/read.hpp"
#include "core/error.hpp"
#include "router/routing.hpp"
#include "source/trace.hpp"

namespace tatr {

void resolve_trace(ExperimentConfig& config) {
  const TraceSource* trace = config.router.source.trace();
  if (trace == nullptr) return;
  RouterConfig& router = config.router;
  const TraceInfo info = inspect_trace(*trace);
  const auto refuse = [&](const char* key, std::int64_t asked, const std::string& there) {
    throw ConfigError({config.file, std::string("/router/") + key},
                      fmt::format("{} is asked, but {} {}", asked, trace->path, there));
  };
  if (router.tokens == 0) router.tokens = info.tokens;
  if (router.tokens > info.tokens) {
    refuse("tokens", router.tokens, fmt::format("holds {} from token {} on", info.tokens, trace->first_token));
  }
  if (router.tokens > kMaxTokens)
    refuse("tokens", router.tokens, fmt::format("gives more than the {} allowed", kMaxTokens));
  if (router.experts == 0) router.experts = info.experts;
  if (router.experts == 0)
    throw ConfigError({config.file, "/router/experts"}, "is required: the trace does not say how many");
  if (info.experts != 0 && router.experts != info.experts) {
    refuse("experts", router.experts, fmt::format("holds logits of {}", info.experts));
  }
  if (router.experts > kMaxExperts)
    refuse("experts", router.experts, fmt::format("exceeds the {} allowed", kMaxExperts));
  if (info.top_k != 0 && router.top_k != info.top_k)
    refuse("top_k", router.top_k, fmt::format("holds the top {}", info.top_k));
  if (router.top_k > router.experts) refuse("top_k", router.top_k, fmt::format("has only {} experts", router.experts));
  check_router(router, config.file);
}

void check_traces(const std::vector<ExperimentConfig>& configs) {
  std::set<std::tuple<std::string, std::vector<std::string>, TraceValues, std::int64_t, std::int64_t, std::int64_t>>
      seen;
  for (const ExperimentConfig& config : configs) {
    const RouterConfig& router = config.router;
    const TraceSource* trace = router.source.trace();
    if (trace == nullptr) continue;
    if (!seen.insert({trace->path, trace->tensors, trace->values, trace->first_token, router.tokens, router.experts})
             .second) {
      continue;
    }
    check_trace_start(*trace, router.tokens, router.experts);
  }
}

std::string trace_digest(const ExperimentConfig& config) {
  Digest digest;
  TraceReader reader(*config.router.source.trace());
  for (const std::string& tensor : reader.inspect().tensors) {
    add_to(digest, reader.read_layer(tensor, config.router.tokens, config.router.experts));
  }
  return digest.text();
}

}  // namespace tatr
