// How a calibration file becomes numbers. A calibration turns what rounding did to the layers of a network into an
// estimated change of its perplexity; scripts/calibrate.py fits it to measurements of a trained model.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
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
};

struct Calibration {
  std::string name;
  std::string digest;                             // of all that the file says
  std::int64_t layers = 0;                        // of the measured network
  double damage = 0, power = 1, gain = 0;         // ln(perplexity) changes by damage D^power - gain sqrt(A)
  double absolute_error = 0, relative_error = 0;  // half-width of the 90 % interval: the larger one
  double median_error = 0;                        // relative, on settings left out of the fit; 0: not known
  double largest_damage = 0, largest_dropped_mass = 0, largest_severity = 0,
         largest_added_share = 0;  // calibrated range; severity is of a layer
  CalibrationCover covers;
  double held_elsewhere = 0;  // by the interval, of another training run of the measured shape: a share; 0: not known
  std::string trained_source;
  std::map<std::string, std::vector<TrainedChange>> trained;  // by strategy, r rising
};

/// The calibration that the program carries: src/quality/default_calibration.json.
const Calibration& default_calibration();

/// "holds 90 % of unseen settings of the model it was fitted to; of another training run of its shape, 68 %", or less
/// where less is known.
std::string reach_words(const Calibration& calibration);

/// Reads a file that scripts/calibrate.py wrote. Throws ConfigError at "file:/json/pointer".
Calibration read_calibration(const std::string& path);

}  // namespace tatr
