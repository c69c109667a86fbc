// Whether numbers that a trace gives as logits, or as scores, can be that. Decides by how they look alone: values that
// are surely something else would be routed without a word, and all figures would be wrong. What real routers give must
// never be refused, so each rule asks for more than chance can give; knows nothing of files.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace tatr {

struct ValueProblem {
  std::int64_t row = -1;  // -1: all of them
  std::string found;      // "no score but 0, …"
  std::string allowed;    // what the user can do
};

inline constexpr double kSumTolerance = 0x1p-7;    // twice what rounding each to bfloat16 can move a sum of 1
inline constexpr std::int64_t kFewestExperts = 8;  // of which equal logits are no chance

/// The number above 1 that the scores [rows, top_k] of every row add up to, but for rounding: shares times a factor.
/// Absent where they do not; rows of zeros are not looked at. To three digits.
std::optional<double> common_sum_above_one(std::span<const double> scores, std::int64_t top_k);

/// What speaks against `logits` [rows, experts], some of a layer's `all_rows`:
///   probabilities   every row's values are from 0 to 1 and add up to 1, but for what bfloat16 rounds
///   counts          all are whole numbers from 0 up; or all are from 0 up, more than 88 apart in a row (in fp32 the
///                   softmax of the lower is 0), and there are fewer rows than experts
///   padding         all experts of some tokens, but not of all, have the same logit, and there are 8 experts or more
/// Rows of equal values speak for nothing: they route alike whatever they are. So does a single expert.
std::optional<ValueProblem> problem_of_logits(std::span<const float> logits, std::int64_t experts,
                                              std::int64_t all_rows);

/// What speaks against `scores` [rows, top_k]: some tokens, but not all, have no score but 0, as padding has.
std::optional<ValueProblem> problem_of_scores(std::span<const float> scores, std::int64_t top_k);

}  // namespace tatr
