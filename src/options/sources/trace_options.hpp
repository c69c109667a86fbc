#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "options/fields.hpp"
#include "options/sources/record_options.hpp"

namespace tatr {

/// What a trace holds: told by its tensors and by how their numbers look; or said, whatever they look like.
enum class TraceValues { kTold, kLogits, kTopK, kProbabilities };

/// What a non-zero value of a mask means.
enum class MaskMarks { kTokens, kPadding };

/// Logits or probabilities of all experts, or top-k ids with or without scores, that were recorded.
struct TraceSource {
  std::string file;  // as written in the config: a file, a folder, or a pattern of names with *
  std::string path;  // `file` resolved against the config's folder
  EachFile each_file = EachFile::kTold;
  std::vector<std::string> tensors = {"router_logits"};  // names or patterns with *, one layer a match
  TensorNames names;
  std::vector<Axis> axes;  // of every tensor; empty: told by its shape
  std::int64_t first_token = 0;
  TraceValues values = TraceValues::kTold;
  std::string mask;  // "padding", or a tensor's name; empty: every row is a token
  MaskMarks mask_marks = MaskMarks::kTokens;
  double score_scale = 1.0;  // scores are divided by it

  static constexpr std::string_view kName = "trace";
  static constexpr std::string_view kHelp = "real logits, probabilities or top-k ids, from files";
  static constexpr std::string_view kWords = "trace {file}";
  static constexpr bool kSynthetic = false;

  template <class Fields>
  static void list(Fields& fields) {
    using S = TraceSource;
    fields.add(
        "file", &S::file, Lengths{4096},
        "A file (safetensors or its index.json, .npy, .npz, JSON lines, JSON, CSV; also as .gz or .zst), a folder, "
        "or a pattern of file names with *, relative to the config's folder");
    fields.add("each_file", &S::each_file, {"", "layer", "rank", "step"},
               "What each file of a folder or pattern is; without it, the word before the number in their names says");
    fields.add("tensor", &S::tensors, Lengths{200, 1024},
               "Tensor name or pattern with *, or a list of them; each match is one layer. Where the default is not "
               "there, layers are found by the names that frameworks use");
    fields.add("tensors", &S::names, Lengths{200},
               "Names or patterns of tensors of top-k ids, and of their scores if there are any; what * stands for "
               "pairs them");
    fields.add("axes", &S::axes, kAxisWords,
               "What each dimension is, where the shape leaves a doubt: [\"tokens\", \"layers\", \"experts\"]");
    fields.add("first_token", &S::first_token, Bounds{.least = 0, .most = std::int64_t{1} << 40},
               "First row of the file to take");
    fields.add(
        "values", &S::values, {"auto", "logits", "top_k", "probabilities"},
        "Says that the file holds logits, probabilities, or top-k ids and scores, whatever its numbers look like; "
        "without it, logits that look like probabilities, counts or padding are refused",
        ByDefault::kUnspelled);
    fields.add("mask", &S::mask, Lengths{.most_characters = 200, .optional = true},
               "Which tokens to leave out: \"padding\" for rows that look like it, or the name of a tensor [tokens]");
    fields.add("mask_marks", &S::mask_marks, {"tokens", "padding"},
               "What a non-zero value of the mask's tensor marks; tokens by default, as in an attention mask",
               ByDefault::kUnspelled);
    fields.add("score_scale", &S::score_scale,
               Bounds{.least = 0, .most = 1'000'000, .above_least = true, .without_default = true},
               "Scores are divided by it: the routed scaling factor that they were multiplied with");
  }
};

}  // namespace tatr
