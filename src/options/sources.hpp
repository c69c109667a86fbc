// The sources of router logits: their catalogue, one row each, and what a config says of one. How each makes or reads
// logits is src/source/'s business.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tatr {

/// Independent normal logits: nearly uniform load.
struct GaussianSource {};

/// Expert e (from 0) gets -exponent * ln(e + 1).
struct ZipfSource {
  double exponent = 1.0;
};

/// Each expert gets sigma * N(0, 1), so popularity is about log-normal.
struct LognormalSource {
  double sigma = 0.5;
};

/// Each (topic, expert) gets strength * N(0, 1); `run` consecutive tokens share a topic.
struct TopicsSource {
  std::int64_t topics = 64;
  double strength = 1.0;
  std::int64_t run = 512;
};

/// Experts 0 … experts-1 get `boost` more.
struct HotSource {
  std::int64_t experts = 8;
  double boost = 2.0;
};

/// What stands for the rounding loss, mean((c mod M) / M), where it is differentiated. As it is written its derivative
/// is the same for every expert, which moves no token.
enum class RoundingSurrogate { kPeriodic, kSawtooth };

/// The logits of a router that is trained first; source/trained.hpp says how.
struct TrainedSource {
  std::int64_t topics = 64;  // topic z is drawn with weight (z + 1) ^ -exponent
  double exponent = 1.0;
  std::int64_t hidden = 16;     // width of a token
  double noise = 0.5;           // a token is its topic's centre plus noise * N(0, 1)
  std::int64_t steps = 300;     // each on a fresh batch of the router's `tokens`
  double learning_rate = 0.01;  // of Adam
  double balance_weight = 0.01, rounding_weight = 0.0;
  RoundingSurrogate surrogate = RoundingSurrogate::kPeriodic;
  std::int64_t tile = 0;  // M of the rounding loss
};

/// What a trace holds: told by its tensors and, of logits, checked by how they look; or said, whatever they look like.
enum class TraceValues { kTold, kLogits, kTopK };

struct TraceSource {
  std::string file;                                      // as written in the config
  std::string path;                                      // `file` resolved against the config's folder
  std::vector<std::string> tensors = {"router_logits"};  // names or patterns with *, one layer a match
  std::int64_t first_token = 0;
  TraceValues values = TraceValues::kTold;
};

/// In the order of SourceKind.
using SourceOptions =
    std::variant<GaussianSource, ZipfSource, LognormalSource, TopicsSource, HotSource, TrainedSource, TraceSource>;
enum class SourceKind { kGaussian, kZipf, kLognormal, kTopics, kHot, kTrained, kTrace };

struct SourceRow {
  SourceKind kind;
  std::string_view name;  // in configs and results
  std::string_view help;
};

/// In the order of SourceKind.
inline constexpr auto kSources = std::to_array<SourceRow>({
    {SourceKind::kGaussian, "gaussian", "independent normal logits: near-uniform load"},
    {SourceKind::kZipf, "zipf", "popularity falls with the expert's index to a power"},
    {SourceKind::kLognormal, "lognormal", "each expert has a fixed normal bias"},
    {SourceKind::kTopics, "topics", "runs of tokens share a topic that prefers some experts"},
    {SourceKind::kHot, "hot", "a few experts get a boost"},
    {SourceKind::kTrained, "trained", "a linear router, trained here with losses for balance and rounding"},
    {SourceKind::kTrace, "trace", "real logits, or top-k ids and scores, from safetensors or .npy"},
});

/// Where router logits come from. A logit of a synthetic source is `deviation` * N(0, 1) plus what the kind adds.
struct SourceConfig {
  double deviation = 1.0;  // all synthetic kinds: standard deviation of the independent part
  SourceOptions options = GaussianSource{};

  SourceKind kind() const { return static_cast<SourceKind>(options.index()); }
  const TrainedSource* trained() const { return std::get_if<TrainedSource>(&options); }
  const TraceSource* trace() const { return std::get_if<TraceSource>(&options); }
};

}  // namespace tatr
