#pragma once

#include <cstdint>
#include <string_view>

#include "options/fields.hpp"

namespace tatr {

/// What stands for the rounding loss, mean((c mod M) / M), where it is differentiated. As it is written its derivative
/// is the same for every expert, which moves no token.
enum class RoundingSurrogate { kPeriodic, kSawtooth };

/// The logits of a router that is trained first; source/trained.hpp says how.
struct TrainedSource {
  std::int64_t topics = 64;  // topic z is drawn with weight (z + 1) ^ -exponent
  double exponent = 0.5;
  std::int64_t hidden = 16;     // width of a token
  double noise = 0.5;           // a token is its topic's centre plus noise * N(0, 1)
  std::int64_t steps = 300;     // each on a fresh batch of the router's `tokens`
  double learning_rate = 0.01;  // of Adam
  double balance_weight = 0.01, rounding_weight = 0.0;
  RoundingSurrogate surrogate = RoundingSurrogate::kPeriodic;
  std::int64_t tile = 0;  // M of the rounding loss

  static constexpr std::string_view kName = "trained";
  static constexpr std::string_view kHelp = "a linear router, trained here with losses for balance and rounding";
  static constexpr std::string_view kWords =
      "a linear router, trained for {steps} steps on {topics} topics; weights of the losses: balance {balance_weight}, "
      "rounding {rounding_weight} ({surrogate}, to tiles of {round_to})";
  static constexpr bool kSynthetic = false;

  template <class Fields>
  static void list(Fields& fields) {
    using S = TrainedSource;
    fields.add("topics", &S::topics, Bounds{.least = 1, .most = 4096}, "Number of topics");
    fields.add("exponent", &S::exponent, Bounds{.least = 0, .most = 10},
               "Topic z (from 0) is drawn with weight (z + 1) ^ -exponent");
    fields.add("noise", &S::noise, Bounds{.least = 0, .most = 100},
               "A token is its topic's centre plus noise * N(0, 1)");
    fields.add("hidden", &S::hidden, Bounds{.least = 8, .most = 64, .multiple_of = 8},
               "Width of a token, and of the linear experts that are trained with the router");
    fields.add("steps", &S::steps, Bounds{.least = 0, .most = 100000},
               "Steps of training, each on a fresh batch of the router's tokens");
    fields.add("learning_rate", &S::learning_rate, Bounds{.least = 0, .most = 1, .above_least = true}, "Of Adam");
    fields.add("balance_weight", &S::balance_weight, Bounds{.least = 0, .most = 1000},
               "Weight of the load-balancing loss");
    fields.add("rounding_weight", &S::rounding_weight, Bounds{.least = 0, .most = 1000}, "Weight of the rounding loss");
    fields.add(
        "surrogate", &S::surrogate, {"periodic", "sawtooth"},
        "What the rounding loss is differentiated as: a smooth wave that is zero at whole tiles, or (c mod tile) "
        "/ tile as it is written");
    fields.add("round_to", &S::tile, Bounds{.least = 8, .most = 1024, .multiple_of = 8, .without_default = true},
               "Tile of the rounding loss; by default the experiment's first");
  }
};

}  // namespace tatr
