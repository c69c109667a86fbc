// What records of routers, whatever is in them, have in common: files and the axes of arrays.
#pragma once

#include <initializer_list>
#include <string>

namespace tatr {

/// What each file of a folder or pattern is; told by the names of the files where it is not said.
enum class EachFile { kTold, kLayer, kRank, kStep };

enum class Axis { kLayers, kSteps, kTokens, kExperts, kTopK };
inline constexpr std::initializer_list<const char*> kAxisWords = {"layers", "steps", "tokens", "experts", "top_k"};

/// Tensors of top-k by names or patterns with *; what * stands for pairs them. Empty: by the names that frameworks use.
struct TensorNames {
  std::string ids, scores;  // without scores: gates are not known
};

}  // namespace tatr
