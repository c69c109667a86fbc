// Times the expert layer under every strategy: has outputs and replays verified first, then samples routing, rounding
// and the layer's stages interleaved, and relates each strategy to `none` at its tile. Glue: the layer knows no clock,
// the sampler no layer.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiment/layer_verification.hpp"
#include "measure/sampler.hpp"
#include "records/records.hpp"
#include "router/routing.hpp"

namespace tatr {

class LayerTimer {
 public:
  /// The routing is made anew as it is timed, with the same result, and the scratch written over.
  LayerTimer(TimingRequest request, System& system, Routing& routing, RoundingScratch& scratch);

  /// Timings in the order of the settings. Throws VerificationError before anything is timed if an output is wrong, or
  /// if what would be timed does not give what was decided.
  std::vector<LayerTiming> run();

  /// What casts doubt on the timings.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  /// What is sampled of one setting, as places in `candidates_`.
  struct Sampled {
    std::unique_ptr<UniformYardstick> yardstick;
    std::size_t rounding = 0, layer = 0, uniform = 0;
  };

  void add_router();
  void add_setting(std::size_t setting);
  std::size_t add(const std::string& name, std::vector<SampledStage> stages);
  std::function<void()> replay_of(std::function<void()> work);

  void verify_routing();
  void verify_rounding(std::size_t setting);

  void sample();
  LayerTiming describe(std::size_t setting) const;
  std::vector<double> sum_of_stages(std::size_t setting, bool backward) const;
  void add_floors(LayerTiming& timing, const RoundingMetrics& metrics) const;
  void add_speedups(LayerTiming& timing, std::size_t setting) const;
  void warn_of(std::size_t setting, const LayerTiming& timing);

  TimingRequest request_;
  System& system_;
  Routing& routing_;
  RoundingScratch& scratch_;
  VerifiedLayer verified_;
  std::vector<Candidate> candidates_;
  std::vector<std::unique_ptr<Recording>> recordings_;
  std::optional<std::size_t> router_;  // with a trace of top-k there is nothing to route
  std::vector<Sampled> settings_;
  std::vector<Series> series_;                    // by candidate
  std::optional<double> sm_clock_mhz_, power_w_;  // after the samples
  std::vector<std::string> warnings_;
};

}  // namespace tatr
