// Reads router traces: logits or probabilities of all experts, or the ids of each token's top-k with or without scores,
// one layer or many. Decides what valid values are; every fault is an InputError that names the place. Knows nothing of
// routing.
//
// Which tensors are layers: source/trace_layers.hpp; what their dimensions are: source/record_view.hpp; formats of
// files: formats/tensor_set.hpp. Pairs of ids and scores are the columns of the FLAME-MoE traces
// (https://huggingface.co/datasets/CMU-FLAME/FLAME-MoE-Traces) as tensors, too.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/digest.hpp"
#include "options/options.hpp"
#include "router/known.hpp"

namespace tatr {

/// Rows first … last of a layer that are all equal.
struct EqualRows {
  std::int64_t first = 0, last = 0;
};

/// Some rows of one layer of a trace, without those that are masked. Either `logits` [tokens, experts] is filled, or
/// `chosen` [tokens, top_k] is, in the order of the file, and `scores` [tokens, top_k] where they are known.
struct TraceLayer {
  std::string tensor;  // the layer's name, as in TraceInfo
  std::int64_t tokens = 0;
  std::int64_t experts = 0;
  std::int64_t top_k = 0;   // 0 for logits
  std::int64_t masked = 0;  // rows that are no tokens
  std::int64_t undecided =
      0;  // tokens whose probabilities tell fewer than the config's top_k apart: the others are 0, or 1
  std::int64_t sparse = 0;  // tokens with no more probabilities above 0 than the config's top_k
  std::vector<float> logits;
  std::vector<std::int32_t> chosen;
  std::vector<float> scores;
  std::vector<EqualRows> equal;  // runs of at least kManyEqualRows
};

/// What chance does not give: a profile or a warm-up run does.
inline constexpr std::int64_t kManyEqualRows = 64;

/// Makes name, shape and values part of what the digest names.
void add_to(Digest& digest, const TraceLayer& layer);

/// Shape of a trace without its data, for checks and for --dry-run.
struct TraceInfo {
  std::int64_t tokens = 0;           // in the files, from first_token on; at least 1
  std::int64_t experts = 0;          // 0: the files do not say (top-k only)
  std::int64_t top_k = 0;            // 0: all logits are there
  std::vector<std::string> tensors;  // one per layer, in natural order (layers.2 before layers.10)
  Known known = Known::kScores;
  std::vector<std::int64_t> steps;  // tokens of each; empty: not known, or first_token is not 0
  std::string values;               // "fp16 logits", "int32 ids with fp32 scores"
  std::size_t files = 1;
  std::string guessed_axes;  // of the first array whose layers are an axis that nobody named: "shape [4, 2048, 64] is
                             // read as [layers, tokens, experts]"; empty: there is none
  std::string model;         // what the files say they are of; empty: nothing
  std::string unused_mask;   // a tensor that is named as masks are, where the source names none; empty: there is none
};

/// What the config says of the router.
struct TraceFacts {
  std::int64_t tokens = 0, experts = 0;  // 0: nothing
  Scoring scoring = Scoring::kSoftmax;
  std::int64_t top_k = 0;
};

/// Some rows, counted from first_token on.
struct RowRange {
  std::int64_t first = 0, count = 0;  // count 0: all that are left
};

/// Files that are opened once, for many layers.
class TraceReader {
 public:
  /// Reads headers and checks them against the files' sizes. All layers that `source` names have one shape. Throws
  /// InputError.
  explicit TraceReader(const TraceSource& source, const TraceFacts& facts = {});
  ~TraceReader();
  TraceReader(const TraceReader&) = delete;
  TraceReader& operator=(const TraceReader&) = delete;

  const TraceInfo& info() const;

  /// Reads these rows of the layer `tensor` (a name from TraceInfo) and no others. Checks that logits are finite, that
  /// probabilities are from 0 to 1 and, of a softmax, add up to 1, that ids are distinct within a row and below the
  /// number of experts, that scores, divided by source.score_scale, are in 0…1 (above 1 by rounding alone is 1), and,
  /// unless source.values says what they are, that none of them look like something else (source/trace_values.hpp).
  /// Probabilities become logits that route as they do. No -0 is left. Throws InputError, also where no row is a token.
  TraceLayer read(const std::string& tensor, RowRange rows);

  /// Reads and checks the first megabyte of every layer: so that what is no trace of logits or of top-k is refused
  /// before work starts. Throws InputError.
  void check_start();

 private:
  struct Opened;
  std::unique_ptr<Opened> opened_;
};

/// The same of a file that is opened for this alone; tokens = 0 means all that are left. Throws InputError.
TraceInfo inspect_trace(const TraceSource& source);
TraceLayer read_trace_layer(const TraceSource& source, const std::string& tensor, std::int64_t tokens,
                            std::int64_t experts = 0);

}  // namespace tatr
