// What the expert layer under every strategy would take on a GPU that is not there: the model's times of the config's
// whole layer, beside outputs that the system at hand computed and verified.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "experiment/layer_verification.hpp"
#include "model/gpu_model.hpp"
#include "model/layer_model.hpp"

namespace tatr {

class ModelledLayer {
 public:
  /// `request.config` as it is computed; with `routes`, routing belongs to what is timed. What is computed may lack the
  /// layer: then no output is verified.
  ModelledLayer(TimingRequest request, const LayerConfig& layer, const GpuModel& gpu, System& system, bool routes);

  /// Timings in the order of the settings. Throws VerificationError where an output is wrong.
  std::vector<LayerTiming> run();

 private:
  LayerTiming model(std::size_t setting) const;
  void add_speedups(std::vector<LayerTiming>& timings, std::size_t setting) const;

  TimingRequest request_;
  ExperimentConfig whole_;  // with the layer that is modelled
  const GpuModel& gpu_;
  bool routes_;
  std::optional<VerifiedLayer> verified_;
};

}  // namespace tatr
