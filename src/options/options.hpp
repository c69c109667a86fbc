// What one experiment asks for, as plain structs with their defaults. Reading JSON is config/read.hpp's business; what
// a value means is defined where it is used.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace tatr {

enum class SourceKind { kGaussian, kZipf, kLognormal, kTopics, kHot, kTrained, kTrace };

/// What a trace holds: told by its tensors and, of logits, checked by how they look; or said, whatever they look like.
enum class TraceValues { kTold, kLogits, kTopK };

/// What stands for the rounding loss, mean((c mod M) / M), where it is differentiated. As it is written its derivative
/// is the same for every expert, which moves no token.
enum class RoundingSurrogate { kPeriodic, kSawtooth };

/// How the router of a `trained` source is trained; source/training.hpp says what is trained.
struct TrainingConfig {
  std::int64_t hidden = 16;     // width of a token
  double noise = 0.5;           // a token is its topic's centre plus noise * N(0, 1)
  std::int64_t steps = 300;     // each on a fresh batch of the router's `tokens`
  double learning_rate = 0.01;  // of Adam
  double balance_weight = 0.01, rounding_weight = 0.0;
  RoundingSurrogate surrogate = RoundingSurrogate::kPeriodic;
  std::int64_t tile = 0;  // M of the rounding loss
};

/// Where router logits come from. A logit of a synthetic source is `deviation` * N(0, 1) plus what the kind adds.
struct SourceConfig {
  SourceKind kind = SourceKind::kGaussian;
  double deviation = 1.0;        // all synthetic kinds: standard deviation of the independent part
  double exponent = 1.0;         // zipf: expert e (from 0) gets -exponent * ln(e + 1); trained: topic z is
                                 // drawn with weight (z + 1) ^ -exponent
  double sigma = 0.5;            // lognormal: each expert gets sigma * N(0, 1), so popularity is about log-normal
  std::int64_t topics = 64;      // topics, trained: number of topics
  double strength = 1.0;         // topics: each (topic, expert) gets strength * N(0, 1)
  std::int64_t run = 512;        // topics: consecutive tokens that share a topic
  std::int64_t hot_experts = 8;  // hot: experts 0 … hot_experts-1 get `boost` more
  double boost = 2.0;            // hot
  TrainingConfig training;       // trained
  std::string file;              // trace: as written in the config
  std::string path;              // trace: `file` resolved against the config's folder
  std::vector<std::string> tensors = {"router_logits"};  // trace: names or patterns with *, one layer a match
  std::int64_t first_token = 0;                          // trace
  TraceValues values = TraceValues::kTold;               // trace
};

enum class Scoring { kSoftmax, kSigmoid };
enum class LogitType { kFp32, kBf16 };

/// What a group of experts counts for: the sum of its two best, or its best (DeepSeek-V3 and -V2).
enum class GroupScore { kTop2Sum, kMax };

struct ExpertGroups {
  std::int64_t count = 1;  // experts are split into `count` equal, consecutive groups
  std::int64_t top = 1;    // only the best `top` groups are chosen from
  GroupScore score = GroupScore::kTop2Sum;
};

struct RouterConfig {
  std::int64_t tokens = 0;   // 0: as many as the trace holds
  std::int64_t experts = 0;  // 0: as the trace says
  std::int64_t top_k = 0;
  Scoring scoring = Scoring::kSoftmax;
  LogitType logits = LogitType::kFp32;  // bf16: rounded to it before routing
  bool normalise_gates = true;
  std::vector<double> selection_bias;  // empty: none; else one value per expert, or a single one for all
  std::optional<ExpertGroups> groups;
  SourceConfig source;
};

enum class StrategyKind {
  kNone,
  kDown,
  kUp,
  kNearest,
  kAdaptive,
  kStochastic,
  kScore,
  kBalance,
  kCapacity,
  kDynamic,
  kBudget
};
enum class Fill { kNextBest, kDuplicate, kPad };
/// What an added row weighs: p, or p / (sum of p of the token's chosen), the scale of its own gates.
enum class AddedGate { kScore, kNormalised };
enum class BudgetObjective { kMassSquared, kMass };
enum class BudgetCandidates { kRemainders, kTiles };

/// How many tiles `budget` may use.
struct BudgetAsNearest {};
struct BudgetOfNearest {
  double factor;
};
struct BudgetTotalTiles {
  std::int64_t tiles;
};
struct BudgetMaxDroppedMass {
  double mass;
};
struct BudgetWaves {
  double waves;                     // of the up-projection's output tiles over the multiprocessors
  std::optional<std::int64_t> sms;  // absent: those of the GPU at hand
};
using BudgetTiles = std::variant<BudgetAsNearest, BudgetOfNearest, BudgetTotalTiles, BudgetMaxDroppedMass, BudgetWaves>;

/// One step of `dynamic`: experts with fewer than `below` tokens use `tile` rows. The last step has no bound.
struct TileByLoad {
  std::optional<std::int64_t> below;
  std::int64_t tile;
};

struct StrategyConfig {
  StrategyKind kind = StrategyKind::kNone;
  std::string name;                          // as in the config
  std::string label;                         // shown in reports; the name where none is given
  std::optional<Fill> fill;                  // absent: next_best where the scores of all experts are known, else pad
  AddedGate added_gate = AddedGate::kScore;  // next_best; the reader knows the default of each router
  bool renormalise = false;
  double threshold = 0.9;                   // adaptive
  double factor = 1.25;                     // capacity
  StrategyKind then = StrategyKind::kNone;  // capacity (default up) and dynamic (default down)
  std::vector<TileByLoad> tiles_by_load;    // dynamic
  BudgetObjective objective = BudgetObjective::kMassSquared;
  BudgetCandidates candidates = BudgetCandidates::kRemainders;
  BudgetTiles tiles = BudgetAsNearest{};
  std::string canonical;  // name and options, without label and added_gate, as sorted JSON without blanks: names the
                          // random stream
  std::string pointer;    // "file:/json/pointer" of its place in the config, for errors
};

/// Whether rows of tokens that did not choose an expert may be added: it is not ruled out that an expert is rounded up,
/// and nothing else is to fill its tiles.
inline bool may_add_rows(const StrategyConfig& strategy) {
  const bool wraps = strategy.kind == StrategyKind::kCapacity || strategy.kind == StrategyKind::kDynamic;
  const StrategyKind rule = wraps ? strategy.then : strategy.kind;
  return rule != StrategyKind::kNone && rule != StrategyKind::kDown &&
         strategy.fill.value_or(Fill::kNextBest) == Fill::kNextBest;
}

/// The expert layer: x [T, H] -> up-projection [E, 2I, H] -> SwiGLU -> down-projection [E, H, I] -> y [T, H].
struct LayerConfig {
  std::int64_t hidden = 0;
  std::int64_t intermediate = 0;

  std::string backend = "auto";
  bool fuse_gather = true, fuse_swiglu = true;  // by back ends that can
  bool autotune = false;                        // measure the back end's variants and keep the fastest
  bool launch_per_tile = false;                 // dynamic: a launch for each tile size, not one for all

  std::int64_t cpu_hidden = 0;  // the shape that the CPU runs; equal to the above unless the config reduces it
  std::int64_t cpu_intermediate = 0;
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
  MeasureConfig measure;
  std::vector<DocumentedFigure> documented;
  std::string effective_json;  // the config with every default filled in, compact
  std::string hash;            // 16 hex digits of effective_json
  std::string file;            // where it was read from
};

}  // namespace tatr
