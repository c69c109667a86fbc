// Times the expert layer under every strategy: verifies outputs first, then samples routing, rounding and the layer's
// stages interleaved, and relates each strategy to `none` at its tile. Glue: the layer knows no clock, the sampler no
// layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "device/system.hpp"
#include "options/options.hpp"
#include "report/records.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"

namespace tatr {

/// One strategy at one tile and what it did.
struct TimedSetting {
  const StrategyConfig* strategy;
  std::int64_t tile;
  const Rounded* rounded;
};

/// The largest tile that any strategy of the experiment uses.
std::int64_t most_tile(const ExperimentConfig& config);

/// Bytes of tensors and workspace that timing this config's layer allocates on the system, for so many settings.
std::size_t timing_bytes(const ExperimentConfig& config, std::size_t settings, const System& system);

/// Timings in the order of the settings; `warnings` gets what cast doubt on them. The routing is made anew as it is
/// timed, with the same result. Throws VerificationError before anything is timed if an output is wrong.
std::vector<LayerTiming> time_layer(const ExperimentConfig& config, System& system, Routing& routing,
                                    RoundingScratch& scratch, std::int64_t layer,
                                    const std::vector<TimedSetting>& settings,
                                    const std::function<void(const std::string&)>& progress,
                                    std::vector<std::string>& warnings);

}  // namespace tatr
