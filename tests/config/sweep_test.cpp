// Sweeps: what is made of them, in which order, under which names, and what is refused.
#include "config/sweep.hpp"

#include <string>
#include <vector>

#include "catch.hpp"
#include "config/read.hpp"
#include "core/error.hpp"

using nlohmann::json;
using tatr::expand_sweep;

namespace {

json base() {
  return {{"name", "base"},
          {"router", {{"tokens", 64}, {"experts", 8}, {"top_k", 2}}},
          {"tile", 8},
          {"strategies", {"none", "adaptive"}}};
}

json swept(const json& sweep) {
  json document = base();
  document["sweep"] = sweep;
  return document;
}

std::string refusal(const json& sweep, const std::vector<std::string>& overrides = {}) {
  try {
    expand_sweep(swept(sweep), "x.json", overrides);
  } catch (const tatr::ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("without a sweep a document stands for itself", "[sweep]") {
  const auto items = expand_sweep(base(), "x.json");
  REQUIRE(items.size() == 1);
  CHECK(items[0].document == base());
  CHECK(items[0].values.empty());
}

TEST_CASE("lists of values give every combination, the last pointer fastest", "[sweep]") {
  const auto items = expand_sweep(swept({{"/tile", {8, {16, 32}}}, {"/router/tokens", {32, 64, 128}}}), "x.json");
  REQUIRE(items.size() == 6);
  CHECK(items[0].document["name"] == "base (router/tokens=32, tile=8)");
  CHECK(items[1].document["name"] == "base (router/tokens=32, tile=[16,32])");
  CHECK(items[5].document["name"] == "base (router/tokens=128, tile=[16,32])");
  CHECK(items[5].document["router"]["tokens"] == 128);
  CHECK(items[5].document["tile"] == json({16, 32}));
  for (const auto& item : items) {
    CHECK_FALSE(item.document.contains("sweep"));
    CHECK_NOTHROW(tatr::parse_experiment(item.document, "x.json"));
  }
}

TEST_CASE("patches give one experiment each; names may be set; a short strategy grows options", "[sweep]") {
  const auto items = expand_sweep(
      swept({json::object(), {{"/name", "mine"}, {"/strategies/1/threshold", 0.5}}, {{"/layer/hidden", 64}}}),
      "x.json");
  REQUIRE(items.size() == 3);
  CHECK(items[0].document == base());
  CHECK(items[1].document["name"] == "mine");
  CHECK(items[1].document["strategies"][1] == json({{"name", "adaptive"}, {"threshold", 0.5}}));
  CHECK(items[2].document["layer"] == json({{"hidden", 64}}));
}

TEST_CASE("a swept experiment equals the same written by hand", "[sweep]") {
  const auto items = expand_sweep(swept({{"/name", {"a"}}, {"/seed", {7}}}), "x.json");
  json by_hand = base();
  by_hand["name"] = "a";
  by_hand["seed"] = 7;
  CHECK(tatr::parse_experiment(items.at(0).document, "x.json").hash == tatr::parse_experiment(by_hand, "y.json").hash);
}

TEST_CASE("long values do not make long names", "[sweep]") {
  const std::string word(150, 'w');
  const auto items =
      expand_sweep(swept({{"/description", {word + "a", word + "b"}}, {"/seed", {1}}, {"/name", {word}}}), "x.json");
  CHECK(items[1].document["name"] == word);
  const auto numbered = expand_sweep(swept({{"/description", {word + word, word}}, {"/seed", {1}}}), "x.json");
  CHECK(numbered[0].document["name"] == "base (1)");
  CHECK(numbered[1].document["name"] != "base (2)");  // 165 characters fit
}

TEST_CASE("faulty sweeps are refused at their place", "[sweep]") {
  CHECK_THAT(refusal(3), Catch::Contains("x.json:/sweep: 3 is not allowed"));
  CHECK_THAT(refusal({{"/seed", 3}}), Catch::Contains("x.json:/sweep") && Catch::Contains("a list"));
  CHECK_THAT(refusal({{"/seed", json::array()}}), Catch::Contains("x.json:/sweep"));
  CHECK_THAT(refusal(json::array()), Catch::Contains("x.json:/sweep"));
  CHECK_THAT(refusal({{"seed", {3}}}), Catch::Contains("\"seed\" is no JSON pointer"));
  CHECK_THAT(refusal({{"/name/x", {3}}}), Catch::Contains("x.json:/sweep: \"base\" has no key \"x\""));
  CHECK_THAT(refusal({{"/seed", {3, 4}}}, {"/seed=5"}),
             Catch::Contains("--set \"/seed=5\": is also set by x.json:/sweep"));
  json many = json::array();
  for (int i = 0; i < 101; ++i) many.push_back(i);
  CHECK_THAT(refusal({{"/seed", many}, {"/router/tokens", many}}), Catch::Contains("more than 10000 experiments"));
  json nested = swept({{"/sweep", {1}}});
  CHECK_THROWS_AS(tatr::parse_experiment(expand_sweep(nested, "x.json").at(0).document, "x.json"), tatr::ConfigError);
}
