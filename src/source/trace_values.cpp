#include "source/trace_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace tatr {
namespace {

constexpr float kFarApart = 88.0f;
constexpr const char* kMaskAllowed =
    "tokens alone (\"mask\": \"padding\" in the source leaves such rows out; \"first_token\" and router.tokens choose "
    "rows); if it is a token all the same, ";
constexpr const char* kLogitsAllowed =
    "logits (counts of tokens are for a source of kind \"counts\"); if these are logits all the same, \"values\": "
    "\"logits\" in the source says so";

/// What holds for all rows so far. Rows of equal values change only which of them was first.
struct Looks {
  std::int64_t equal_row = -1, telling_rows = 0;
  bool whole = true, from_zero = true, adds_up_to_one = true;
  float largest = 0.0f, apart = 0.0f;

  void add(std::int64_t index, std::span<const float> row) {
    const auto [least, most] = std::ranges::minmax(row);
    from_zero = from_zero && least >= 0.0f;
    largest = std::max(largest, most);
    if (least == most) {
      if (equal_row < 0) equal_row = index;
      whole = whole && least == std::trunc(least);
      return;
    }
    ++telling_rows;
    if (!from_zero) return;  // all that is asked for is
    apart = std::max(apart, most - least);
    double sum = 0.0;
    for (const float value : row) {
      sum += static_cast<double>(value);
      whole = whole && value == std::trunc(value);
    }
    adds_up_to_one = adds_up_to_one && most <= 1.0f && std::abs(sum - 1.0) <= kSumTolerance;
  }
};

std::string number_text(float value) {
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

}  // namespace

std::optional<double> common_sum_above_one(std::span<const double> scores, std::int64_t top_k) {
  constexpr double kAbove = 1.05, kAlike = 0.02;  // bfloat16 rounds each to 0.4 %
  const auto width = static_cast<std::size_t>(top_k);
  double least = 0, most = 0, total = 0;
  std::int64_t rows = 0;
  for (std::size_t first = 0; first < scores.size(); first += width) {
    double sum = 0;
    for (const double score : scores.subspan(first, width)) sum += score;
    if (sum == 0) continue;
    least = rows == 0 ? sum : std::min(least, sum);
    most = rows == 0 ? sum : std::max(most, sum);
    total += sum;
    ++rows;
  }
  if (rows < 2 || !(least > kAbove) || !(most - least <= kAlike * most)) return std::nullopt;
  const double mean = total / static_cast<double>(rows);
  const double unit = std::pow(10.0, std::floor(std::log10(mean)) - 2);
  return std::round(mean / unit) * unit;
}

std::optional<ValueProblem> problem_of_logits(std::span<const float> logits, std::int64_t experts,
                                              std::int64_t all_rows) {
  if (experts < 2) return std::nullopt;
  Looks looks;
  const auto width = static_cast<std::size_t>(experts);
  for (std::size_t first = 0; first < logits.size(); first += width) {
    looks.add(static_cast<std::int64_t>(first / width), logits.subspan(first, width));
  }
  if (looks.telling_rows == 0) return std::nullopt;
  if (looks.from_zero && looks.whole) {
    return ValueProblem{-1,
                        "whole numbers from 0 to " + number_text(looks.largest) +
                            ", as counts of tokens (or a mask of choices) have them, and logits do not",
                        kLogitsAllowed};
  }
  if (looks.from_zero && looks.adds_up_to_one) {
    return ValueProblem{
        -1, "from 0 to 1 and adding up to 1 in each row, as probabilities (softmax) do, and logits do not",
        "\"values\": \"probabilities\" for probabilities; if these are logits all the same, \"values\": "
        "\"logits\" in the source says so"};
  }
  if (looks.from_zero && all_rows < experts && looks.apart > kFarApart) {
    return ValueProblem{-1,
                        std::to_string(all_rows) + " rows for " + std::to_string(experts) +
                            " experts, from 0 up and as far apart as " + number_text(looks.apart) +
                            ", as loads of experts are, and logits are not",
                        kLogitsAllowed};
  }
  if (looks.equal_row >= 0 && experts >= kFewestExperts) {
    return ValueProblem{looks.equal_row, "the same logit for all experts, as padding has",
                        std::string(kMaskAllowed) + "\"values\": \"logits\" says so"};
  }
  return std::nullopt;
}

std::optional<ValueProblem> problem_of_scores(std::span<const float> scores, std::int64_t top_k) {
  std::int64_t empty_row = -1;
  bool any = false;
  const auto width = static_cast<std::size_t>(top_k);
  for (std::size_t first = 0; first < scores.size(); first += width) {
    const bool empty = std::ranges::all_of(scores.subspan(first, width), [](float score) { return score == 0.0f; });
    if (empty && empty_row < 0) empty_row = static_cast<std::int64_t>(first / width);
    any = any || !empty;
  }
  if (!any || empty_row < 0) return std::nullopt;
  return ValueProblem{empty_row, "no score but 0, as padding has",
                      std::string(kMaskAllowed) + "\"values\": \"top_k\" says so"};
}

}  // namespace tatr
