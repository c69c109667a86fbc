#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "options/fields.hpp"
#include "options/sources/record_options.hpp"

namespace tatr {

/// Tokens of each expert that were counted.
struct CountsSource {
  std::string file;  // as written in the config: a file, a folder, or a pattern of names with *
  std::string path;  // `file` resolved against the config's folder
  EachFile each_file = EachFile::kTold;
  std::vector<std::string> tensors = {"*"};  // names or patterns with *, one layer (or steps of all) a match
  std::vector<Axis> axes;                    // of every tensor; empty: told by its shape

  static constexpr std::string_view kName = "counts";
  static constexpr std::string_view kHelp = "tokens per expert that were counted, from files";
  static constexpr std::string_view kWords = "counts {file}";
  static constexpr bool kSynthetic = false;

  template <class Fields>
  static void list(Fields& fields) {
    using S = CountsSource;
    fields.add("file", &S::file, Lengths{4096},
               "A file of counts [experts], [layers, experts] or [steps, layers, experts] (.npy, .npz, safetensors, "
               "JSON), or of lines layer_id, expert_id, count (CSV, JSON lines); a folder, or a pattern with *");
    fields.add("each_file", &S::each_file, {"", "layer", "rank", "step"},
               "What each file of a folder or pattern is: a layer or a step; without it, the word before the number in "
               "their names says");
    fields.add("tensor", &S::tensors, Lengths{200, 1024}, "Tensor name or pattern with *, or a list of them");
    fields.add("axes", &S::axes, kAxisWords,
               "What each dimension is, where it is not [experts], [layers, experts] or [steps, layers, experts]");
  }
};

}  // namespace tatr
