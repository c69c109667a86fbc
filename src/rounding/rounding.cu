#include <string>
#include <utility>

#include "rounding/dispatch.cuh"
#include "rounding/expert_metrics.hpp"
#include "rounding/fill.cuh"
#include "rounding/metrics.cuh"
#include "rounding/ranking.cuh"
#include "rounding/rounding.hpp"
#include "rounding/targets.cuh"

namespace tatr {

namespace {

/// FNV-1a, 64 bits: names a strategy's random stream by its canonical text.
std::uint64_t text_hash(const std::string& text) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

/// One strategy at one tile on one routing, step by step.
template <class Policy>
class Rounder {
 public:
  Rounder(const Policy& policy, System& system, const Routing& routing, const StrategyConfig& strategy,
          std::int64_t tile)
      : policy_(policy),
        system_(system),
        routing_(routing),
        strategy_(strategy),
        fill_kind_(strategy.fill.value_or(routing.has_all_scores() ? Fill::kNextBest : Fill::kPad)),
        loads_{routing.counts.data(), capacity_rows(strategy, routing, tile), tile_steps(strategy, tile)},
        own_(rank_own_tokens(policy, system, routing)),
        target_(system, static_cast<std::size_t>(routing.experts)),
        need_(system, static_cast<std::size_t>(routing.experts)) {
    if (routing.has_all_scores()) return;
    const std::string cause = "this trace holds only each token's top-k, not the scores of all experts";
    if (rule_of(strategy) == StrategyKind::kScore)
      throw ConfigError(strategy.pointer, "strategy score cannot be computed: " + cause);
    if (fill_kind_ == Fill::kNextBest)
      throw ConfigError(strategy.pointer + "/fill", "next_best cannot be computed: " + cause);
  }

  Dispatch run(std::uint64_t seed, std::int64_t layer) {
    const StrategyKind rule = rule_of(strategy_);
    if (rule == StrategyKind::kScore) find_candidates(nullptr);  // all experts: the choice itself looks at them
    if (rule == StrategyKind::kBalance) {
      for_each_index(policy_, 1, DecideBalance{loads_, routing_.experts, target_.data()});
    } else if (rule == StrategyKind::kBudget) {
      decide_budget();
    } else {
      for_each_index(policy_, routing_.experts,
                     DecideAlone{rule, loads_, strategy_.threshold, seed ^ text_hash(strategy_.canonical),
                                 static_cast<std::uint32_t>(layer), own_.keys.data(), own_.offsets.data(),
                                 candidates_.keys.data(), candidates_.offsets.data(), need_.data(), target_.data()});
    }
    if (rule != StrategyKind::kScore && fill_kind_ == Fill::kNextBest && may_go_up(rule))
      find_candidates(target_.data());
    return write_dispatch();
  }

  RoundingMetrics metrics(const Dispatch& dispatch, std::int64_t tile) {
    RoundingMetrics metrics;
    metrics.tile = strategy_.kind == StrategyKind::kDynamic ? 0 : tile;
    metrics.counts_before = routing_.counts.to_host();
    metrics.counts_after = target_.to_host();
    std::vector<std::int32_t> tile_of;
    for (const std::int32_t count : metrics.counts_before) tile_of.push_back(loads_.tiles(count));
    add_expert_metrics(metrics, tile_of, fill_kind_, routing_.tokens);

    const TokenSums sums = sum_over_tokens(policy_, system_, routing_, own_, target_.data(), dispatch);
    const auto tokens = static_cast<double>(routing_.tokens);
    const double assignments = tokens * routing_.top_k;
    metrics.dropped = sums.dropped;
    metrics.dropped_share = static_cast<double>(metrics.dropped) / assignments;
    metrics.added_share = static_cast<double>(metrics.added) / assignments;
    metrics.padded_share = static_cast<double>(metrics.padded) / assignments;
    metrics.duplicated_share = static_cast<double>(metrics.duplicated) / assignments;
    metrics.tokens_without_expert = sums.without_expert;
    metrics.dropped_gate_mass = sums.mass / tokens;
    metrics.mean_square_dropped_mass = sums.square / tokens;
    metrics.mean_cube_dropped_mass = sums.cube / tokens;
    metrics.mean_dropped_probability = sums.dropped == 0 ? 0.0 : sums.probability / static_cast<double>(sums.dropped);
    return metrics;
  }

  Fill fill_kind() const { return fill_kind_; }

 private:
  static bool may_go_up(StrategyKind rule) { return rule != StrategyKind::kNone && rule != StrategyKind::kDown; }

  /// Candidates for the experts whose target exceeds what they keep; for all with a remainder where target is null.
  void find_candidates(const std::int32_t* target) {
    for_each_index(policy_, routing_.experts, NeedOfTarget{loads_, routing_.tokens, target, need_.data()});
    candidates_ = select_fill(policy_, system_, routing_, need_.data());
  }

  void decide_budget() {
    const auto experts = static_cast<std::size_t>(routing_.experts);
    Buffer<double> squared(system_, experts), mass(system_, experts);
    Buffer<std::int32_t> order(system_, experts), place(system_, experts);
    Buffer<std::int64_t> round_ups(system_, 2);
    for_each_index(policy_, routing_.experts,
                   StakeOfExpert{loads_, own_.keys.data(), own_.offsets.data(), squared.data(), mass.data()});
    const double* stake = strategy_.objective == BudgetObjective::kMass ? mass.data() : squared.data();
    for_each_index(policy_, routing_.experts, PlaceByStake{stake, routing_.experts, order.data(), place.data()});
    CountRoundUps count{loads_, routing_.experts, BudgetRule::kOfNearest, 1.0,
                        0,      mass.data(),      order.data(),           round_ups.data()};
    if (const auto* of_nearest = std::get_if<BudgetOfNearest>(&strategy_.tiles)) count.amount = of_nearest->factor;
    if (const auto* most = std::get_if<BudgetMaxDroppedMass>(&strategy_.tiles)) {
      count.rule = BudgetRule::kMaxDroppedMass;
      count.amount = most->mass * routing_.tokens;
    }
    const auto* total = std::get_if<BudgetTotalTiles>(&strategy_.tiles);
    if (total != nullptr) {
      count.rule = BudgetRule::kTotalTiles;
      count.tiles = total->tiles;
    }
    for_each_index(policy_, 1, count);
    if (total != nullptr) {
      const std::int64_t least = round_ups.to_host()[1];
      if (total->tiles < least) {
        throw ConfigError(strategy_.pointer + "/tiles", std::to_string(total->tiles) +
                                                            " is fewer tiles than rounding every expert " +
                                                            "down needs; the least is " + std::to_string(least));
      }
    }
    for_each_index(policy_, routing_.experts, DecideBudget{loads_, place.data(), round_ups.data(), target_.data()});
  }

  Dispatch write_dispatch() {
    Dispatch dispatch;
    dispatch.offsets = Buffer<std::int32_t>(system_, static_cast<std::size_t>(routing_.experts) + 1);
    offsets_from_counts(policy_, target_.data(), routing_.experts, dispatch.offsets.data());
    dispatch.rows = dispatch.offsets.to_host(static_cast<std::size_t>(routing_.experts), 1)[0];
    dispatch.token = Buffer<std::int32_t>(system_, static_cast<std::size_t>(dispatch.rows));
    dispatch.gate = Buffer<float>(system_, static_cast<std::size_t>(dispatch.rows));
    for_each_index(policy_, dispatch.rows,
                   WriteRow{loads_, fill_kind_, routing_.experts, dispatch.offsets.data(), own_.keys.data(),
                            own_.offsets.data(), candidates_.keys.data(), candidates_.offsets.data(), need_.data(),
                            dispatch.token.data(), dispatch.gate.data()});
    if (strategy_.renormalise) {
      const TokenRows by_token = list_rows_by_token(policy_, system_, dispatch, routing_.tokens);
      for_each_index(policy_, routing_.tokens,
                     RenormaliseToken{routing_.gates.data(), routing_.top_k, by_token.offsets.data(),
                                      by_token.rows.data(), dispatch.gate.data()});
    }
    return dispatch;
  }

  const Policy& policy_;
  System& system_;
  const Routing& routing_;
  const StrategyConfig& strategy_;
  Fill fill_kind_;
  Loads loads_;
  OwnRanking own_;
  Buffer<std::int32_t> target_, need_;
  FillCandidates candidates_;
};

std::vector<std::string> warnings_of(const RoundingMetrics& metrics, Fill fill, std::int64_t tokens) {
  std::vector<std::string> warnings;
  if (fill == Fill::kNextBest && metrics.padded > 0) {
    warnings.push_back(std::to_string(metrics.padded) + " rows are padding: a target exceeds the " +
                       std::to_string(tokens) + " tokens there are");
  }
  return warnings;
}

}  // namespace

Rounded round_routing(const Routing& routing, const StrategyConfig& strategy, std::int64_t tile, std::uint64_t seed,
                      std::int64_t layer, System& system) {
  return with_policy(system, [&](auto policy) {
    Rounder rounder(policy, system, routing, strategy, tile);
    Rounded result;
    result.dispatch = rounder.run(seed, layer);
    result.metrics = rounder.metrics(result.dispatch, tile);
    result.warnings = warnings_of(result.metrics, rounder.fill_kind(), routing.tokens);
    if (!strategy.fill && !routing.has_all_scores() && result.metrics.padded > 0) {
      result.warnings.push_back(
          "filled with padding: the trace holds only each token's top-k, so the next best are not known");
    }
    return result;
  });
}

Dispatch round_dispatch(const Routing& routing, const StrategyConfig& strategy, std::int64_t tile, std::uint64_t seed,
                        std::int64_t layer, System& system) {
  return with_policy(system,
                     [&](auto policy) { return Rounder(policy, system, routing, strategy, tile).run(seed, layer); });
}

TokenRows rows_by_token(System& system, const Dispatch& dispatch, std::int64_t tokens) {
  return with_policy(system, [&](auto policy) { return list_rows_by_token(policy, system, dispatch, tokens); });
}

}  // namespace tatr
