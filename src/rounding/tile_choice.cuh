// `budget` among whole tiles: what each tile of each expert carries, and the order in which tiles are kept.
//
// An expert's ranking, its own tokens and then those that would be added, is cut into the tiles that `up` gives it. A
// tile carries the gates of its rows, or their squares. As no tile is kept without those before it, it counts for no
// more than the least of them. Sums are fp64, in rank order; ties go to the lower expert.
#pragma once

#include <thrust/sort.h>

#include <cstring>

#include "device/thrust_policy.cuh"
#include "rounding/added_gate.hpp"
#include "rounding/own_ranking.cuh"
#include "rounding/rank_key.hpp"
#include "rounding/row_owner.hpp"
#include "rounding/targets.cuh"

namespace tatr {

/// Tiles of all experts, expert by expert, and room to put them in order. Slots beyond the last tile come last.
struct TileSlots {
  std::int32_t experts;
  std::int64_t slots;      // at least as many as there are tiles
  std::int32_t* tiles;     // [E] of each expert, when it goes up
  std::int32_t* offsets;   // [E+1] of each expert's first slot
  std::int32_t* expert;    // [slots] whose tile it is
  double* mass;            // [slots] own gates in it
  std::uint64_t* key;      // [slots] ascending: what it carries, high to low
  std::int32_t* in_order;  // [slots]
};

/// Slots that suffice for any routing: no expert has more than one tile that is not full.
inline std::int64_t tile_slots(std::int64_t tokens, std::int64_t top_k, std::int64_t experts, std::int64_t tile) {
  return tokens * top_k / tile + experts;
}

struct CountTiles {
  Loads loads;
  std::int32_t* tiles;
  TATR_HD void operator()(std::int64_t expert) const {
    const Load load = loads(expert);
    tiles[expert] = load.up() / load.tile;
  }
};

struct ValueTile {
  static constexpr std::uint64_t kNoTile = ~std::uint64_t{0};
  TileSlots slots;
  Loads loads;
  bool squared;
  const std::uint64_t* own_keys;
  const std::int32_t* own_offsets;
  const std::uint64_t* fill_keys;  // [E, fill_stride]
  std::int32_t fill_stride;
  const std::int32_t* fill_need;  // [E] fills that stand ready; null: added rows carry nothing
  GateOfAdded added_gate;

  TATR_HD void operator()(std::int64_t slot) const {
    slots.in_order[slot] = static_cast<std::int32_t>(slot);
    if (slot >= slots.offsets[slots.experts]) {
      slots.key[slot] = kNoTile;
      return;
    }
    const std::int32_t expert = owner_of(slots.offsets, slots.experts, slot);
    const Load load = loads(expert);
    const auto first = static_cast<std::int32_t>(slot - slots.offsets[expert]) * load.tile;
    const std::int32_t own = load.kept - first < load.tile ? load.kept - first : load.tile;
    const std::int32_t ready = fill_need == nullptr ? 0 : fill_need[expert];
    const std::int32_t added = load.tile - own < ready ? load.tile - own : ready;  // of an expert's last tile only
    double carried = 0.0, mass = 0.0;
    const std::uint64_t* keys = own_keys + own_offsets[expert] + first;
    TATR_UNROLL_ON_GPU
    for (std::int32_t i = 0; i < own; ++i) {
      const double gate = static_cast<double>(key_score(keys[i]));
      carried += squared ? gate * gate : gate;
      mass += gate;
    }
    keys = fill_keys + static_cast<std::int64_t>(expert) * fill_stride;
    added_gate.each(keys, added, [&](float added_at) {
      const double gate = static_cast<double>(added_at);
      carried += squared ? gate * gate : gate;
    });
    slots.expert[slot] = expert;
    slots.mass[slot] = mass;
    std::uint64_t bits;
    memcpy(&bits, &carried, sizeof bits);  // of numbers from 0 up these ascend with the number
    slots.key[slot] = kNoTile - 1 - bits;
  }
};

/// No tile goes before one that its expert needs first.
struct KeepTilesInTurn {
  TileSlots slots;
  TATR_HD void operator()(std::int64_t expert) const {
    std::uint64_t least = 0;
    for (std::int32_t slot = slots.offsets[expert]; slot < slots.offsets[expert + 1]; ++slot) {
      least = slots.key[slot] < least ? least : slots.key[slot];
      slots.key[slot] = least;
    }
  }
};

template <class Policy>
void order_tiles(const Policy& policy, const ValueTile& value) {
  const TileSlots& slots = value.slots;
  for_each_index(policy, slots.experts, CountTiles{value.loads, slots.tiles});
  offsets_from_counts(policy, slots.tiles, slots.experts, slots.offsets);
  for_each_index(policy, slots.slots, value);
  for_each_index(policy, slots.experts, KeepTilesInTurn{slots});
  thrust::stable_sort_by_key(policy, slots.key, slots.key + slots.slots, slots.in_order);
}

/// How many tiles are kept of all that `up` has.
TATR_HD inline std::int64_t kept_tiles(const BudgetSize& budget, const BudgetTally& tally, const TileSlots& slots) {
  const std::int64_t all = tally.down_tiles + tally.candidates;
  std::int64_t n = all;
  if (budget.rule == BudgetRule::kOfNearest) {
    n = tally.down_tiles + budget.of_nearest(tally);
  } else if (budget.rule == BudgetRule::kTotalTiles) {
    n = budget.tiles < all ? budget.tiles : all;
  } else {
    double dropped = 0.0;
    for (; n > 0 && dropped + slots.mass[slots.in_order[n - 1]] <= budget.amount; --n) {
      dropped += slots.mass[slots.in_order[n - 1]];
    }
  }
  return n;
}

/// Adds the i-th kept tile to its expert's target.
struct KeepTile {
  TileSlots slots;
  Loads loads;
  std::int32_t* target;
  TATR_HD void operator()(std::int64_t i) const {
    const std::int32_t expert = slots.expert[slots.in_order[i]];
    atomic_add(&target[expert], loads(expert).tile);
  }
};

/// On the CPU. down_tiles[0] becomes the least that the budget can be asked for: none.
inline void decide_tiles(const Loads& loads, const BudgetSize& budget, const TileSlots& slots, std::int32_t* down_tiles,
                         std::int32_t* target) {
  BudgetTally tally;
  for (std::int32_t e = 0; e < slots.experts; ++e) {
    tally.add(loads(e));
    target[e] = 0;
  }
  *down_tiles = 0;
  const std::int64_t kept = kept_tiles(budget, tally, slots);
  const KeepTile keep{slots, loads, target};
  for (std::int64_t i = 0; i < kept; ++i) keep(i);
}

}  // namespace tatr
