#include "source/probabilities.hpp"

#include <algorithm>
#include <cmath>

namespace tatr {

namespace {

constexpr double kLowest = 0x1p-150, kBelowOne = 1.0 - 0x1p-25;  // below every p > 0 of fp32, above every p < 1

/// Natural logarithm of a normal number, to some 2^-50 of its value: 2 atanh((m - 1) / (m + 1)) of the mantissa m.
double log_of(double x) {
  constexpr double kLog2 = 0.693147180559945309417;
  constexpr int kTerms = 12;
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1), square = s * s;
  double sum = 0;
  for (int k = kTerms; k > 0; --k) sum = sum * square + 1.0 / (2 * k - 1);
  return exponent * kLog2 + 2 * s * sum;
}

}  // namespace

float logit_of_probability(double p, Scoring scoring) {
  const double positive = std::max(p, kLowest);
  if (scoring == Scoring::kSoftmax) return static_cast<float>(log_of(positive));
  return static_cast<float>(log_of(positive) - log_of(1 - std::min(positive, kBelowOne)));
}

}  // namespace tatr
