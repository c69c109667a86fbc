// How a calibration file becomes numbers. A calibration turns what rounding did to the layers of a network into an
// estimated change of its perplexity; scripts/calibrate.py fits it to measurements of trained models.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "options/options.hpp"

namespace tatr {

/// Published change of models trained with a strategy, at one r = (mean tokens per expert) / tile. Parts of 1.
struct TrainedChange {
  double r = 0, value = 0, error = 0;
};

struct CoveredRange {
  std::int64_t least = 1, most = std::numeric_limits<std::int64_t>::max();
  bool holds(std::int64_t value) const { return value >= least && value <= most; }
};

/// What the measurements behind a calibration had, beyond numbers. A file that does not say is taken for a softmax
/// router with normalised gates, without selection bias and groups, whose added rows have the gate p; of any shape, for
/// it was made for a model that its owner knows.
struct CalibrationCover {
  Scoring scoring = Scoring::kSoftmax;
  AddedGate added_gate = AddedGate::kScore;
  bool selection_bias = false, groups = false;
  CoveredRange experts, top_k;
  std::vector<std::string> strategies;  // by name; budget among tiles is "tiles". Empty: not told
  std::string model;                    // what traces of it say they are of; empty: of the model that its owner knows
  bool normalise_gates = true;
};

/// ln(perplexity) changes by damage D^power - gain sqrt(A); `first_layer` is the first layer's part in D.
struct ChangeFormula {
  double damage = 0, power = 1, gain = 0, first_layer = 0;
};

/// Where 90 % of changes are, in ln(perplexity): at `least` to `most` times the estimate, and no nearer than `absolute`
/// to both sides.
struct ChangeSpread {
  double absolute = 0, least = 1, most = 1;
};

/// Highest that were measured; the dropped mass is of a layer.
struct CalibratedRange {
  double damage = 0, dropped_mass = 0, added_share = 0;
};

/// For a network that was not measured, by leaving out each of several that were.
struct ElsewhereCalibration {
  ChangeFormula formula;
  ChangeSpread spread;
  CalibratedRange range;
  CoveredRange experts, top_k, layers;
};

struct Calibration {
  std::string name;
  std::string digest;       // of all that the file says
  std::int64_t layers = 0;  // of the measured network
  ChangeFormula formula;
  ChangeSpread spread;
  CalibratedRange range;
  double median_error = 0;  // relative, on what was left out of the fit; 0: not known
  bool probed = false;      // by one measurement: the rest of the formula, and the spread, are of other networks
  CalibrationCover covers;
  std::optional<ElsewhereCalibration> elsewhere;
  std::string trained_source;
  std::map<std::string, std::vector<TrainedChange>> trained;  // by strategy, r rising
};

/// The calibration that the program carries: src/quality/default_calibration.json.
const Calibration& default_calibration();

/// How far to trust an interval, in words: "holds 90 % of unseen settings of the network that it was fitted to; …", and
/// of a network that it was not fitted to, whose estimates rank: "a ranking: …".
std::string reach_words(const Calibration& calibration, bool ranking);

/// Reads a file that scripts/calibrate.py wrote. Throws ConfigError at "file:/json/pointer".
Calibration read_calibration(const std::string& path);

}  // namespace tatr
