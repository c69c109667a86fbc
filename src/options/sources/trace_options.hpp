#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "options/fields.hpp"

namespace tatr {

/// What a trace holds: told by its tensors and, of logits, checked by how they look; or said, whatever they look like.
enum class TraceValues { kTold, kLogits, kTopK };

/// Logits, or top-k ids and scores, that were recorded.
struct TraceSource {
  std::string file;                                      // as written in the config
  std::string path;                                      // `file` resolved against the config's folder
  std::vector<std::string> tensors = {"router_logits"};  // names or patterns with *, one layer a match
  std::int64_t first_token = 0;
  TraceValues values = TraceValues::kTold;

  static constexpr std::string_view kName = "trace";
  static constexpr std::string_view kHelp = "real logits, or top-k ids and scores, from safetensors or .npy";
  static constexpr std::string_view kWords = "trace {file}";
  static constexpr bool kSynthetic = false;

  template <class Fields>
  static void list(Fields& fields) {
    using S = TraceSource;
    fields.add("file", &S::file, Lengths{4096}, "A .safetensors or .npy file, relative to the config's folder");
    fields.add("tensor", &S::tensors, Lengths{200, 1024},
               "Tensor name or pattern with *, or a list of them; each match is one layer");
    fields.add("first_token", &S::first_token, Bounds{.least = 0, .most = std::int64_t{1} << 40},
               "First row of the file to take");
    fields.add("values", &S::values, {"", "logits", "top_k"},
               "Says that the file holds logits, or top-k ids and scores, whatever its numbers look like; without it, "
               "numbers that look like probabilities, counts or padding are refused");
  }
};

}  // namespace tatr
