#include "layer/output_error.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/tensor_values.hpp"

namespace tatr {

namespace {

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

double ratio(double part, double whole) { return part == 0.0 ? 0.0 : std::sqrt(part / whole); }

/// Of the 1 % of tokens whose own error is largest.
double error_of_worst(const std::vector<double>& differences, const std::vector<double>& bases) {
  std::vector<std::size_t> order(differences.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t count = std::max<std::size_t>(1, differences.size() / 100);
  const auto further = [&](std::size_t a, std::size_t b) {
    const double left = differences[a] * bases[b], right = differences[b] * bases[a];
    return left != right ? left > right : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(), further);
  double difference = 0, base = 0;
  for (std::size_t i = 0; i < count; ++i) {
    difference += differences[order[i]];
    base += bases[order[i]];
  }
  return ratio(difference, base);
}

}  // namespace

OutputReference::OutputReference(ExpertLayer& layer, LayerPass& none, const Dispatch& before)
    : layer_(layer), none_(none), offsets_(before.offsets.to_host()), gates_(before.gate.to_host()) {
  none_.run_forward();
  output_ = Tensor(layer_.system, layer_.dtype, none_.output().shape);
  layer_.system.copy(output_.data(), none_.output().data, output_.bytes());
  squares_ = row_squares(layer_.system, output_.view());
}

OutputError OutputReference::compare(LayerPass& strategy, const Dispatch& after) {
  const std::vector<std::int32_t> offsets = after.offsets.to_host();
  // Rows of an expert are its own tokens by rank, then fill: row j is the same assignment before and after.
  const std::vector<float> gates = after.gate.to_host();
  std::vector<float> dropped(gates_.size(), 0.0f), added(gates.size(), 0.0f), rescaled(gates.size(), 0.0f);
  for (std::size_t e = 0; e + 1 < offsets.size(); ++e) {
    const auto first = static_cast<std::size_t>(offsets[e]), own_first = static_cast<std::size_t>(offsets_[e]);
    const auto rows = static_cast<std::size_t>(offsets[e + 1] - offsets[e]);
    const auto own = static_cast<std::size_t>(offsets_[e + 1] - offsets_[e]);
    for (std::size_t j = rows; j < own; ++j) dropped[own_first + j] = gates_[own_first + j];
    for (std::size_t j = own; j < rows; ++j) added[first + j] = gates[first + j];
    for (std::size_t j = 0; j < std::min(own, rows); ++j) {
      rescaled[first + j] = gates[first + j] - gates_[own_first + j];
    }
  }
  const auto part = [&](LayerPass& run, const std::vector<float>& weights) {
    if (std::all_of(weights.begin(), weights.end(), [](float weight) { return weight == 0.0f; })) return 0.0;
    run.combine_with(Buffer<float>(layer_.system, weights));
    return sum(row_squares(layer_.system, run.output()));
  };
  const double base = sum(squares_);
  OutputError error;
  none_.run_forward();
  error.dropped = ratio(part(none_, dropped), base);
  strategy.run_forward();
  const std::vector<double> differences = row_distances(layer_.system, strategy.output(), output_.view());
  error.overall = ratio(sum(differences), base);
  error.worst_percent = error_of_worst(differences, squares_);
  error.added = ratio(part(strategy, added), base);
  error.rescaled = ratio(part(strategy, rescaled), base);
  return error;
}

}  // namespace tatr
