// How much of a routing is known: records of routers hold scores of all experts, or less.
#pragma once

namespace tatr {

/// Each knows what the ones before know.
enum class Known {
  kCounts,   // how many tokens each expert has
  kChoices,  // which
  kGates,    // and with what score
  kScores,   // and the scores of the experts that a token did not choose
};

}  // namespace tatr
