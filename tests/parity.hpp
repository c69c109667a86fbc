// What must be the same, to the bit, on every system: what routing and rounding give.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "rounding/rounding.hpp"
#include "router/routing.hpp"

namespace tatr::test {

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
bool same_bits(const Buffer<T>& a, const Buffer<T>& b) {
  return same_bits(a.to_host(), b.to_host());
}

/// The name of the first thing that differs, or empty.
inline std::string difference(const Routing& a, const Routing& b) {
  if (!same_bits(a.chosen, b.chosen)) return "chosen experts";
  if (!same_bits(a.gates, b.gates)) return "gates";
  if (!same_bits(a.scores, b.scores)) return "scores";
  if (!same_bits(a.counts, b.counts)) return "counts";
  if (!same_bits(a.members, b.members)) return "members";
  if (a.scoring != Scoring::kSoftmax) return {};
  if (!same_bits(a.row_max, b.row_max)) return "maxima of rows";
  if (!same_bits(a.row_inverse, b.row_inverse)) return "sums of rows";
  return {};
}

inline std::string difference(const Dispatch& a, const Dispatch& b) {
  if (!same_bits(a.offsets, b.offsets)) return "offsets";
  if (!same_bits(a.token, b.token)) return "tokens";
  if (!same_bits(a.gate, b.gate)) return "dispatch gates";
  return {};
}

inline std::string difference(const Rounded& a, const Rounded& b) {
  const RoundingMetrics &m = a.metrics, &n = b.metrics;
  if (!same_bits(m.counts_after, n.counts_after)) return "targets";
  if (const std::string found = difference(a.dispatch, b.dispatch); !found.empty()) return found;
  if (m.dropped != n.dropped || m.added != n.added || m.padded != n.padded || m.duplicated != n.duplicated)
    return "drops or fills";
  if (m.tokens_without_expert != n.tokens_without_expert) return "tokens without expert";
  if (m.dropped_gate_mass != n.dropped_gate_mass || m.mean_cube_dropped_mass != n.mean_cube_dropped_mass)
    return "dropped mass";
  if (m.mean_dropped_probability != n.mean_dropped_probability) return "dropped probability";
  return {};
}

}  // namespace tatr::test
