// The sort key of rankings: for every value that can enter, it gives back what went in and orders as ranking says; and
// routings of any top-k, odd values included, keep their promises when they are rounded.
#include "rounding/rank_key.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "core/philox.hpp"
#include "fuzz/use_trace.hpp"
#include "router_shape.hpp"

using namespace tatr;

namespace {

std::uint32_t draw(std::uint64_t seed, std::uint32_t index) { return random_bits(seed, Stream::kTensor, index, 0); }

/// What a trace may call a score, and what nobody should.
std::vector<float> odd_values() {
  std::vector<float> values;
  for (const std::uint32_t bits :
       {0x00000000u, 0x80000000u, 0x00000001u, 0x80000001u, 0x007FFFFFu, 0x807FFFFFu, 0x00800000u, 0x3F7FFFFFu,
        0x3F800000u, 0x3F800001u, 0x3F000000u, 0xBF000000u, 0x7F7FFFFFu, 0xFF7FFFFFu, 0x7F800000u, 0xFF800000u,
        0x7FC00000u, 0xFFC12345u, 0x7F812345u, 0x40000000u, 0xFFFFFFFFu, 0x7FFFFFFFu}) {
    values.push_back(std::bit_cast<float>(bits));
  }
  return values;
}

/// Distinct experts a row, and scores of which every third is odd.
struct TopK {
  RouterConfig router;
  std::vector<std::int32_t> chosen;
  std::vector<float> scores;
};

TopK draw_top_k(std::uint64_t seed) {
  TopK drawn;
  const auto experts = static_cast<std::int32_t>(1 + draw(seed, 0) % 40);
  const auto top_k = static_cast<std::int32_t>(1 + draw(seed, 1) % static_cast<std::uint32_t>(std::min(experts, 8)));
  drawn.router = router_shape(1 + draw(seed, 2) % 300, experts, top_k);
  drawn.router.normalise_gates = draw(seed, 3) % 2 == 0;
  const std::vector<float> odd = odd_values();
  std::vector<std::int32_t> order(static_cast<std::size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  std::uint32_t next = 4;
  for (std::int64_t i = 0; i < drawn.router.tokens * top_k; ++i) {
    const auto slot = static_cast<std::size_t>(i % top_k);
    std::swap(order[slot], order[slot + draw(seed, next++) % (order.size() - slot)]);
    drawn.chosen.push_back(order[slot]);
    const std::uint32_t bits = draw(seed, next++);
    drawn.scores.push_back(bits % 3 == 0 ? odd[bits / 3 % odd.size()] : static_cast<float>(bits) * 0x1p-32f);
  }
  return drawn;
}

Routing routing_of(System& system, const TopK& drawn) {
  return routing_from_top_k(system, Buffer<std::int32_t>(system, drawn.chosen), Buffer<float>(system, drawn.scores),
                            drawn.router);
}

}  // namespace

TEST_CASE("a share has the bits of a number from 0 to 1, whatever it was", "[rank]") {
  for (const float value : odd_values()) {
    const float share = as_share(value);
    CAPTURE(value, float_bits(value));
    CHECK(float_bits(share) <= float_bits(1.0f));
    if (value >= 0.0f && value <= 1.0f) CHECK(share == value);
  }
  CHECK(float_bits(as_share(-0.0f)) == 0);
  CHECK(as_share(1.0000001f) == 1.0f);
  CHECK(as_share(std::numeric_limits<float>::denorm_min()) == std::numeric_limits<float>::denorm_min());
}

TEST_CASE("a key gives its score, token and expert back", "[rank]") {
  std::vector<float> scores = odd_values();
  for (std::uint32_t i = 0; i < 20000; ++i) scores.push_back(std::bit_cast<float>(draw(1, i)));
  for (std::uint32_t i = 0; i < 20000; ++i) scores.push_back(static_cast<float>(draw(2, i)) * 0x1p-32f);
  std::uint32_t i = 0;
  for (const float value : scores) {
    const float score = as_share(value);
    const auto token = static_cast<std::int32_t>(draw(3, i) % kMaxTokens);
    const auto expert = static_cast<std::int32_t>(draw(4, i++) % kMaxExperts);
    const std::uint64_t key = rank_key(expert, rank_place(score, token));
    REQUIRE(float_bits(key_score(key)) == float_bits(score));
    REQUIRE(key_token(key) == token);
    REQUIRE(key_expert(key) == expert);
  }
  const std::uint64_t last = rank_key(kMaxExperts - 1, rank_place(0.0f, kMaxTokens - 1));
  CHECK(key_expert(last) == kMaxExperts - 1);
  CHECK(key_token(last) == kMaxTokens - 1);
}

TEST_CASE("keys ascend by expert, then falling score, then token", "[rank]") {
  using Place = std::tuple<std::int32_t, float, std::int32_t>;  // expert, -score, token
  std::vector<Place> places;
  for (std::uint32_t i = 0; i < 3000; ++i) {
    const float score =
        as_share(i % 4 == 0 ? odd_values()[i / 4 % odd_values().size()] : static_cast<float>(draw(5, i) % 64) / 63.0f);
    places.emplace_back(draw(6, i) % 7, -score, draw(7, i) % 50);
  }
  std::ranges::sort(places);
  std::uint64_t before = 0;
  for (const auto& [expert, negated, token] : places) {
    const std::uint64_t key = rank_key(expert, rank_place(std::abs(negated), token));
    REQUIRE(key >= before);
    before = key;
  }
}

TEST_CASE("scores of any logits are shares: none has a sign or is above 1", "[rank]") {
  const auto cpu = make_cpu_system(1);
  std::vector<float> logits;
  for (const float value : odd_values()) {
    if (std::isfinite(value)) logits.push_back(value);
  }
  for (std::uint32_t i = 0; logits.size() < 64 * 16; ++i) {
    const float value = std::bit_cast<float>(draw(8, i));
    logits.push_back(std::isfinite(value) ? value : -1e-7f * static_cast<float>(i));
  }
  for (const Scoring scoring : {Scoring::kSoftmax, Scoring::kSigmoid}) {
    RouterConfig router = router_shape(64, 16, 3);
    router.scoring = scoring;
    const Routing routing = route(*cpu, Buffer<float>(*cpu, logits), router);
    CHECK(broken_promise(routing) == "");
    for (std::int64_t i = 0; i < 64 * 16; ++i) {
      REQUIRE(float_bits(routing.score_view()(i / 16, static_cast<std::int32_t>(i % 16))) <= float_bits(1.0f));
    }
    CHECK(round_all_ways(routing, *cpu) == "");
  }
}

TEST_CASE("e^x of what is not above 0 is a share", "[rank]") {
  for (std::uint32_t bits = 0x80000000u; bits < 0xFF800000u; bits += 0x1001u) {
    REQUIRE(float_bits(exact_exp(std::bit_cast<float>(bits))) <= float_bits(1.0f));
  }
  for (std::uint32_t bits = 0x80000000u; bits < 0x80010000u; ++bits) {
    REQUIRE(exact_exp(std::bit_cast<float>(bits)) == 1.0f);
  }
}

TEST_CASE("top-k of any scores is routed and rounded with its promises kept", "[rank]") {
  const auto cpu = make_cpu_system(2);
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const Routing routing = routing_of(*cpu, draw_top_k(seed));
    REQUIRE(broken_promise(routing) == "");
    REQUIRE(round_all_ways(routing, *cpu) == "");
  }
}

TEST_CASE("every assignment has its rank: what is dropped and what is kept make up all gates", "[rank]") {
  const auto cpu = make_cpu_system(2);
  for (std::uint64_t seed = 100; seed <= 140; ++seed) {
    CAPTURE(seed);
    const Routing routing = routing_of(*cpu, draw_top_k(seed));
    const auto gates = routing.gates.to_host();
    const double all = std::accumulate(gates.begin(), gates.end(), 0.0);
    for (const std::int64_t tile : {8, 1024}) {  // 1024: every assignment is dropped
      const StrategyConfig down = strategy_of(StrategyKind::kDown, Fill::kDuplicate, false);
      const Rounded rounded = round_routing(routing, {down, tile, 1, 0}, *cpu);
      const auto kept = rounded.dispatch.gate.to_host();
      const double dropped = rounded.metrics.dropped_gate_mass * routing.tokens;
      REQUIRE(dropped + std::accumulate(kept.begin(), kept.end(), 0.0) == Approx(all).margin(1e-6));
      if (tile == 1024) REQUIRE(rounded.metrics.dropped == std::int64_t{routing.tokens} * routing.top_k);
    }
  }
}

TEST_CASE("a score of -0 is one of 0", "[rank]") {
  const auto cpu = make_cpu_system(1);
  const std::vector<std::int32_t> chosen = {0, 1, 0, 1, 0, 1};
  const auto metrics_with = [&](float zero, bool normalise) {
    RouterConfig router = router_shape(3, 8, 2);
    router.normalise_gates = normalise;
    const Routing routing =
        routing_from_top_k(*cpu, Buffer<std::int32_t>(*cpu, chosen),
                           Buffer<float>(*cpu, std::vector<float>{0.5f, 0.5f, 0.5f, zero, zero, zero}), router);
    CHECK(broken_promise(routing) == "");
    return round_routing(routing, {strategy_of(StrategyKind::kDown, Fill::kPad, false), 8, 1, 0}, *cpu).metrics;
  };
  for (const bool normalise : {true, false}) {
    const RoundingMetrics plus = metrics_with(0.0f, normalise), minus = metrics_with(-0.0f, normalise);
    CHECK(minus.dropped == 6);
    CHECK(minus.dropped == plus.dropped);
    CHECK(minus.dropped_gate_mass == plus.dropped_gate_mass);
    CHECK(minus.mean_dropped_probability == plus.mean_dropped_probability);
  }
}
