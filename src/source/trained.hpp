// Trains a small mixture-of-experts layer on tokens from a mixture of topics, with losses for balance and for rounding
// beside the task, so that it can be seen what a rounding loss buys. Decides the router's logits; how they are routed
// and rounded is the same as for any other source.
//
// A token's topic z is drawn with weight (z + 1)^-exponent; the token is x = centre_z + noise * N(0, 1), of `hidden`
// values, and its target y = map_z x. The router is linear, an expert a matrix; the layer's output is the sum of the
// chosen experts' outputs, weighted by the gates. Losses, over T tokens:
//
//   task      mean over tokens and values of (output - y)^2
//   balance   E * sum over experts of f_e * P_e: share of assignments, mean score (Fedus et al., Switch Transformers)
//   rounding  mean over experts of s(c_e): s(c) = (4 u (1 - u))^2 with u = (c mod M) / M for the periodic surrogate,
//             u itself for the sawtooth. A count c_e has the derivative of K * (sum over tokens of score e) by the
//             logits: it is straight-through, for counts are integers
//
// All arithmetic is fp32 in a fixed order: the same bits on every machine and with any number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "device/system.hpp"
#include "options/options.hpp"
#include "router/routing.hpp"

namespace tatr {

/// The layer in training and its current batch. Buffers live in the system.
class RouterTraining {
 public:
  /// `config` has a trained source; `seed` makes batches and initial weights.
  RouterTraining(System& system, const RouterConfig& config, std::uint64_t seed);

  /// Draws batch `index`, and routes and computes it with the current weights.
  void forward(std::int64_t index);
  /// The gradient of the weighted losses on the current batch.
  void backward();
  /// One step of Adam (Kingma and Ba).
  void update();

  /// Of the current batch, as a share of what an output of zeros would have.
  double task_loss() const;

  System& system;
  RouterConfig config;
  std::uint64_t seed;
  std::int64_t chunk_tokens;                     // gradients are summed within chunks of tokens, then over them
  Buffer<std::uint32_t> topic_ends;              // [topics] where each topic's share of the 32-bit draws ends
  Buffer<float> centres, maps;                   // [topics, hidden]; [topics, hidden in, hidden out]
  Buffer<float> tokens, targets;                 // [T, hidden]
  Buffer<float> weights, gradient;               // [hidden, E] of the router, then [E, hidden in, hidden out]
  Buffer<float> first_moment, second_moment;     // as weights
  Buffer<float> outputs, errors;                 // [T, K, hidden] of experts; [T, hidden], output - y
  Buffer<float> logit_gradient, count_gradient;  // [T, E]; [E]: of a token's scores, from balance and rounding
  Buffer<float> chunk_gradients;                 // [chunks, as weights]
  Routing routing;                               // of the batch
  double first_power = 1.0, second_power = 1.0;  // of Adam's decays, by the steps done
};

/// What the training allocates in the system's memory.
std::size_t training_bytes(const RouterConfig& config);

struct TrainedRouter {
  Buffer<float> logits;  // [T, E] of a batch that it was not trained on
  double task_loss = 0;  // of that batch
};

/// Trains for the config's number of steps. `progress` is called before each step and may throw.
TrainedRouter train_router(System& system, const RouterConfig& config, std::uint64_t seed,
                           const std::function<void(std::int64_t step)>& progress);

}  // namespace tatr
