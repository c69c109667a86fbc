// Reads router traces: safetensors or .npy files with logits, one layer or many, or with top-k ids and scores. Decides
// what a valid file is; every fault is an InputError that names the place. Knows nothing of routing.
//
// What a file may hold (.npy is told by its first bytes or its name; all else is safetensors):
//   safetensors, logits   a tensor [tokens, experts] of F16, BF16 or F32 for each layer; its name is the layer's name.
//   safetensors, top-k    a pair of tensors [tokens, top_k] for each layer, named <layer>.<ids> and <layer>.<scores>
//   with
//                         <ids> one of topk_ids, topk_indices, indices (I64, I32, I16 or U8) and <scores> one of
//                         topk_scores, topk_weights, scores, probs (F32, BF16 or F16; each in 0…1). <layer> is the
//                         layer's name; a pair without one, `indices` and `scores`, is the layer `topk`. The number of
//                         experts is the config's, or the metadata's `experts`. These are the columns of the FLAME-MoE
//                         traces (https://huggingface.co/datasets/CMU-FLAME/FLAME-MoE-Traces) as tensors.
//   .npy, logits          little-endian f2, f4 or f8 (rounded to fp32) in C order: [tokens, experts] is the layer
//                         `router_logits`, [layers, tokens, experts] are `layers.0.router_logits` and so on; the
//                         default `tensor` takes them all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/digest.hpp"
#include "options/options.hpp"

namespace tatr {

/// One layer of a trace. Either `logits` [tokens, experts] is filled, or `chosen` and `scores` [tokens, top_k] are, in
/// the order of the file.
struct TraceLayer {
  std::string tensor;  // the layer's name, as in TraceInfo
  std::int64_t tokens = 0;
  std::int64_t experts = 0;
  std::int64_t top_k = 0;  // 0 for logits
  std::vector<float> logits;
  std::vector<std::int32_t> chosen;
  std::vector<float> scores;
};

/// Makes name, shape and values part of what the digest names.
void add_to(Digest& digest, const TraceLayer& layer);

/// Shape of a trace without its data, for checks and for --dry-run.
struct TraceInfo {
  std::int64_t tokens = 0;           // in the file, from first_token on; at least 1
  std::int64_t experts = 0;          // 0: the file does not say (top-k only)
  std::int64_t top_k = 0;            // 0: all logits are there
  std::vector<std::string> tensors;  // one per layer, in natural order (layers.2 before layers.10)
};

/// Reads only the header and checks it against the file's size. All layers that `source.tensors` names have one shape.
/// Throws InputError.
TraceInfo inspect_trace(const TraceSource& source);

/// Reads rows first_token … first_token + tokens - 1 of the layer `tensor` (a name from TraceInfo) and no others;
/// tokens = 0 means all that are left. `experts` is the config's number, 0 if it gives none. Checks that logits are
/// finite, that ids are distinct within a row and below the number of experts, that scores are in 0…1 (above 1 by
/// rounding alone is 1), and, unless source.values says what they are, that none of them look like something else
/// (source/trace_values.hpp). No -0 is left. Throws InputError.
TraceLayer read_trace_layer(const TraceSource& source, const std::string& tensor, std::int64_t tokens,
                            std::int64_t experts = 0);

/// Reads and checks the first megabyte of every layer as read_trace_layer would: so that what is no trace of logits or
/// of top-k is refused before work starts. Throws InputError.
void check_trace_start(const TraceSource& source, std::int64_t tokens, std::int64_t experts);

/// The same three of a file that is opened once, for many layers: its header, which names every tensor, is parsed when
/// it is opened and not again for each of them. Throws as they do.
class TraceReader {
 public:
  explicit TraceReader(const TraceSource& source);
  ~TraceReader();
  TraceReader(const TraceReader&) = delete;
  TraceReader& operator=(const TraceReader&) = delete;

  TraceInfo inspect() const;
  TraceLayer read_layer(const std::string& tensor, std::int64_t tokens, std::int64_t experts = 0);
  void check_start(std::int64_t tokens, std::int64_t experts);

 private:
  struct Opened;
  std::unique_ptr<Opened> opened_;
};

}  // namespace tatr
