// Which strategy and tile to use under a limit on quality or on time. Decides what is better than what, and that
// nothing is advised by an estimate beyond the measurements that it is calibrated on; the candidates come measured or
// counted from elsewhere.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "analysis/network.hpp"
#include "core/statistics.hpp"

namespace tatr {

/// At least one is set. Shares are parts of 1.
struct AdviceLimits {
  std::optional<double> perplexity;     // highest estimated perplexity change, by the upper end of its interval
  std::optional<double> dropped_mass;   // highest dropped gate mass, mean over tokens and layers
  std::optional<double> dropped_share;  // highest share of assignments dropped, mean over layers
  std::optional<double> time_ms;     // highest time of all layers, rounding included; needs times, measured or modelled
  std::optional<double> time_share;  // the same as a share of the fastest unrounded layers' time
};

/// A candidate and what it costs.
struct AdviceChoice {
  const NetworkRecord* network = nullptr;
  double cost = 0;                    // ms, rounding included; or rows of whole tiles
  double speedup = 1;                 // cost of the cheapest `none` over this one's
  std::optional<Interval> gain = {};  // the same with its interval, of times; rows of tiles have no known error
  std::string doubt = {};             // where the model is known to be further off than that
  double quality = 0;                 // what is traded against cost: lower is better
  bool calibrated = true;             // quality is counted, or an estimate of what its calibration measured

  std::optional<bool> surely_faster() const { return gain ? std::optional(gain->low > 1) : std::nullopt; }
};

/// What costs are: times measured on this device; times of the layer on a GPU that is modelled; or rows of whole tiles
/// (of a training pass also of whole steps of weight gradients), as if every row took the same time.
enum class AdviceCost { kMeasured, kModelled, kTileRows };

/// What is traded against cost: the estimated change of perplexity; the dropped gate mass; the dropped share, which
/// needs no gates.
enum class AdviceQuality { kPerplexity, kDroppedMass, kDroppedShare };

struct Advice {
  AdviceLimits limits;
  AdviceCost cost = AdviceCost::kTileRows;
  bool in_ms() const { return cost != AdviceCost::kTileRows; }
  bool training = false;  // costs are of forward and backward together
  AdviceQuality quality = AdviceQuality::kPerplexity;
  bool by_perplexity() const { return quality == AdviceQuality::kPerplexity; }
  std::size_t candidates = 0;                       // all that were looked at
  std::vector<const NetworkRecord*> not_estimated;  // left out: perplexity decides, and theirs cannot be estimated
  AdviceChoice unrounded;                           // the cheapest `none`
  std::vector<AdviceChoice> front;  // nothing is cheaper and as good, or only by an uncalibrated estimate; cost rising
  std::optional<AdviceChoice> best,
      runner_up;                             // of the calibrated; the second costs more and is better, or the reverse
  std::optional<AdviceChoice> uncalibrated;  // keeps the limits and is better than `best`, if its estimate were right
  bool certain =
      false;  // `best` is advised: not plain top-k only because what is better is not calibrated or estimated
  std::optional<bool> surely_kept = {};  // of `best` where perplexity is limited: true
  bool worth_it = false;                 // faster by enough, and surely where there is an interval
  bool names_uncalibrated = false;       // in the verdict, and wherever people read it
  std::size_t beyond = 0;                // candidates whose estimate is beyond its calibration
  std::string verdict;                   // the answer in a sentence or two
};

/// The candidates are the experiment's network records: a `none` must be among them, and they must outlive the advice.
/// A limit on perplexity is on the upper end of an estimate's interval, as that of run's verdict is. Times count only
/// where every candidate has them, of the layer's whole shape. Throws UsageError where the limits need what the
/// candidates lack. A setting that its estimate is not calibrated on is named in the verdict only where that is asked
/// for, and never advised. `training`: the layer is trained, though the experiment may have none.
Advice advise(const ExperimentRecord& experiment, const AdviceLimits& limits, bool name_uncalibrated = false,
              bool training = false);

}  // namespace tatr
