// Routing and rounding against golden.json: what tests/oracle/reference.py, written independently in NumPy, says of
// many small experiments. Made by make_golden.py. Integers, token lists and gates must agree bit for bit, metrics to
// 1e-12.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "catch.hpp"
#include "config/read.hpp"
#include "core/error.hpp"
#include "rounding/rounding.hpp"
#include "source/synthetic.hpp"

using namespace tatr;
using nlohmann::json;

namespace {

/// FNV-1a, 64 bits, of a vector's bytes.
template <class T>
std::string hash_of(const std::vector<T>& values) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  for (std::size_t i = 0; i < values.size() * sizeof(T); ++i) hash = (hash ^ bytes[i]) * 0x100000001B3u;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

/// Whether a list is the expected one: as it is, or its hash where that is long.
bool agree(const std::vector<std::int32_t>& values, const json& expected) {
  return expected.is_string() ? hash_of(values) == expected : values == expected.get<std::vector<std::int32_t>>();
}

/// Logits of a case's pattern: whole numbers from token and expert, scaled, so that ties are many.
std::vector<float> pattern_logits(const json& pattern, std::int64_t tokens, std::int64_t experts) {
  const std::int64_t by_token = pattern["token"], by_expert = pattern["expert"], by_both = pattern["both"];
  const std::int64_t modulus = pattern["modulus"], centre = pattern["centre"];
  const float step = pattern["step"];
  std::vector<float> logits;
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t e = 0; e < experts; ++e) {
      const std::int64_t whole = (by_token * t + by_expert * e + by_both * t * e) % modulus - centre;
      const bool flip = whole == 0 && (t + e) % 2 == 1 && pattern["negative_zero"];
      logits.push_back(flip ? -0.0f : static_cast<float>(whole) * step);
    }
  }
  return logits;
}

Routing route_known(System& system, const json& pattern, const RouterConfig& config) {
  const std::int64_t by_token = pattern["token"], by_slot = pattern["slot"], modulus = pattern["modulus"];
  const std::int64_t score_by_token = pattern["score_token"], score_by_slot = pattern["score_slot"];
  std::vector<std::int32_t> chosen;
  std::vector<float> scores;
  for (std::int64_t t = 0; t < config.tokens; ++t) {
    for (std::int64_t k = 0; k < config.top_k; ++k) {
      chosen.push_back(static_cast<std::int32_t>((by_token * t + by_slot * k) % config.experts));
      const auto whole = static_cast<float>((score_by_token * t + score_by_slot * k) % modulus);
      scores.push_back(whole / static_cast<float>(modulus));
    }
  }
  return routing_from_top_k(system, Buffer<std::int32_t>(system, chosen), Buffer<float>(system, scores), config);
}

Routing route_case(System& system, const json& one, const ExperimentConfig& config) {
  const RouterConfig& router = config.router;
  if (!one.contains("pattern")) {
    Buffer<float> logits = synthetic_logits(system, router.source, config.seed, router.tokens, router.experts);
    return route(system, std::move(logits), router);
  }
  const json& pattern = one["pattern"];
  if (pattern["kind"] == "top_k") return route_known(system, pattern, router);
  return route(system, Buffer<float>(system, pattern_logits(pattern, router.tokens, router.experts)), router);
}

void check_routing(const Routing& routing, const json& expected) {
  if (expected.contains("logits_hash")) CHECK(hash_of(routing.logits.to_host()) == expected["logits_hash"]);
  CHECK(hash_of(routing.chosen.to_host()) == expected["chosen_hash"]);
  CHECK(hash_of(routing.gates.to_host()) == expected["gates_hash"]);
  CHECK(hash_of(routing.scores.to_host()) == expected["scores_hash"]);
  CHECK(agree(routing.counts.to_host(), expected["counts"]));
}

/// A metric by name, as in the JSON result.
double metric_of(const RoundingMetrics& metrics, const std::string& name) {
  for (const RoundingMetric& metric : kRoundingMetrics) {
    if (metric.name == name) return metric.in(metrics);
  }
  throw std::out_of_range(name);
}

void check_dispatch(const Dispatch& dispatch, const json& expected) {
  CHECK(hash_of(dispatch.token.to_host()) == expected["token_hash"]);
  CHECK(hash_of(dispatch.gate.to_host()) == expected["gate_hash"]);
}

void check_rounded(const Rounded& rounded, const json& expected, const json& golden) {
  const RoundingMetrics& metrics = rounded.metrics;
  for (std::size_t i = 0; i < golden["integers"].size(); ++i) {
    const std::string name = golden["integers"][i];
    INFO(name);
    CHECK(metric_of(metrics, name) == expected["integers"][i].get<double>());
  }
  for (std::size_t i = 0; i < golden["metrics"].size(); ++i) {
    const std::string name = golden["metrics"][i];
    const double value = metric_of(metrics, name), reference = expected["metrics"][i];
    INFO(name << ": " << value << ", reference " << reference);
    CHECK(std::abs(value - reference) <= 1e-12 * std::abs(reference));
  }
  CHECK(agree(metrics.counts_after, expected["counts_after"]));
  CHECK(hash_of(metrics.tiles_per_expert) == expected["tiles_hash"]);
  CHECK(hash_of(metrics.last_tile_utilisation) == expected["last_tile_hash"]);
  check_dispatch(rounded.dispatch, expected);
}

/// A strategy that cannot be applied says so, in words that name the cause.
template <class Call>
void check_refusal(Call call, const std::string& cause) {
  try {
    call();
    FAIL_CHECK("no error; expected: " << cause);
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()).find(cause) != std::string::npos);
  }
}

void check_case(System& system, const json& one, const json& golden) {
  const ExperimentConfig config = parse_experiment(one["config"], "golden.json");
  const json& expected = one["expected"];
  const std::int64_t layer = one["layer"];
  const Routing routing = route_case(system, one, config);
  check_routing(routing, expected);
  REQUIRE(expected["results"].size() == config.tiles.size() * config.strategies.size());
  // One scratch for all of them: nothing of one strategy may leak into the next.
  RoundingScratch scratch(system, routing.tokens, routing.experts, routing.top_k, 1024);
  std::size_t next = 0;
  for (const std::int64_t tile : config.tiles) {
    for (std::size_t s = 0; s < config.strategies.size(); ++s) {
      const StrategyConfig& strategy = config.strategies[s];
      const json& result = expected["results"][next++];
      INFO(strategy.canonical << ", tile " << tile);
      CHECK(strategy.canonical == expected["canonical"][s]);
      const auto rounded = [&] { return round_routing(routing, {strategy, tile, config.seed, layer}, system); };
      const auto again = [&] { return round_routing(routing, {strategy, tile, config.seed, layer}, system, scratch); };
      if (result.contains("error")) {
        check_refusal(rounded, result["error"]);
        check_refusal(again, result["error"]);
      } else {
        check_rounded(rounded(), result, golden);
        check_dispatch(again().dispatch, result);
      }
    }
  }
}

}  // namespace

TEST_CASE("routing and rounding agree with the independent reference, on any number of threads") {
  std::ifstream file(std::string(TATR_TEST_DATA) + "/rounding/golden.json");
  REQUIRE(file);
  const json golden = json::parse(file);
  REQUIRE(golden["cases"].size() >= 75);
  for (const int threads : {1, 3}) {
    const auto cpu = make_cpu_system(threads);
    for (const json& one : golden["cases"]) {
      INFO(one["config"]["name"] << ", " << threads << " threads");
      check_case(*cpu, one, golden);
    }
  }
}
