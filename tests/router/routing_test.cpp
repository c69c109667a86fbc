#include "router/routing.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "catch.hpp"
#include "router_shape.hpp"
#include "source/synthetic.hpp"

using namespace tatr;

namespace {

Routing route_rows(System& cpu, const std::vector<float>& logits, const RouterConfig& config) {
  return route(cpu, Buffer<float>(cpu, logits), config);
}

}  // namespace

TEST_CASE("top-k takes the largest logits, best first, and ties go to the lower expert") {
  const auto cpu = make_cpu_system(1);
  const Routing routing = route_rows(*cpu, {1, 3, 3, 2, 0, -0.0f, 0.0f, -1}, router_shape(2, 4, 3));
  CHECK(routing.chosen.to_host() == std::vector<std::int32_t>{1, 2, 3, 0, 1, 2});
  CHECK(routing.counts.to_host() == std::vector<std::int32_t>{1, 2, 2, 1});
}

TEST_CASE("gates are softmax over the chosen, or over all experts where they are not normalised") {
  const auto cpu = make_cpu_system(1);
  RouterConfig config = router_shape(1, 3, 2);
  const double e1 = std::exp(-1.0), e2 = std::exp(-2.0);
  const auto gates = route_rows(*cpu, {2, 1, 0}, config).gates.to_host();
  CHECK(gates[0] == Approx(1 / (1 + e1)));
  CHECK(gates[1] == Approx(e1 / (1 + e1)));
  config.normalise_gates = false;
  const auto raw = route_rows(*cpu, {2, 1, 0}, config).gates.to_host();
  CHECK(raw[0] == Approx(1 / (1 + e1 + e2)));
  config.scoring = Scoring::kSigmoid;
  CHECK(route_rows(*cpu, {2, 1, 0}, config).gates.to_host()[1] == Approx(1 / (1 + e1)));
}

TEST_CASE("bf16 logits are rounded to nearest, so that more of them tie") {
  const auto cpu = make_cpu_system(1);
  RouterConfig config = router_shape(2, 4, 2);
  // 1 + 1/128 is the next bf16 after 1; 1 + 3/256 lies between two, of which 1 + 2/128 is even.
  const std::vector<float> logits = {1, 1 + 0x1p-9f, 0, 1 + 0x1p-7f, 1 + 3 * 0x1p-8f, 1 + 2 * 0x1p-7f, 3.4e38f, 2};
  CHECK(route_rows(*cpu, logits, config).chosen.to_host() == std::vector<std::int32_t>{3, 1, 2, 3});
  config.logits = LogitType::kBf16;
  const Routing routing = route_rows(*cpu, logits, config);
  CHECK(routing.chosen.to_host() == std::vector<std::int32_t>{3, 0, 2, 3});
  const float most = float_from_bits(0x7F7F0000);
  CHECK(routing.logits.to_host() == std::vector<float>{1, 1, 0, 1 + 0x1p-7f, 1 + 0x1p-6f, 1 + 0x1p-6f, most, 2});
}

TEST_CASE("a selection bias changes the choice but not the gate") {
  const auto cpu = make_cpu_system(1);
  RouterConfig config = router_shape(1, 3, 1);
  config.scoring = Scoring::kSigmoid;
  config.normalise_gates = false;
  config.selection_bias = {0, 0, 0.9};
  const Routing routing = route_rows(*cpu, {2, 1, 0}, config);
  CHECK(routing.chosen.to_host() == std::vector<std::int32_t>{2});
  CHECK(routing.gates.to_host()[0] == 0.5f);
}

TEST_CASE("groups: only experts of the best groups, each scored by its two best, may be chosen") {
  const auto cpu = make_cpu_system(1);
  RouterConfig config = router_shape(1, 6, 2);
  config.groups = ExpertGroups{2, 1};
  // The first group holds the best expert, but the second the better pair: 6.0 + 6.0 of 22.5 against 7.4 + 1.
  CHECK(route_rows(*cpu, {2.0f, 0, 0, 1.8f, 1.8f, 0}, config).chosen.to_host() == std::vector<std::int32_t>{3, 4});
}

TEST_CASE("groups valued by their best expert") {
  const auto cpu = make_cpu_system(1);
  RouterConfig config = router_shape(1, 6, 2);
  config.groups = ExpertGroups{2, 1, GroupScore::kMax};
  CHECK(route_rows(*cpu, {2.0f, 0, 0, 1.8f, 1.8f, 0}, config).chosen.to_host() == std::vector<std::int32_t>{0, 1});
}

TEST_CASE("groups without a selection bias choose as with one of zeros, whatever the scores") {
  const auto cpu = make_cpu_system();
  for (const Scoring scoring : {Scoring::kSoftmax, Scoring::kSigmoid}) {
    for (const GroupScore score : {GroupScore::kTop2Sum, GroupScore::kMax}) {
      RouterConfig config = router_shape(400, 64, 4);
      config.scoring = scoring;
      config.groups = ExpertGroups{8, 2, score};
      const auto routed = [&] {
        return route(*cpu, synthetic_logits(*cpu, SourceConfig{}, 7, 400, 64), config).chosen.to_host();
      };
      const std::vector<std::int32_t> without = routed();
      config.selection_bias = {0.0};
      CHECK(routed() == without);
    }
  }
}

TEST_CASE("gates of a token sum to one") {
  const auto cpu = make_cpu_system();
  SourceConfig source;
  const RouterConfig config = router_shape(300, 200, 7);
  const Routing routing = route(*cpu, synthetic_logits(*cpu, source, 5, 300, 200), config);
  const auto gates = routing.gates.to_host();
  for (int t = 0; t < 300; ++t) {
    REQUIRE(std::accumulate(gates.begin() + t * 7, gates.begin() + (t + 1) * 7, 0.0) == Approx(1.0).epsilon(1e-6));
  }
  const auto counts = routing.counts.to_host();
  CHECK(std::accumulate(counts.begin(), counts.end(), 0) == 300 * 7);
}

TEST_CASE("scores of all experts sum to one and agree with those of the chosen") {
  const auto cpu = make_cpu_system();
  const Routing routing = route(*cpu, synthetic_logits(*cpu, {}, 5, 20, 150), router_shape(20, 150, 4));
  const auto chosen = routing.chosen.to_host();
  const auto scores = routing.scores.to_host();
  const ScoreView view = routing.score_view();
  for (int t = 0; t < 20; ++t) {
    double sum = 0;
    for (int e = 0; e < 150; ++e) sum += view(t, e);
    REQUIRE(sum == Approx(1.0).epsilon(1e-5));
    for (int k = 0; k < 4; ++k) REQUIRE(view(t, chosen[t * 4 + k]) == scores[t * 4 + k]);
  }
}

TEST_CASE("of the most experts there may be, the most choices are the best ones, from the first expert to the last") {
  constexpr std::int32_t kTokens = 9, kExperts = kMaxExperts, kTopK = kMaxTopK;
  std::vector<float> logits;
  std::vector<std::int32_t> best;  // a plain sort of each row
  for (std::int32_t t = 0; t < kTokens; ++t) {
    std::vector<float> row;
    for (std::int32_t e = 0; e < kExperts; ++e) row.push_back(static_cast<float>((e * (2 * t + 1) * 37 + t) % 997));
    row.front() = row.back() = 1000.0f;
    std::vector<std::int32_t> order(kExperts);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return row[a] > row[b]; });
    best.insert(best.end(), order.begin(), order.begin() + kTopK);
    logits.insert(logits.end(), row.begin(), row.end());
  }
  CHECK(best[0] == 0);
  CHECK(best[1] == kExperts - 1);
  const auto cpu = make_cpu_system(2);
  const Routing routing = route_rows(*cpu, logits, router_shape(kTokens, kExperts, kTopK));
  CHECK(routing.chosen.to_host() == best);
  std::vector<std::int32_t> counts(kExperts);
  for (const std::int32_t expert : best) ++counts[expert];
  CHECK(routing.counts.to_host() == counts);
}

TEST_CASE("known top-k are put in order, ties to the lower expert") {
  const auto cpu = make_cpu_system(1);
  const std::vector<std::int32_t> chosen = {5, 2, 7};
  const std::vector<float> scores = {0.25f, 0.25f, 0.5f};
  const Routing routing =
      routing_from_top_k(*cpu, Buffer<std::int32_t>(*cpu, chosen), Buffer<float>(*cpu, scores), router_shape(1, 8, 3));
  CHECK(routing.chosen.to_host() == std::vector<std::int32_t>{7, 2, 5});
  CHECK(routing.gates.to_host() == std::vector<float>{0.5f, 0.25f, 0.25f});
  CHECK_FALSE(routing.has_all_scores());
}

TEST_CASE("synthetic logits do not depend on the number of threads and have the moments asked for") {
  SourceConfig source;
  source.deviation = 2.0;
  const auto one = make_cpu_system(1);
  const auto expected = synthetic_logits(*one, source, 42, 1000, 77).to_host();
  const auto three = make_cpu_system(3);
  const auto logits = synthetic_logits(*three, source, 42, 1000, 77).to_host();
  CHECK(std::memcmp(logits.data(), expected.data(), logits.size() * sizeof(float)) == 0);
  double sum = 0, squares = 0;
  for (const float x : logits) {
    sum += x;
    squares += static_cast<double>(x) * x;
  }
  const auto n = static_cast<double>(logits.size());
  CHECK(std::abs(sum / n) < 0.03);
  CHECK(squares / n == Approx(4.0).epsilon(0.02));
}

TEST_CASE("each source gives the load it promises") {
  const auto cpu = make_cpu_system();
  const auto counts_of = [&](const SourceConfig& source) {
    return route(*cpu, synthetic_logits(*cpu, source, 1, 2048, 64), router_shape(2048, 64, 4)).counts.to_host();
  };
  const auto spread = [](const std::vector<std::int32_t>& counts) {
    return *std::max_element(counts.begin(), counts.end()) - *std::min_element(counts.begin(), counts.end());
  };
  SourceConfig source;
  const auto uniform = spread(counts_of(source));  // mean 128
  CHECK(uniform < 70);
  source.options = ZipfSource{};
  const auto zipf = counts_of(source);
  CHECK(zipf[0] > 4 * zipf[32]);
  source.options = LognormalSource{};
  CHECK(spread(counts_of(source)) > 2 * uniform);
  source.options = TopicsSource{};
  CHECK(spread(counts_of(source)) > 2 * uniform);
  source.options = HotSource{.experts = 4};
  const auto hot = counts_of(source);
  CHECK(hot[3] > 3 * hot[4]);
}
