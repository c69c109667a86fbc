// Experts spread over ranks: how an experiment's tokens and experts lie on them, and where it is decided how to round.
#pragma once

#include <cstdint>
#include <vector>

#include "core/error.hpp"

namespace tatr {

/// How experts lie on ranks.
enum class PlacementKind {
  kContiguous,  // expert e on rank e R / E
  kRoundRobin,  // on rank e mod R
  kByLoad,      // the fullest first, each on the rank with the fewest rows so far that has room for it
  kListed
};

/// Who decides what an expert's rows are rounded to.
enum class RankRounding {
  kGlobal,      // all ranks together, once, on the counts of all
  kPerRank,     // each source rank for the tokens that it has
  kPerFragment  // nobody: each source rank pads what it has for each expert to whole tiles
};

struct ParallelConfig {
  std::int64_t ranks = 1;
  PlacementKind placement = PlacementKind::kContiguous;
  std::vector<std::int32_t> listed;  // [E] rank of each expert
  RankRounding rounding = RankRounding::kGlobal;
  bool dedup = true;        // a token goes once to each rank that needs it, not once for each of its experts there
  std::int64_t hidden = 0;  // width of a token, H; 0: no layer tells
  ErrorPlace place;         // in the config
};

}  // namespace tatr
