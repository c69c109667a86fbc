// What one experiment asks for, as plain structs with their defaults. Reading JSON is config/read.hpp's business; what
// a value means is defined where it is used.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "options/parallel.hpp"
#include "options/sources.hpp"
#include "options/strategies.hpp"

namespace tatr {

enum class Scoring { kSoftmax, kSigmoid };
enum class LogitType { kFp32, kBf16 };

/// What a group of experts counts for: the sum of its two best, or its best (DeepSeek-V3 and -V2).
enum class GroupScore { kTop2Sum, kMax };

struct ExpertGroups {
  std::int64_t count = 1;  // experts are split into `count` equal, consecutive groups
  std::int64_t top = 1;    // only the best `top` groups are chosen from
  GroupScore score = GroupScore::kTop2Sum;
};

inline constexpr std::int64_t kMaxTokens = 1 << 20;  // of a group: more cannot be ranked (rounding/rank_key.hpp)

/// Groups of tokens that are routed and rounded apart, as steps of training or serving are.
struct Batches {
  std::optional<std::int64_t> count;  // absent: as many as the file holds
};

struct RouterConfig {
  std::int64_t tokens = 0;                       // of each group; 0: as many as the file holds
  std::int64_t experts = 0;                      // 0: as the file says
  std::int64_t top_k = 0;                        // 0: as the file says
  bool tokens_told = false, top_k_told = false;  // by the config, not by the file
  Scoring scoring = Scoring::kSoftmax;
  LogitType logits = LogitType::kFp32;  // bf16: rounded to it before routing
  bool normalise_gates = true;
  std::vector<double> selection_bias;  // empty: none; else one value per expert, or a single one for all
  std::optional<ExpertGroups> groups;
  std::optional<Batches> batches;
  SourceConfig source;
};

/// The expert layer: x [T, H] -> up-projection [E, 2I, H] -> SwiGLU -> down-projection [E, H, I] -> y [T, H]; and the
/// way back from a gradient of y, where it is trained.
struct LayerConfig {
  std::int64_t hidden = 0;
  std::int64_t intermediate = 0;

  bool training = false;        // forward and backward
  bool fp32_gradients = false;  // of weights, on a GPU: else bf16
  std::string backend = "auto";
  bool fuse_gather = true, fuse_swiglu = true;  // by back ends that can
  bool autotune = false;                        // measure the back end's variants and keep the fastest
  bool launch_per_tile = false;                 // dynamic: a launch for each tile size, not one for all

  std::int64_t cpu_hidden = 0;  // the shape that the CPU runs; equal to the above unless the config reduces it
  std::int64_t cpu_intermediate = 0;
  ErrorPlace place;  // in the config
};

struct MeasureConfig {
  std::int64_t samples = 20;
  bool cold_l2 = true;
  double precision = 0.005;    // stop early once each median's 95 % interval is within +- this share
  double warm_up_ms = 1000.0;  // of work
};

/// A figure somebody published, to be set beside ours.
struct DocumentedFigure {
  std::string metric;
  std::string strategy;   // a strategy's label
  std::int64_t tile = 0;  // 0: the first tile of the experiment
  double value = 0.0;
  std::string source;
};

struct ExperimentConfig {
  std::string name;
  std::uint64_t seed = 0;
  RouterConfig router;
  std::vector<std::int64_t> tiles;
  std::vector<StrategyConfig> strategies;
  std::optional<LayerConfig> layer;
  std::optional<ParallelConfig> parallel;
  MeasureConfig measure;
  std::vector<DocumentedFigure> documented;
  std::string model =
      "h100";  // the GPU that is modelled where none is at hand: a shipped one, or a file beside the config
  std::string effective_json;  // the config with every default filled in, compact
  std::string hash;            // 16 hex digits of effective_json
  std::string file;            // where it was read from
};

}  // namespace tatr
