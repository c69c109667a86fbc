// The sections of the text report, each a string of whole lines. A section that has nothing to say is empty.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/network.hpp"
#include "records/records.hpp"
#include "report/text.hpp"

namespace tatr {

/// What the sections share: the experiment, its totals, and where it ran.
struct TextContext {
  const ExperimentRecord& experiment;
  const Environment& environment;
  const std::vector<NetworkRecord>& networks;
  const TextOptions& options;

  const StrategyRecord& first(const NetworkRecord& network) const { return first_layer(experiment, network); }
  bool layered() const { return experiment.routing.size() > 1; }
};

/// "layer 4096 x 1024" -> "Layer 4096 x 1024"
std::string first_upper(std::string text);

std::string heading(const std::string& title, const TextOptions& options);

/// The strategy in words: "Round Down", with the label where it has one of its own.
std::string strategy_title(const StrategyConfig& strategy);

/// "none" or a label, cut to a table's first column.
std::string strategy_cell(const std::string& label);

std::string configuration_section(const TextContext& context);

/// Where logits come from, in words.
std::string source_words(const SourceConfig& config);
/// "64, 128"
std::string tile_list(const std::vector<std::int64_t>& tiles);
/// "8 of 16,384, left out"; empty where no token is masked.
std::string masked_words(const std::vector<RoutingRecord>& layers);

/// Experts before and after the first rounding strategy.
std::string experts_section(const TextContext& context);
/// Tiles, rows and what they leave out: all strategies, one table for each tile.
std::string counts_section(const TextContext& context);
std::string histogram_section(const TextContext& context);

/// Times on a GPU that is not there, with what they may be off by; empty where none is modelled.
std::string modelled_section(const TextContext& context);

/// How and where a layer was timed, or for what it is modelled. Records under one heading may be compared with each
/// other.
std::string timing_heading(const LayerTiming& timing);

/// What an end-to-end speed-up adds up; empty where there is none.
std::string end_to_end_line(const LayerTiming& timing);

std::string speedup_cell(const std::optional<RatioInterval>& ratio);
std::string speedup_cell(const std::optional<double>& ratio);

/// In order of appearance; 0: each expert's own.
std::vector<std::int64_t> tiles_of(const TextContext& context);

/// A table for the networks of each tile, named where there are several; empty where all tables are.
std::string for_each_tile(const TextContext& context,
                          const std::function<std::string(const std::vector<const NetworkRecord*>&)>& table);

/// Measured times; empty where none are.
std::string times_section(const TextContext& context);
/// Of training passes: forward and backward apart, and all their stages; empty where none was timed.
std::string passes_section(const TextContext& context);

/// Of a layer whose training pass was timed: what rounding cannot buy there; else empty.
std::string weight_gradient_line(const TextContext& context);

/// Both GEMMs beside their floors and the yardstick.
std::string gemms_section(const TextContext& context);
std::string errors_section(const TextContext& context);
/// "+4.1% [+3.2%, +5.0%]", or why there is no number.
std::string perplexity_words(const QualityEstimate& quality);

/// The estimated change of perplexity of every strategy, with its error; empty without a calibration.
std::string quality_section(const TextContext& context);
/// Means and spread over groups of tokens, where there are several.
std::string batches_section(const TextContext& context);
/// What ranks are asked for, where an experiment has some.
std::string parallel_section(const TextContext& context);
/// "4 ranks, experts in blocks, rounded once for all ranks"
std::string parallel_words(const ParallelConfig& parallel);
std::string layers_section(const TextContext& context);
std::string documented_section(const TextContext& context);
std::string warnings_section(const TextContext& context);

/// Each warning once, with how often it was given where that is more than once.
std::vector<std::string> warnings_of(const ExperimentRecord& experiment);

/// What trained routers came to over the weights of their rounding loss, where a run has several.
std::string training_section(const RunRecord& run, const TextOptions& options);

}  // namespace tatr
