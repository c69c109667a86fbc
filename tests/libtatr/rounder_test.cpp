// The C interface: the same bits as routing and rounding give elsewhere, in memory that is lent, and errors in words.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "config/read.hpp"
#include "core/half.hpp"
#include "core/philox.hpp"
#include "libtatr/tatr.h"
#include "parity.hpp"
#include "rounding/rounding.hpp"
#include "router/routing.hpp"

namespace tatr {

namespace {

using Catch::Matchers::Contains;
using nlohmann::json;

constexpr std::int64_t kTokens = 700, kExperts = 24, kTopK = 3, kTile = 32;

std::vector<float> some_logits(std::int64_t count) {
  std::vector<float> logits(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = normal_from_bits(philox(7, {{static_cast<std::uint32_t>(i), 0, 0, 1}}).word[0]);
    if (i % static_cast<std::size_t>(kExperts) < 5) logits[i] += 1.5f;  // an uneven load
  }
  return logits;
}

json options_for(const json& strategy) {
  return {{"router", {{"tokens", kTokens}, {"experts", kExperts}, {"top_k", kTopK}}},
          {"strategy", strategy},
          {"tile", kTile},
          {"threads", 2}};
}

/// A rounder with its workspace, whose edges are watched, and room for all outputs, overwritten before.
struct Lent {
  static constexpr std::size_t kEdge = 256;
  static constexpr std::int32_t kWidth = 6;
  static constexpr unsigned char kMark = 0xA5;

  tatr_rounder* rounder = nullptr;
  std::size_t bytes = 0;
  std::unique_ptr<void, decltype(&std::free)> memory{nullptr, std::free};
  std::vector<std::int32_t> chosen, counts, targets, offsets, token, expert, token_offsets, token_rows, topk_ids;
  std::vector<float> gates, gate, topk_weights;
  tatr_outputs outputs{};

  explicit Lent(const json& options) {
    const tatr_status status = tatr_create(&rounder, options.dump().c_str());
    INFO(tatr_last_error());
    REQUIRE(status == TATR_OK);
    bytes = tatr_workspace_bytes(rounder);
    memory.reset(std::aligned_alloc(256, bytes + 2 * kEdge));
    std::memset(memory.get(), kMark, bytes + 2 * kEdge);
    REQUIRE(tatr_prepare(rounder, workspace(), bytes, nullptr) == TATR_OK);
    const json& router = options["router"];
    const std::size_t tokens = router["tokens"], experts = router["experts"], top_k = router["top_k"];
    const auto rows = static_cast<std::size_t>(tatr_most_rows(rounder));
    for (auto* each : {&chosen}) each->assign(tokens * top_k, -7);
    gates.assign(tokens * top_k, -7.0f);
    for (auto* each : {&counts, &targets}) each->assign(experts, -7);
    offsets.assign(experts + 1, -7);
    for (auto* each : {&token, &expert, &token_rows}) each->assign(rows, -7);
    gate.assign(rows, -7.0f);
    token_offsets.assign(tokens + 1, -7);
    topk_ids.assign(tokens * kWidth, -7);
    topk_weights.assign(tokens * kWidth, -7.0f);
    outputs = {sizeof outputs,    chosen.data(),   gates.data(),        counts.data(), targets.data(),
               offsets.data(),    token.data(),    expert.data(),       gate.data(),   token_offsets.data(),
               token_rows.data(), topk_ids.data(), topk_weights.data(), kWidth};
  }
  ~Lent() { tatr_destroy(rounder); }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;

  unsigned char* workspace() const { return static_cast<unsigned char*>(memory.get()) + kEdge; }
  bool edges_are_whole() const {
    for (std::size_t i = 0; i < kEdge; ++i) {
      if (*(workspace() - 1 - i) != kMark || workspace()[bytes + i] != kMark) return false;
    }
    return true;
  }
  void round(const void* logits) {
    REQUIRE(tatr_round_logits(rounder, logits, &outputs, nullptr) == TATR_OK);
    REQUIRE(edges_are_whole());
  }
  void round_top_k(const std::vector<std::int32_t>& ids, const float* scores) {
    const tatr_status status = tatr_round_top_k(rounder, ids.data(), scores, &outputs, nullptr);
    INFO(tatr_last_error());
    REQUIRE(status == TATR_OK);
    REQUIRE(edges_are_whole());
  }
};

/// What the program does with the same options and logits.
struct Expected {
  std::unique_ptr<System> system = make_cpu_system(1);
  ExperimentConfig config;
  Routing routing;
  Rounded rounded;

  Expected(const json& options, const std::vector<float>& logits)
      : Expected(options, [&](System& cpu, const RouterConfig& router) {
          return route(cpu, Buffer<float>(cpu, logits), router);
        }) {}
  template <class Route>
  Expected(const json& options, const Route& make) {
    json router = options["router"];
    router["source"] = {{"kind", "gaussian"}};
    if (options.value("dtype", "") == "bf16") router["logits"] = "bf16";
    config = parse_experiment({{"name", "expected"},
                               {"router", router},
                               {"tile", options["tile"]},
                               {"seed", options.value("seed", 0)},
                               {"strategies", json::array({options["strategy"]})}},
                              "expected");
    routing = make(*system, config.router);
    rounded = round_routing(
        routing, {config.strategies[0], config.tiles[0], config.seed, options.value("layer", std::int64_t{0})},
        *system);
  }
};

void check_same(const Lent& lent, const Expected& expected) {
  const std::vector<std::int32_t> offsets = expected.rounded.dispatch.offsets.to_host();
  const std::vector<std::int32_t> token = expected.rounded.dispatch.token.to_host();
  const std::vector<float> gate = expected.rounded.dispatch.gate.to_host();
  REQUIRE(lent.offsets == offsets);
  CHECK(lent.targets == expected.rounded.metrics.counts_after);
  CHECK(lent.counts == expected.rounded.metrics.counts_before);
  CHECK(lent.chosen == expected.routing.chosen.to_host());
  CHECK(test::same_bits(lent.gates, expected.routing.gates.to_host()));
  const std::size_t rows = token.size(), tokens = lent.token_offsets.size() - 1;
  CHECK(std::vector<std::int32_t>(lent.token.begin(), lent.token.begin() + static_cast<std::ptrdiff_t>(rows)) == token);
  CHECK(test::same_bits(std::vector<float>(lent.gate.begin(), lent.gate.begin() + static_cast<std::ptrdiff_t>(rows)),
                        gate));
  std::vector<std::vector<std::int32_t>> rows_of(tokens);
  for (std::size_t e = 0; e + 1 < offsets.size(); ++e) {
    for (std::int32_t row = offsets[e]; row < offsets[e + 1]; ++row) {
      const auto r = static_cast<std::size_t>(row);
      REQUIRE(lent.expert[r] == static_cast<std::int32_t>(e));
      if (token[r] >= 0) rows_of[static_cast<std::size_t>(token[r])].push_back(row);
    }
  }
  for (std::size_t row = rows; row < lent.token.size(); ++row) {
    REQUIRE((lent.token[row] == -1 && lent.expert[row] == -1 && lent.gate[row] == 0.0f));
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto first = static_cast<std::size_t>(lent.token_offsets[t]);
    REQUIRE(static_cast<std::size_t>(lent.token_offsets[t + 1]) - first == rows_of[t].size());
    for (std::size_t i = 0; i < rows_of[t].size(); ++i) REQUIRE(lent.token_rows[first + i] == rows_of[t][i]);
    for (std::size_t i = 0; i < Lent::kWidth; ++i) {
      const bool there = i < rows_of[t].size();
      const auto row = there ? static_cast<std::size_t>(rows_of[t][i]) : 0;
      REQUIRE(lent.topk_ids[t * Lent::kWidth + i] == (there ? lent.expert[row] : -1));
      REQUIRE(lent.topk_weights[t * Lent::kWidth + i] == (there ? gate[row] : 0.0f));
    }
  }
}

std::string error_of(const json& options) {
  tatr_rounder* rounder = nullptr;
  if (tatr_create(&rounder, options.dump().c_str()) == TATR_OK) {
    tatr_destroy(rounder);
    return "none";
  }
  CHECK(rounder == nullptr);
  return tatr_last_error();
}

}  // namespace

TEST_CASE("a rounder gives the program's bits, for every strategy, again and again in one workspace") {
  const std::vector<float> logits = some_logits(kTokens * kExperts);
  std::vector<float> others = logits;
  std::reverse(others.begin(), others.end());
  for (const StrategyRow& row : kStrategies) {
    for (const json& more : {json::object(), json{{"renormalise", true}}, json{{"fill", "duplicate"}}}) {
      json strategy{{"name", row.name}};
      strategy.update(more);
      json options = options_for(strategy);
      options["seed"] = 5;
      options["layer"] = 2;
      if (row.kind == StrategyKind::kDynamic) {
        options["strategy"]["tiles_by_load"] = {{{"below", 64}, {"tile", 16}}, {{"tile", 64}}};
      }
      INFO(options.dump());
      Lent lent(options);
      for (const std::vector<float>* given : {&logits, static_cast<const std::vector<float>*>(&others), &logits}) {
        lent.round(given->data());
        check_same(lent, Expected(options, *given));
        CHECK(tatr_check(lent.rounder, nullptr) == TATR_OK);
      }
    }
  }
}

TEST_CASE("routers of every kind are rounded as the program rounds them") {
  const std::vector<float> logits = some_logits(kTokens * kExperts);
  for (const json& router :
       {json{{"scoring", "sigmoid"}}, json{{"normalise_gates", false}}, json{{"selection_bias", 0.25}},
        json{{"scoring", "sigmoid"}, {"groups", {{"count", 4}, {"top", 2}}}}, json{{"logits", "bf16"}}}) {
    for (const json& strategy : {json("nearest"), json{{"name", "budget"}, {"candidates", "tiles"}}}) {
      json options = options_for(strategy.is_object() ? strategy : json{{"name", strategy}});
      options["router"].update(router);
      INFO(options.dump());
      Lent lent(options);
      lent.round(logits.data());
      check_same(lent, Expected(options, logits));
    }
  }
}

TEST_CASE("bf16 logits are taken as they are") {
  json options = options_for({{"name", "nearest"}});
  options["dtype"] = "bf16";
  std::vector<std::uint16_t> given;
  std::vector<float> same;
  for (const float logit : some_logits(kTokens * kExperts)) {
    given.push_back(bfloat16_from_float(logit));
    same.push_back(float_from_bfloat16(given.back()));
  }
  Lent lent(options);
  lent.round(given.data());
  check_same(lent, Expected(options, same));
}

TEST_CASE("known top-k are rounded, with and without scores") {
  std::vector<std::int32_t> ids;
  std::vector<float> scores;
  for (std::int32_t t = 0; t < kTokens; ++t) {
    for (std::int32_t k = 0; k < kTopK; ++k) {
      ids.push_back((t * t % 11 + 7 * k) % static_cast<std::int32_t>(kExperts));
      scores.push_back(0.9f / static_cast<float>(1 + (t + k) % 5));
    }
  }
  const json options = options_for({{"name", "nearest"}});
  Lent lent(options);
  for (const bool scored : {true, false, true}) {
    lent.round_top_k(ids, scored ? scores.data() : nullptr);
    check_same(lent, Expected(options, [&](System& cpu, const RouterConfig& router) {
                 return routing_from_top_k(cpu, Buffer<std::int32_t>(cpu, ids),
                                           scored ? Buffer<float>(cpu, scores) : Buffer<float>(), router);
               }));
    CHECK(tatr_check(lent.rounder, nullptr) == TATR_OK);
  }
  lent.round(some_logits(kTokens * kExperts).data());  // the same rounder takes either
  check_same(lent, Expected(options, some_logits(kTokens * kExperts)));
}

TEST_CASE("data that are none do no harm, and tatr_check tells") {
  const json options = options_for({{"name", "nearest"}});
  Lent lent(options);
  std::vector<float> logits = some_logits(kTokens * kExperts), meant = logits;
  const float infinity = std::numeric_limits<float>::infinity(), most = std::numeric_limits<float>::max();
  for (std::int64_t e = 0; e < kExperts; ++e) logits[static_cast<std::size_t>(e)] = std::nanf("");
  for (std::int64_t e = 0; e < kExperts; ++e) meant[static_cast<std::size_t>(e)] = -most;
  logits[100] = infinity;
  meant[100] = most;
  logits[200] = -infinity;
  meant[200] = -most;
  lent.round(logits.data());
  check_same(lent, Expected(options, meant));
  CHECK(tatr_check(lent.rounder, nullptr) == TATR_BAD_ARGUMENT);
  CHECK(tatr_last_error() == std::string("24 logits were NaN"));
  lent.round(meant.data());
  CHECK(tatr_check(lent.rounder, nullptr) == TATR_OK);  // of the last round only

  const auto top_k = static_cast<std::size_t>(kTopK);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(kTokens) * top_k);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i % top_k) + 4;
  ids[0] = -1;
  ids[1] = 24;
  ids[top_k] = ids[top_k + 1];
  lent.round_top_k(ids, nullptr);
  CHECK(tatr_check(lent.rounder, nullptr) == TATR_BAD_ARGUMENT);
  CHECK(tatr_last_error() == std::string("3 ids were no expert, or twice in a row"));
  CHECK(std::vector<std::int32_t>(lent.chosen.begin(), lent.chosen.begin() + 6) ==
        std::vector<std::int32_t>{0, 1, 6, 0, 5, 6});

  Lent up(options_for({{"name", "up"}}));
  up.outputs.width = 3;  // added rows make more
  up.round(some_logits(kTokens * kExperts).data());
  CHECK(tatr_check(up.rounder, nullptr) == TATR_BAD_ARGUMENT);
  CHECK_THAT(std::string(tatr_last_error()), Contains("rows found no place in topk_ids"));

  Lent tight(options_for({{"name", "budget"}, {"tiles", 1}}));
  tight.round(some_logits(kTokens * kExperts).data());
  CHECK(tatr_check(tight.rounder, nullptr) == TATR_BAD_ARGUMENT);
  CHECK_THAT(std::string(tatr_last_error()), Contains("options:/strategy/tiles: 1 is fewer tiles"));
}

TEST_CASE("as many experts as choices, one token, one expert: ids that are none find a place") {
  json options = options_for({{"name", "up"}});
  options["router"] = {{"tokens", 1}, {"experts", 3}, {"top_k", 3}};
  Lent lent(options);
  lent.round_top_k({7, 7, 1}, nullptr);
  std::vector<std::int32_t> sorted = lent.chosen;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == std::vector<std::int32_t>{0, 1, 2});
  CHECK(lent.offsets == std::vector<std::int32_t>{0, 32, 64, 96});
}

TEST_CASE("options are refused in words that name them") {
  const auto with = [](const char* pointer, const json& value) {
    json options = options_for({{"name", "nearest"}});
    options[json::json_pointer(pointer)] = value;
    return error_of(options);
  };
  CHECK_THAT(with("/strategy", "closest"), Contains("options:/strategy: \"closest\""));
  CHECK_THAT(with("/strategy", json{{"name", "adaptive"}, {"threshold", 7}}),
             Contains("options:/strategy/threshold: 7"));
  CHECK_THAT(with("/router/top_k", 25), Contains("options:/router/top_k: 25"));
  CHECK_THAT(with("/router/source", json{{"kind", "zipf"}}), Contains("options:/router/source: "));
  CHECK_THAT(with("/router/tokens", (1 << 20) + 1), Contains("options:/router/tokens: 1048577"));
  CHECK_THAT(with("/tile", json::array({64, 128})), Contains("options:/tile: [64,128]"));
  CHECK_THAT(with("/device", "cuda"), Contains(R"(options:/device: "cuda" is not allowed; expected "cpu" or)"));
  CHECK_THAT(with("/dtype", "fp16"), Contains("options:/dtype: \"fp16\""));
  CHECK_THAT(with("/layer", -1), Contains("options:/layer: -1"));
  CHECK_THAT(with("/threads", 0), Contains("options:/threads: 0"));
  CHECK_THAT(with("/tiles", 3), Contains("options: key \"tiles\" is not allowed"));
  CHECK_THAT(with("/strategy", json{{"name", "budget"}, {"tiles", {{"waves", 4}}}}), Contains("waves are not known"));
  CHECK_THAT(error_of(json::array()), Contains("options"));
  CHECK_THAT(error_of({{"tile", 128}}), Contains("required key \"router\" is missing"));
  tatr_rounder* rounder = nullptr;
  CHECK(tatr_create(&rounder, "{") == TATR_BAD_ARGUMENT);
  CHECK_THAT(std::string(tatr_last_error()), Contains("options:1:"));
}

TEST_CASE("what is not there is told, not followed") {
  tatr_rounder* rounder = nullptr;
  CHECK(tatr_create(nullptr, "{}") == TATR_BAD_ARGUMENT);
  CHECK(tatr_create(&rounder, nullptr) == TATR_BAD_ARGUMENT);
  tatr_outputs outputs{};
  float logit = 0.0f;
  CHECK(tatr_round_logits(nullptr, &logit, &outputs, nullptr) == TATR_BAD_ARGUMENT);
  REQUIRE(tatr_create(&rounder, options_for({{"name", "nearest"}}).dump().c_str()) == TATR_OK);
  outputs.size = sizeof outputs;
  CHECK(tatr_round_logits(rounder, &logit, &outputs, nullptr) == TATR_BAD_ARGUMENT);
  CHECK_THAT(std::string(tatr_last_error()), Contains("call tatr_prepare"));
  CHECK(tatr_check(rounder, nullptr) == TATR_BAD_ARGUMENT);
  std::vector<unsigned char> small(4096);
  const auto aligned = small.data() + (256 - reinterpret_cast<std::uintptr_t>(small.data()) % 256);
  CHECK(tatr_prepare(rounder, aligned, 256, nullptr) == TATR_BAD_ARGUMENT);
  CHECK_THAT(std::string(tatr_last_error()), Contains("the workspace of 256 bytes is too small"));
  CHECK(tatr_prepare(rounder, aligned + 4, 256, nullptr) == TATR_BAD_ARGUMENT);
  CHECK_THAT(std::string(tatr_last_error()), Contains("not aligned to 256"));
  tatr_destroy(rounder);
  tatr_destroy(nullptr);

  Lent lent(options_for({{"name", "nearest"}}));
  const std::vector<float> logits = some_logits(kTokens * kExperts);
  lent.outputs.width = 0;
  CHECK(tatr_round_logits(lent.rounder, logits.data(), &lent.outputs, nullptr) == TATR_BAD_ARGUMENT);
  lent.outputs.size = 8;
  CHECK(tatr_round_logits(lent.rounder, logits.data(), &lent.outputs, nullptr) == TATR_BAD_ARGUMENT);
  CHECK_THAT(std::string(tatr_last_error()), Contains("expected sizeof(tatr_outputs)"));
  tatr_outputs nothing{};
  nothing.size = sizeof nothing;
  CHECK(tatr_round_logits(lent.rounder, logits.data(), &nothing, nullptr) == TATR_OK);
}

}  // namespace tatr
