#include <algorithm>
#include <string>
#include <utility>

#include "core/hash.hpp"
#include "rounding/dispatch.cuh"
#include "rounding/expert_metrics.hpp"
#include "rounding/fill.cuh"
#include "rounding/metrics.cuh"
#include "rounding/own_ranking.cuh"
#include "rounding/rounding.hpp"
#include "rounding/targets.cuh"
#include "rounding/tile_choice.cuh"

#if defined(__CUDACC__)
#include "rounding/kernels/deal.cuh"
#include "rounding/kernels/expert.cuh"
#include "rounding/kernels/find_fill.cuh"
#endif

namespace tatr {

namespace {

/// Sizes of what the search for fills keeps.
struct FillShape {
  std::int32_t chunk_tokens, chunks, stride, room, lists;  // lists an expert, of `room` candidates
  std::int32_t counts;                                     // an expert's room for how many its lists hold
  std::int32_t sample, sample_ranks;  // on a GPU: an expert's room for sampled scores, and how many
};

FillShape fill_shape(const System& system, std::int64_t tokens, [[maybe_unused]] std::int64_t experts,
                     std::int64_t most_tile) {
  FillShape shape{};
  shape.stride = static_cast<std::int32_t>(most_tile);  // one less would do
  const auto token_count = static_cast<std::int32_t>(tokens);
#if defined(__CUDACC__)
  if (system.is_cuda()) {
    shape.chunk_tokens =
        fill_chunk_tokens(token_count, static_cast<std::int32_t>(experts), system.device().multiprocessors);
    shape.chunks = ceil_div(token_count, shape.chunk_tokens);
    shape.room = std::min(kSortRoom, token_count);
    shape.lists = 1;
    shape.counts = kFillCountStride;
    shape.sample = kFillRanks;
    shape.sample_ranks = fill_sample_ranks(shape.stride, token_count);
    return shape;
  }
#endif
  shape.room = std::max(256, 2 * shape.stride);
  // Few enough that the lists stay below half of the logits.
  shape.chunk_tokens = std::max(ceil_div(token_count, system.threads()), 4 * shape.room);
  shape.chunks = ceil_div(token_count, shape.chunk_tokens);
  shape.lists = shape.counts = shape.chunks;
  return shape;
}

/// In how many chunks assignments are dealt: on a GPU, each expert has one cursor for all.
std::int64_t dealers_of(const System& system) { return system.is_cuda() ? 1 : system.threads(); }

/// A scratch does not know the least tile it will be used for: that of the schema.
std::int64_t most_slots(std::int64_t tokens, std::int64_t top_k, std::int64_t experts) {
  constexpr std::int64_t kLeastTile = 8;
  return tile_slots(tokens, top_k, experts, kLeastTile);
}

/// What Thrust wants to sort that many keys and values on a GPU.
std::size_t sort_bytes(std::int64_t tokens, std::int64_t experts, std::int64_t top_k) {
  return ThrustScratch::kBytes + 16 * static_cast<std::size_t>(most_slots(tokens, top_k, experts));
}

}  // namespace

struct RoundingScratch::Parts {
  std::int64_t tokens, experts, most_rows;
  std::int64_t dealers;  // chunks of tokens in which a CPU deals assignments
  FillShape fill;
  OwnRanking own;
  Buffer<std::uint64_t> spare_keys;          // [T*K] for sorting
  Buffer<std::int32_t> cursor;               // [E] GPU: zero between runs; CPU: [threads, E]
  Buffer<double> squared, mass, fill_mass;   // [E] at stake
  Buffer<std::int32_t> target, need, order;  // [E]
  Buffer<std::int32_t> down_tiles;           // [1] tiles that `down` needs
  Buffer<std::uint64_t> found, fill_keys;    // [E, lists, room], [E, stride]
  Buffer<std::int32_t> found_counts;         // [E, counts]
  Buffer<float> bounds, sample;              // [E], [E, sample]
  Buffer<std::int32_t> tile_counts, tile_offsets, tile_expert, tile_order;  // budget among tiles: TileSlots
  Buffer<double> tile_mass;
  Buffer<std::uint64_t> tile_keys;
  Buffer<std::int32_t> rows_left;  // [T]
  Dispatch dispatch;               // of most_rows; how many there are stands in offsets[E] only
  TokenRows by_token;
  ThrustScratch thrust;

  Parts(System& system, std::int64_t token_count, std::int64_t expert_count, std::int64_t top_k, std::int64_t most_tile)
      : tokens(token_count),
        experts(expert_count),
        most_rows(token_count * top_k + expert_count * (most_tile - 1)),
        dealers(dealers_of(system)),
        fill(fill_shape(system, token_count, expert_count, most_tile)),
        thrust(system, sort_bytes(token_count, expert_count, top_k)) {
    const auto e = static_cast<std::size_t>(experts), t = static_cast<std::size_t>(tokens);
    const auto assignments = t * static_cast<std::size_t>(top_k), rows = static_cast<std::size_t>(most_rows);
    own = {Buffer<std::uint64_t>(system, assignments), Buffer<std::int32_t>(system, e + 1)};
    spare_keys = Buffer<std::uint64_t>(system, assignments);
    for (Buffer<double>* each : {&squared, &mass, &fill_mass}) *each = Buffer<double>(system, e);
    for (Buffer<std::int32_t>* each : {&target, &need, &order}) *each = Buffer<std::int32_t>(system, e);
    cursor = Buffer<std::int32_t>(system, std::vector<std::int32_t>(e * static_cast<std::size_t>(dealers), 0));
    down_tiles = Buffer<std::int32_t>(system, std::vector<std::int32_t>{0});
    const std::size_t lists = e * static_cast<std::size_t>(fill.lists);
    found = Buffer<std::uint64_t>(system, lists * static_cast<std::size_t>(fill.room));
    found_counts = Buffer<std::int32_t>(system, e * static_cast<std::size_t>(fill.counts));
    bounds = Buffer<float>(system, e);
    sample = Buffer<float>(system, e * static_cast<std::size_t>(fill.sample));
    fill_keys = Buffer<std::uint64_t>(system, e * static_cast<std::size_t>(fill.stride));
    const auto slots = static_cast<std::size_t>(most_slots(tokens, top_k, experts));
    tile_counts = Buffer<std::int32_t>(system, e);
    tile_offsets = Buffer<std::int32_t>(system, e + 1);
    for (Buffer<std::int32_t>* each : {&tile_expert, &tile_order}) *each = Buffer<std::int32_t>(system, slots);
    tile_mass = Buffer<double>(system, slots);
    tile_keys = Buffer<std::uint64_t>(system, slots);
    rows_left = Buffer<std::int32_t>(system, t);
    dispatch.offsets = Buffer<std::int32_t>(system, e + 1);
    dispatch.token = Buffer<std::int32_t>(system, rows);
    dispatch.gate = Buffer<float>(system, rows);
    by_token = {Buffer<std::int32_t>(system, t + 1), Buffer<std::int32_t>(system, rows)};
  }

  TileSlots slots(std::int64_t used) {
    return {static_cast<std::int32_t>(experts),
            used,
            tile_counts.data(),
            tile_offsets.data(),
            tile_expert.data(),
            tile_mass.data(),
            tile_keys.data(),
            tile_order.data()};
  }

  FillSearch search(const Routing& routing) {
    FillSearch search;
    search.scores = routing.score_view();
    search.members = routing.members.data();
    search.tokens = routing.tokens;
    search.experts = routing.experts;
    search.member_words = ceil_div(routing.experts, 32);
    search.chunk_tokens = fill.chunk_tokens;
    search.chunks = fill.chunks;
    search.need = need.data();
    search.stride = fill.stride;
    search.room = fill.room;
    search.found = found.data();
    search.counts = found_counts.data();
    search.bounds = bounds.data();
    search.sample = sample.data();
    search.sample_ranks = fill.sample_ranks;
    search.keys = fill_keys.data();
    search.mass = fill_mass.data();
    return search;
  }
};

RoundingScratch::RoundingScratch(System& system, std::int64_t tokens, std::int64_t experts, std::int64_t top_k,
                                 std::int64_t most_tile)
    : parts_(std::make_unique<Parts>(system, tokens, experts, top_k, most_tile)) {}

RoundingScratch::~RoundingScratch() = default;

std::size_t RoundingScratch::bytes(const System& system, std::int64_t tokens, std::int64_t experts, std::int64_t top_k,
                                   std::int64_t most_tile) {
  const FillShape fill = fill_shape(system, tokens, experts, most_tile);
  const std::int64_t assignments = tokens * top_k, rows = assignments + experts * (most_tile - 1);
  const std::int64_t keys = assignments * 2 + experts * (std::int64_t{fill.lists} * fill.room + fill.stride);
  const std::int64_t of_experts = experts * (3 * 8 + 6 * 4 + 4 * (dealers_of(system) + fill.counts + fill.sample)) + 12;
  const std::int64_t of_tiles = most_slots(tokens, top_k, experts) * 24 + experts * 8 + 4;
  return static_cast<std::size_t>(keys * 8 + of_experts + tokens * 8 + 4 + rows * 12 + of_tiles) +
         (system.is_cuda() ? sort_bytes(tokens, experts, top_k) : 0);
}

namespace {

GateOfAdded added_gate_of(const StrategyConfig& strategy, const Routing& routing) {
  if (strategy.added_gate == AddedGate::kScore) return {};
  return {routing.scores.data(), routing.top_k};
}

void check_tile(const StrategyConfig& strategy, std::int64_t slots, const RoundingScratch::Parts& parts) {
  if (!chooses_tiles(strategy) || static_cast<std::size_t>(slots) <= parts.tile_keys.size()) return;
  throw ConfigError(strategy.place, "candidates tiles takes tiles of 8 rows or more");
}

}  // namespace

void check_strategy(const StrategyConfig& strategy, Known known) {
  if (known == Known::kScores) return;
  const std::string cause = known == Known::kGates
                                ? "this trace holds only each token's top-k, not the scores of all experts"
                            : known == Known::kChoices ? "this trace holds each token's experts without their scores"
                                                       : "counts of tokens per expert tell neither tokens nor scores";
  const auto refuse = [&](const ErrorPlace& place, const std::string& what) {
    throw ConfigError(place, what + " cannot be computed: " + cause);
  };
  const StrategyKind rule = rule_of(strategy);
  if (rule == StrategyKind::kScore) refuse(strategy.place, "strategy score");
  if (strategy.fill == Fill::kNextBest) refuse(strategy.place.child("fill"), "next_best");
  if (known == Known::kGates) return;
  if (rule == StrategyKind::kBudget) refuse(strategy.place, "strategy budget");
  if (strategy.renormalise) refuse(strategy.place.child("renormalise"), "renormalised gates");
}

std::vector<std::string> padding_warnings(const StrategyConfig& strategy, const RoundingMetrics& metrics) {
  if (strategy.fill || metrics.known == Known::kScores || metrics.padded == 0) return {};
  return {metrics.known == Known::kCounts
              ? "filled with padding: counts of tokens per expert do not tell the next best"
              : "filled with padding: the trace holds only each token's top-k, so the next best are not known"};
}

namespace {

/// Of each token, in parts.by_token.
template <class Policy>
void list_rows(const Policy& policy, RoundingScratch::Parts& parts) {
  const Dispatch& dispatch = parts.dispatch;
  list_rows_by_token(policy, RowOwners{dispatch.offsets.data() + parts.experts, dispatch.token.data()}, parts.most_rows,
                     {parts.rows_left.data(), static_cast<std::size_t>(parts.tokens)}, parts.by_token);
}

/// One strategy at one tile on one routing: what it needs, made ready for either way of computing it.
class Rounder {
 public:
  Rounder(const Routing& routing, const RoundingCase& one, RoundingScratch::Parts& parts)
      : routing_(routing),
        strategy_(one.strategy),
        tile_(one.tile),
        rule_(rule_of(strategy_)),
        fill_(fill_of(strategy_, routing)),
        loads_{routing.counts.data(),
               capacity_rows(strategy_, std::int64_t{routing.tokens} * routing.top_k, routing.experts, one.tile),
               tile_steps(strategy_, one.tile)},
        stake_{loads_, parts.squared.data(), parts.mass.data()},
        alone_{rule_,
               loads_,
               strategy_.get<AdaptiveOptions>().threshold,
               one.seed ^ fnv1a(strategy_.canonical),
               static_cast<std::uint32_t>(one.layer),
               parts.mass.data(),
               parts.fill_mass.data(),
               parts.target.data()},
        budget_(budget_size(strategy_, routing.tokens, std::int64_t{routing.tokens} * routing.top_k, one.tile)),
        budget_stake_(strategy_.get<BudgetOptions>().objective == BudgetObjective::kMass ? parts.mass.data()
                                                                                         : parts.squared.data()),
        search_(parts.search(routing)),
        among_tiles_(chooses_tiles(strategy_)),
        slots_(parts.slots(tile_slots(routing.tokens, routing.top_k, routing.experts, one.tile))),
        parts_(parts) {
    search_.gate = added_gate_of(strategy_, routing);
    check_tile(strategy_, slots_.slots, parts);
  }

  template <class Policy>
  void run(const Policy& policy, [[maybe_unused]] System& system) {
    if constexpr (kRunsOnGpu<Policy>) {
#if defined(__CUDACC__)
      run_on_gpu(policy, system.stream());
#endif
    } else {
      run_on_cpu(policy);
    }
    if (strategy_.renormalise) renormalise(policy);
  }

  /// Tile of each expert [E].
  std::vector<std::int32_t> tiles_of(const std::vector<std::int32_t>& counts) const {
    std::vector<std::int32_t> tiles;
    for (const std::int32_t count : counts) tiles.push_back(loads_.tiles(count));
    return tiles;
  }
  Fill fill() const { return fill_; }
  /// 0: each expert has its own.
  std::int64_t tile() const { return strategy_.kind == StrategyKind::kDynamic ? 0 : tile_; }
  const Routing& routing() const { return routing_; }
  const RoundingScratch::Parts& parts() const { return parts_; }

 private:
  bool may_go_up() const { return rule_ != StrategyKind::kNone && rule_ != StrategyKind::kDown; }
  bool finds_fill() const { return fill_ == Fill::kNextBest && may_go_up(); }
  bool looks_at_gates() const { return rule_ == StrategyKind::kBudget || rule_ == StrategyKind::kScore; }
  /// Whether the choice itself looks at the rows that would be added to any expert.
  bool looks_at_fills() const { return rule_ == StrategyKind::kScore || (among_tiles_ && fill_ == Fill::kNextBest); }

  ValueTile value_of_tiles() const {
    return {slots_,
            loads_,
            strategy_.get<BudgetOptions>().objective == BudgetObjective::kMassSquared,
            parts_.own.keys.data(),
            parts_.own.offsets.data(),
            parts_.fill_keys.data(),
            parts_.fill.stride,
            looks_at_fills() ? parts_.need.data() : nullptr,
            search_.gate};
  }

  template <class Policy>
  void run_on_cpu(const Policy& policy) {
    const std::int32_t experts = routing_.experts;
    OwnRanking& own = parts_.own;
    std::int32_t *target = parts_.target.data(), *need = parts_.need.data();
    rank_own_tokens(policy, routing_, {parts_.dealers, parts_.cursor.data(), parts_.spare_keys.data()}, own);
    for (std::int32_t e = 0; looks_at_gates() && !among_tiles_ && e < experts; ++e)
      stake_(e, own.keys.data() + own.offsets.data()[e]);
    if (looks_at_fills()) {
      for_each_index(policy, experts, NeedOfTarget{loads_, routing_.tokens, nullptr, need});
      find_fill(policy, search_);
    }
    if (rule_ == StrategyKind::kBalance) {
      decide_balance(
          experts, [&](std::int32_t e) { return Deviations::of(loads_(e)); },
          [&](std::int32_t e, std::int32_t taken) { target[e] = loads_(e).kept + taken; });
    } else if (among_tiles_) {
      order_tiles(policy, value_of_tiles());
      decide_tiles(loads_, budget_, slots_, parts_.down_tiles.data(), target);
    } else if (rule_ == StrategyKind::kBudget) {
      decide_budget(loads_, experts, budget_,
                    {budget_stake_, parts_.mass.data(), parts_.order.data(), parts_.down_tiles.data(), target});
    } else {
      for_each_index(policy, experts, alone_);
    }
    if (!looks_at_fills()) {
      for_each_index(policy, experts, NeedOfTarget{loads_, routing_.tokens, target, need});
      if (finds_fill()) find_fill(policy, search_);
    }
    Dispatch& dispatch = parts_.dispatch;
    offsets_from_counts(policy, target, experts, dispatch.offsets.data());
    for_each_index(policy, experts,
                   WriteExpert{loads_, fill_, dispatch.offsets.data(), own.keys.data(), own.offsets.data(),
                               parts_.fill_keys.data(), parts_.fill.stride, need, search_.gate, dispatch.token.data(),
                               dispatch.gate.data()});
  }

#if defined(__CUDACC__)
  DecideParams decide_params() const {
    return {alone_,
            routing_.experts,
            routing_.tokens,
            budget_,
            budget_stake_,
            parts_.order.data(),
            parts_.down_tiles.data(),
            parts_.need.data(),
            parts_.dispatch.offsets.data(),
            among_tiles_,
            slots_};
  }

  DealParams deal_params() const {
    return {routing_.chosen.data(),
            routing_.gates.data(),
            routing_.counts.data(),
            static_cast<std::int64_t>(routing_.chosen.size()),
            routing_.experts,
            routing_.top_k,
            parts_.own.offsets.data(),
            parts_.cursor.data(),
            parts_.own.keys.data(),
            looks_at_gates() ? Meanwhile::kNeedAll : Meanwhile::kDecide,
            looks_at_fills() || finds_fill(),
            search_};
  }

  /// To sort an expert's own keys, where nothing is to be written yet.
  ExpertParams expert_params() const {
    ExpertParams expert{};
    expert.experts = routing_.experts;
    expert.own_offsets = parts_.own.offsets.data();
    expert.cursor = parts_.cursor.data();
    expert.own_keys = parts_.own.keys.data();
    expert.spare_keys = parts_.spare_keys.data();
    expert.stake = stake_;
    expert.search = search_;
    expert.fill = fill_;
    expert.row_offsets = parts_.dispatch.offsets.data();
    expert.token = parts_.dispatch.token.data();
    expert.gate = parts_.dispatch.gate.data();
    expert.blocks = may_go_up() ? Blocks::kBoth : Blocks::kOwn;
    expert.sort_own = true;
    return expert;
  }

  template <class Policy>
  void run_on_gpu(const Policy& policy, cudaStream_t stream) {
    const DecideParams decide = decide_params();
    launch_deal(deal_params(), decide, stream);
    ExpertParams expert = expert_params();
    if (looks_at_fills()) {
      launch_fill(search_, stream);
      expert.join_fill = true;
      expert.sum_own = expert.sum_fill = rule_ == StrategyKind::kScore;
      launch_process(expert, stream);
      if (among_tiles_) order_tiles(policy, value_of_tiles());
      launch_decide(decide, stream);
      expert.sort_own = expert.join_fill = false;
    } else if (rule_ == StrategyKind::kBudget) {
      expert.blocks = Blocks::kOwn;
      expert.sum_own = !among_tiles_;
      launch_process(expert, stream);
      if (among_tiles_) order_tiles(policy, value_of_tiles());
      launch_decide(decide, stream);
      expert.blocks = Blocks::kBoth;
      expert.sort_own = false;
    }
    if (finds_fill() && !looks_at_fills()) {
      launch_fill(search_, stream);
      expert.join_fill = true;
    }
    expert.sum_own = expert.sum_fill = false;
    expert.write = true;
    launch_process(expert, stream);
  }
#endif

  template <class Policy>
  void renormalise(const Policy& policy) {
    list_rows(policy, parts_);
    for_each_index(policy, routing_.tokens,
                   RenormaliseToken{routing_.gates.data(), routing_.top_k, parts_.by_token.offsets.data(),
                                    parts_.by_token.rows.data(), parts_.dispatch.gate.data()});
  }

  const Routing& routing_;
  const StrategyConfig& strategy_;
  std::int64_t tile_;
  StrategyKind rule_;
  Fill fill_;
  Loads loads_;
  StakeOfExpert stake_;
  DecideAlone alone_;
  BudgetSize budget_;
  const double* budget_stake_;
  FillSearch search_;
  bool among_tiles_;
  TileSlots slots_;
  RoundingScratch::Parts& parts_;
};

/// Of what a rounder left in the scratch and `dispatch`, cut to its rows.
template <class Policy>
RoundingMetrics metrics_of(const Policy& policy, System& system, const Rounder& rounder, const Dispatch& dispatch) {
  const Routing& routing = rounder.routing();
  const RoundingScratch::Parts& parts = rounder.parts();
  RoundingMetrics metrics;
  metrics.known = routing.known;
  metrics.tile = rounder.tile();
  metrics.counts_before = routing.counts.to_host();
  metrics.counts_after = parts.target.to_host();
  add_expert_metrics(metrics, rounder.tiles_of(metrics.counts_before), rounder.fill(), routing.tokens);

  add_token_metrics(metrics, sum_over_tokens(policy, system, routing, {parts.own, parts.target.data(), dispatch}),
                    routing);
  forget_unknown(metrics);
  return metrics;
}

void check_budget(const StrategyConfig& strategy, RoundingScratch::Parts& parts) {
  const auto* total = std::get_if<BudgetTotalTiles>(&strategy.get<BudgetOptions>().tiles);
  if (rule_of(strategy) != StrategyKind::kBudget || total == nullptr) return;
  const std::int32_t least = parts.down_tiles.to_host()[0];
  if (total->tiles >= least) return;
  throw ConfigError(strategy.place.child("tiles"),
                    std::to_string(total->tiles) +
                        " is fewer tiles than rounding every expert down needs; the least is " + std::to_string(least));
}

/// The scratch's dispatch, cut to the rows there are.
Dispatch copy_of(System& system, const Dispatch& scratch) {
  const std::size_t offsets = scratch.offsets.size();
  Dispatch dispatch;
  dispatch.rows = scratch.offsets.to_host(offsets - 1, 1)[0];
  const auto rows = static_cast<std::size_t>(dispatch.rows);
  dispatch.offsets = Buffer<std::int32_t>(system, offsets);
  dispatch.token = Buffer<std::int32_t>(system, rows);
  dispatch.gate = Buffer<float>(system, rows);
  system.copy(dispatch.offsets.data(), scratch.offsets.data(), offsets * sizeof(std::int32_t));
  system.copy(dispatch.token.data(), scratch.token.data(), rows * sizeof(std::int32_t));
  system.copy(dispatch.gate.data(), scratch.gate.data(), rows * sizeof(float));
  return dispatch;
}

std::vector<std::string> warnings_of(const RoundingMetrics& metrics, Fill fill, std::int64_t tokens) {
  std::vector<std::string> warnings;
  if (fill == Fill::kNextBest && metrics.padded > 0) {
    warnings.push_back(std::to_string(metrics.padded) + " rows are padding: a target exceeds the " +
                       std::to_string(tokens) + " tokens there are");
  }
  return warnings;
}

}  // namespace

Fill fill_of(const StrategyConfig& strategy, const Routing& routing) {
  return strategy.fill.value_or(routing.has_all_scores() ? Fill::kNextBest : Fill::kPad);
}

std::int64_t most_tile_of(const StrategyConfig& strategy, std::int64_t tile) {
  const TileSteps steps = tile_steps(strategy, tile);
  return *std::max_element(steps.tile, steps.tile + steps.count);
}

void round_into(const Routing& routing, const RoundingCase& one, System& system, RoundingScratch& scratch) {
  check_strategy(one.strategy, routing.known);
  Rounder rounder(routing, one, scratch.parts());
  with_policy(
      system, [&](auto policy) { rounder.run(policy, system); }, &scratch.parts().thrust);
}

Rounded round_routing(const Routing& routing, const RoundingCase& one, System& system) {
  RoundingScratch scratch(system, routing.tokens, routing.experts, routing.top_k, most_tile_of(one.strategy, one.tile));
  return round_routing(routing, one, system, scratch);
}

Rounded round_routing(const Routing& routing, const RoundingCase& one, System& system, RoundingScratch& scratch) {
  const StrategyConfig& strategy = one.strategy;
  round_into(routing, one, system, scratch);
  check_budget(strategy, scratch.parts());
  const Rounder rounder(routing, one, scratch.parts());
  return with_policy(system, [&](auto policy) {
    Rounded result;
    result.dispatch = copy_of(system, scratch.parts().dispatch);
    result.metrics = metrics_of(policy, system, rounder, result.dispatch);
    if (strategy.kind == StrategyKind::kDynamic) {
      result.tile_of_expert = rounder.tiles_of(result.metrics.counts_before);
    }
    result.warnings = warnings_of(result.metrics, rounder.fill(), routing.tokens);
    for (std::string& warning : padding_warnings(strategy, result.metrics))
      result.warnings.push_back(std::move(warning));
    return result;
  });
}

RoundedView view_of(RoundingScratch& scratch) {
  const RoundingScratch::Parts& parts = scratch.parts();
  return {parts.most_rows, parts.target.data(), parts.dispatch.offsets.data(), parts.dispatch.token.data(),
          parts.dispatch.gate.data()};
}

TokenRowsView list_rows_by_token(System& system, RoundingScratch& scratch) {
  RoundingScratch::Parts& parts = scratch.parts();
  with_policy(
      system, [&](auto policy) { list_rows(policy, parts); }, &parts.thrust);
  return {parts.by_token.offsets.data(), parts.by_token.rows.data()};
}

void check_rounded(const StrategyConfig& strategy, RoundingScratch& scratch) {
  check_budget(strategy, scratch.parts());
}

Dispatch dispatch_of(System& system, RoundingScratch& scratch) { return copy_of(system, scratch.parts().dispatch); }

void poison_dispatch(System& system, RoundingScratch& scratch) {
  constexpr std::int32_t kNowhere = -2;
  Dispatch& dispatch = scratch.parts().dispatch;
  with_policy(system, [&](auto policy) {
    thrust::fill_n(policy, dispatch.offsets.data(), dispatch.offsets.size(), 0);
    thrust::fill_n(policy, dispatch.token.data(), dispatch.token.size(), kNowhere);
    thrust::fill_n(policy, dispatch.gate.data(), dispatch.gate.size(), float_from_bits(0x7FC00000u));
  });
}

TokenRows rows_by_token(System& system, const Dispatch& dispatch, std::int64_t tokens) {
  TokenRows result{Buffer<std::int32_t>(system, static_cast<std::size_t>(tokens) + 1),
                   Buffer<std::int32_t>(system, static_cast<std::size_t>(dispatch.rows))};
  Buffer<std::int32_t> left(system, static_cast<std::size_t>(tokens));
  const RowOwners owner{dispatch.offsets.data() + dispatch.offsets.size() - 1, dispatch.token.data()};
  with_policy(system, [&](auto policy) {
    list_rows_by_token(policy, owner, dispatch.rows, {left.data(), left.size()}, result);
  });
  return result;
}

}  // namespace tatr
