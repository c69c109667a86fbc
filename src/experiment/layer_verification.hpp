// The layer under every strategy, computed and found right before anything is said of its times: each pass against sums
// in fp64, and its output's distance to that of `none`. Knows no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/steps.hpp"
#include "experiment/settings.hpp"
#include "layer/output_error.hpp"
#include "records/records.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// What is to be computed and timed: all must outlive whoever does it.
struct TimingRequest {
  const ExperimentConfig& config;
  const std::vector<Setting>& settings;
  const std::vector<Rounded>& rounded;  // by setting
  std::int64_t layer;
  std::function<void(const Doing&)> progress;
};

class VerifiedLayer {
 public:
  /// Makes the layer as the system runs it (the CPU: reduced where the config says so) and a pass for each setting.
  /// The request must outlive it.
  VerifiedLayer(const TimingRequest& request, System& system);

  /// Runs every pass, tuned where the config wants it. Throws VerificationError where an output is wrong.
  void verify();

  ExpertLayer& layer() { return layer_; }
  const ExpertLayer& layer() const { return layer_; }
  LayerPass& pass(std::size_t setting) const { return *passes_[setting]; }

  /// The output's distance to that of `none`, where there is one; after verify().
  void add_output_error(std::size_t setting, LayerTiming& timing) const;

 private:
  const TimingRequest& request_;
  ExpertLayer layer_;
  std::vector<std::unique_ptr<LayerPass>> passes_;  // by setting
  std::vector<std::optional<OutputError>> output_errors_;
};

}  // namespace tatr
