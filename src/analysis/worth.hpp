// What rounding is worth in one experiment: which strategy gains most, and which gains most within a limit of quality.
// Decides by intervals; words are the report's.
#pragma once

#include <optional>

#include "records/records.hpp"

namespace tatr {

/// The limit that a verdict is given for: example 04 promises its speed-up "for under 0.1 %" of perplexity.
inline constexpr double kPerplexityLimit = 0.001;

/// What the gain of an experiment's strategies is a ratio of, from what tells most to what tells least of a GPU.
enum class GainKind {
  kMeasured,  // times of a layer, on a GPU
  kModelled,  // times of a layer on a GPU that is not there
  kTiles      // rows of whole tiles: nothing was timed, or on a CPU, which has no tiles; see rows_of_pass
};

GainKind gain_kind(const ExperimentRecord& experiment, const Environment& environment);

/// `none` at the same tile over the strategy, as `kind` says; where it has no interval, low and high are the value.
/// Absent without either of the two.
std::optional<Interval> gain_of(const ExperimentRecord& experiment, const NetworkRecord& network, GainKind kind);

/// Whether there is more than one `none` to gain over.
bool has_several_tiles(const ExperimentRecord& experiment);

/// Which `none` costs least of those at the experiment's tiles; null where there is none with a cost.
const NetworkRecord* cheapest_none(const ExperimentRecord& experiment, GainKind kind);

/// As gain_of, but over cheapest_none: what rounding buys where the tile is free to choose, too. The same where there
/// is one tile.
std::optional<Interval> gain_over_cheapest(const ExperimentRecord& experiment, const NetworkRecord& network,
                                           GainKind kind);

/// Whether passes of the layer go forward and backward.
bool trains(const ExperimentRecord& experiment);

/// Rows that the pass's GEMMs work through, over all layers: those of whole tiles, of several groups their mean. Of a
/// training pass both ways together, with whole steps of weight gradients: of the group that is timed, for experts of
/// others are not kept.
double rows_of_pass(const ExperimentRecord& experiment, const NetworkRecord& network);

/// What rows alone would gain over `none` at the same tile, one way or both (model/tile_cost.hpp). Absent without it.
std::optional<double> row_ratio(const ExperimentRecord& experiment, const NetworkRecord& network,
                                double (*rows)(const RoundingMetrics&));

/// How far estimates of perplexity reach.
enum class Estimates {
  kNone,    // no faster strategy has one
  kBeyond,  // none that its calibration covers
  kCovered
};

struct Worth {
  GainKind kind = GainKind::kTiles;
  bool has_base = false;  // some tile has `none`
  Estimates estimates = Estimates::kNone;
  const NetworkRecord* base = nullptr;     // what gains are over: `none` at the tile where it costs least
  const NetworkRecord* fastest = nullptr;  // of those surely faster than that; null: there are none
  const NetworkRecord* within =
      nullptr;  // by layer time the fastest of them whose estimate surely keeps kPerplexityLimit
  const NetworkRecord* gentlest = nullptr;  // that of them with the least estimate; without any, which drops least
};

/// Pointers are into `experiment`. Where any estimate is covered by its calibration, others do not count.
Worth worth_of(const ExperimentRecord& experiment, const Environment& environment);

}  // namespace tatr
