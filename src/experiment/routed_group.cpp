#include "experiment/routed_group.hpp"

#include <fmt/format.h>

#include <numeric>
#include <utility>

#include "core/error.hpp"
#include "parallel/rank_rounding.hpp"
#include "rounding/count_rounding.hpp"

namespace tatr {

namespace {

/// Whether tokens can be chosen so that a layer on them does the work that the counts tell.
void check_computable(const ExpertCounts& known, const ExperimentConfig& config) {
  const std::string model = "; or have the layer's times modelled: --device model:NAME";
  const ErrorPlace place{config.file, "/router/tokens"};
  if (known.tokens > kMaxTokens) {
    throw ConfigError(
        place, fmt::format("{} tokens are more than a layer is computed for, {}{}", known.tokens, kMaxTokens, model));
  }
  const std::int64_t sum = std::accumulate(known.counts.begin(), known.counts.end(), std::int64_t{0});
  if (sum == known.tokens * known.top_k) return;
  throw ConfigError(place,
                    fmt::format("a layer is computed only where counts add up to tokens times top_k: {} are not {} "
                                "times {}{}",
                                sum, known.tokens, known.top_k, model));
}

std::vector<Rounded> round_all(const GroupRequest& request, std::int64_t group,
                               const std::function<Rounded(const RoundingCase&)>& round, std::int64_t layer) {
  std::vector<Rounded> rounded;
  Steps rounded_so_far(request.settings.size());
  for (const Setting& setting : request.settings) {
    rounded_so_far.next();
    request.progress({name_of(setting), rounded_so_far.words()});
    rounded.push_back(
        round({*setting.strategy, setting.tile, request.config.seed + static_cast<std::uint64_t>(group), layer}));
  }
  return rounded;
}

}  // namespace

RoutedGroup round_group(const GroupRequest& request, SourceRead read, std::int64_t layer, std::int64_t group) {
  System& system = request.system;
  RoutedGroup routed{request.config, layer, read.masked, Known::kCounts, {}, {}, {}};
  routed.config.router.tokens = read.tokens;
  const RouterConfig& router = routed.config.router;
  if (const auto* counts = std::get_if<CountInput>(&read.input)) {
    const ExpertCounts known{read.tokens, router.top_k, counts->counts};
    if (!request.config.layer) {
      routed.rounded = round_all(
          request, group, [&](const RoundingCase& one) { return round_counts(known, one); }, layer);
      return routed;
    }
    check_computable(known, routed.config);
    routed.routing =
        routing_with_counts(system, known, router, request.config.seed + static_cast<std::uint64_t>(group));
  } else {
    routed.routing = route_input(system, std::move(read.input), router);
  }
  const Routing& routing = *routed.routing;
  routed.known = routing.known;
  routed.scratch = std::make_unique<RoundingScratch>(system, routing.tokens, routing.experts, routing.top_k,
                                                     most_tile(request.config));
  const auto& parallel = request.config.parallel;
  const auto round = [&](const RoundingCase& one) {
    return parallel && parallel->rounding != RankRounding::kGlobal
               ? round_on_ranks(routing, one, *parallel, system)
               : round_routing(routing, one, system, *routed.scratch);
  };
  routed.rounded = round_all(request, group, round, layer);
  return routed;
}

}  // namespace tatr
