// Every shipped config is valid; broken ones are refused at the right place in words a user can act on.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "config/read.hpp"
#include "core/error.hpp"
#include "json/json_text.hpp"

namespace {

using nlohmann::json;
using tatr::ConfigError;

/// The repository's configs, from wherever the tests are run.
std::filesystem::path configs() { return std::filesystem::path(TATR_SOURCE_DIR) / "configs"; }

json valid() {
  return json::parse(R"({"name": "x", "router": {"tokens": 64, "experts": 16, "top_k": 2}, "tile": 8,
                         "strategies": ["none", "down"], "layer": {"hidden": 64, "intermediate": 32}})");
}

/// The message for the valid config with one value replaced.
std::string refusal(const std::string& pointer, const std::string& value) {
  json document = valid();
  if (!pointer.empty()) {
    document[json::json_pointer(pointer)] = json::parse(value);
  } else {
    document = json::parse(value);
  }
  try {
    tatr::parse_experiment(document, "x.json");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

std::string text_refusal(const std::string& text) {
  try {
    tatr::parse_json_text(text, "x.json");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

std::string file_refusal(const std::string& path, const std::vector<std::string>& overrides) {
  try {
    tatr::read_experiments(path, overrides);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("every shipped config is valid") {
  int seen = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(configs())) {
    if (entry.path().extension() != ".json" || entry.path().parent_path().filename() == "devices") continue;
    INFO(entry.path());
    for (const auto& config : tatr::read_experiments(entry.path().string(), {})) {
      const auto again = tatr::parse_experiment(json::parse(config.effective_json), config.file);
      CHECK(again.hash == config.hash);
    }
    ++seen;
  }
  CHECK(seen >= 11);
}

TEST_CASE("defaults are filled in and part of the effective config") {
  const auto config = tatr::parse_experiment(valid(), "dir/x.json");
  CHECK(config.seed == 0);
  CHECK(config.router.source.kind() == tatr::SourceKind::kGaussian);
  CHECK(config.router.source.deviation == 1.0);
  CHECK(config.router.normalise_gates);
  CHECK(config.router.logits == tatr::LogitType::kFp32);
  CHECK(config.measure.samples == 20);
  CHECK(config.measure.cold_l2);
  CHECK(config.layer->cpu_hidden == 64);
  CHECK(config.strategies[1].label == "down");
  CHECK(config.strategies[1].canonical == R"({"name":"down","renormalise":false})");
  CHECK(json::parse(config.effective_json)["router"]["scoring"] == "softmax");
}

TEST_CASE("options of strategies reach the structs") {
  json document = valid();
  document["strategies"] =
      json::parse(R"(["capacity", "dynamic", {"name": "budget", "tiles": {"of_nearest": 1}, "label": "b"},
      {"name": "budget", "tiles": 12, "label": "c", "fill": "pad"}])");
  const auto strategies = tatr::parse_experiment(document, "x.json").strategies;
  CHECK(strategies[0].get<tatr::CapacityOptions>().factor == 1.25);
  CHECK(strategies[0].get<tatr::CapacityOptions>().then == tatr::StrategyKind::kUp);
  CHECK(strategies[1].get<tatr::DynamicOptions>().then == tatr::StrategyKind::kDown);
  REQUIRE(strategies[1].get<tatr::DynamicOptions>().tiles_by_load.size() == 3);
  CHECK(strategies[1].get<tatr::DynamicOptions>().tiles_by_load[1].below == 513);
  CHECK(std::get<tatr::BudgetOfNearest>(strategies[2].get<tatr::BudgetOptions>().tiles).factor == 1.0);
  CHECK(std::get<tatr::BudgetTotalTiles>(strategies[3].get<tatr::BudgetOptions>().tiles).tiles == 12);
  CHECK(strategies[3].fill == tatr::Fill::kPad);
}

TEST_CASE("a trained source rounds to the experiment's first tile, and needs the gates that its gradient is for") {
  json document = valid();
  document["router"]["source"] = {{"kind", "trained"}, {"rounding_weight", 0.5}};
  document["tile"] = {16, 8};
  const tatr::TrainedSource training = *tatr::parse_experiment(document, "x.json").router.source.trained();
  CHECK(training.tile == 16);
  CHECK(training.rounding_weight == 0.5);
  document["router"]["source"]["round_to"] = 64;
  CHECK(tatr::parse_experiment(document, "x.json").router.source.trained()->tile == 64);
  const auto refuses = [&](const char* key, const json& value) {
    json changed = document;
    changed["router"][key] = value;
    try {
      tatr::parse_experiment(changed, "x.json");
    } catch (const ConfigError& error) {
      return std::string(error.what()).find(std::string("x.json:/router/") + key + ": ") == 0;
    }
    return false;
  };
  CHECK(refuses("scoring", "sigmoid"));
  CHECK(refuses("logits", "bf16"));
  CHECK(refuses("normalise_gates", false));
  CHECK(refuses("selection_bias", 1));
  CHECK(refuses("groups", {{"count", 4}, {"top", 2}}));
}

TEST_CASE("the largest seed is kept") {
  json document = valid();
  document["seed"] = 18446744073709551615U;
  CHECK(tatr::parse_experiment(document, "x.json").seed == 18446744073709551615U);
  document["seed"] = json::parse("18446744073709551616");
  CHECK_THROWS_AS(tatr::parse_experiment(document, "x.json"), ConfigError);
}

TEST_CASE("the hash names the meaning, not the spelling") {
  json document = valid();
  const std::string hash = tatr::parse_experiment(document, "x.json").hash;
  document["$schema"] = "elsewhere";
  document["description"] = "remarks";
  document["tile"] = {8};
  document["seed"] = 0;
  document["router"]["source"] = {{"kind", "gaussian"}, {"deviation", 1}};
  CHECK(tatr::parse_experiment(document, "y.json").hash == hash);
  document["seed"] = 1;
  CHECK(tatr::parse_experiment(document, "x.json").hash != hash);
}

TEST_CASE("a pass goes forward unless it is said to train, and only then is it part of the effective config") {
  json document = valid();
  document["layer"] = {{"hidden", 64}, {"intermediate", 32}};
  const auto plain = tatr::parse_experiment(document, "x.json");
  CHECK_FALSE(plain.layer->training);
  document["layer"]["pass"] = "forward";
  CHECK(tatr::parse_experiment(document, "x.json").hash == plain.hash);
  document["layer"]["pass"] = "training";
  const auto training = tatr::parse_experiment(document, "x.json");
  CHECK(training.layer->training);
  CHECK_FALSE(training.layer->fp32_gradients);
  CHECK(training.hash != plain.hash);
  const json layer = json::parse(training.effective_json)["layer"];
  CHECK(layer["pass"] == "training");
  CHECK(layer["grad_dtype"] == "bf16");
  document["layer"]["grad_dtype"] = "bf16";
  CHECK(tatr::parse_experiment(document, "x.json").hash == training.hash);
  document["layer"]["grad_dtype"] = "fp32";
  CHECK(tatr::parse_experiment(document, "x.json").layer->fp32_gradients);
}

TEST_CASE("added rows are on the scale of own gates, and what that is depends on the router") {
  using tatr::AddedGate;
  json document = valid();
  document["strategies"] = json::parse(R"(["down", "up", "capacity", "dynamic", {"name": "nearest", "fill": "pad"},
      {"name": "up", "label": "raw", "added_gate": "score"}])");
  const auto gates = [&] {
    const auto config = tatr::parse_experiment(document, "x.json");
    const json effective = json::parse(config.effective_json);
    std::vector<std::string> found;
    for (std::size_t i = 0; i < config.strategies.size(); ++i) {
      const std::string spelled_out = effective["strategies"][i].value("added_gate", "");
      CHECK((spelled_out == "normalised") == (config.strategies[i].added_gate == AddedGate::kNormalised));
      CHECK(config.strategies[i].canonical.find("added_gate") == std::string::npos);
      found.push_back(spelled_out);
    }
    CHECK(tatr::parse_experiment(effective, "x.json").effective_json == config.effective_json);
    return found;
  };
  CHECK(gates() == std::vector<std::string>{"", "", "", "", "", "score"});
  document["router"]["scoring"] = "sigmoid";
  CHECK(gates() == std::vector<std::string>{"", "normalised", "normalised", "", "", "score"});
  document["router"]["normalise_gates"] = false;
  CHECK(gates() == std::vector<std::string>{"", "", "", "", "", "score"});
  document["strategies"][1] = json::parse(R"({"name": "up", "added_gate": "normalised"})");
  try {
    tatr::parse_experiment(document, "x.json");
    FAIL("own gates are not normalised");
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    CHECK(text.rfind("x.json:/strategies/1/added_gate: \"normalised\" is not allowed", 0) == 0);
    CHECK(text.find("expected \"score\"") != std::string::npos);
  }
  document["router"].erase("normalise_gates");
  document["router"].erase("scoring");
  CHECK(gates() == std::vector<std::string>{"", "normalised", "", "", "", "score"});
}

TEST_CASE("configs that meant the score before keep their hash") {
  json document = valid();
  CHECK(tatr::parse_experiment(document, "x.json").hash == "fa26d05138c5cac0");
  document["strategies"] = {"none", "up", "budget"};
  CHECK(tatr::parse_experiment(document, "x.json").hash == "2bacf4dd24911ade");
  document["router"]["scoring"] = "sigmoid";  // here the same config now means something else
  CHECK(tatr::parse_experiment(document, "x.json").hash != "2d576c40f30f823c");
}

TEST_CASE("a trace gives tokens and experts, and its path is relative to the config") {
  json document = valid();
  document["router"] =
      json::parse(R"({"top_k": 2, "source": {"kind": "trace", "file": "t.npy", "tensor": ["a", "b"]}})");
  const auto router = tatr::parse_experiment(document, "dir/x.json").router;
  CHECK(router.tokens == 0);
  CHECK(router.source.trace()->path == "dir/t.npy");
  CHECK(router.source.trace()->tensors.size() == 2);
}

TEST_CASE("a trace may be said to be logits or top-k; the effective config shows it, and only then") {
  json document = valid();
  document["router"] = json::parse(R"({"top_k": 2, "source": {"kind": "trace", "file": "t.npy"}})");
  const auto untold = tatr::parse_experiment(document, "x.json");
  CHECK(untold.router.source.trace()->values == tatr::TraceValues::kTold);
  CHECK(untold.effective_json.find("values") == std::string::npos);  // so that older results keep their hash
  document["router"]["source"]["values"] = "logits";
  const auto logits = tatr::parse_experiment(document, "x.json");
  CHECK(logits.router.source.trace()->values == tatr::TraceValues::kLogits);
  CHECK(logits.effective_json.find(R"("values":"logits")") != std::string::npos);
  CHECK(logits.hash != untold.hash);
  document["router"]["source"]["values"] = "top_k";
  CHECK(tatr::parse_experiment(document, "x.json").router.source.trace()->values == tatr::TraceValues::kTopK);
}

TEST_CASE("broken configs are refused in clear words") {
  struct Case {
    std::string pointer, value, place, words;
  };
  const std::vector<Case> cases = {
      {"", "[]", "x.json: ", "[] is not allowed; expected an object"},
      {"", "{}", "x.json: ", "required key \"name\" is missing"},
      {"/nmae", "1", "/nmae: ", "did you mean \"name\"?"},
      {"/name", "\"\"", "/name: ", "1 to 200 characters"},
      {"/name", "\"a\\nb\"", "/name: ", "printable"},
      {"/seed", "-1", "/seed: ", "from 0 to 18446744073709551615"},
      {"/seed", "1.0", "/seed: ", "1.0 is not allowed; expected an integer"},
      {"/router/experts", "8193", "/router/experts: ", "8193 is not allowed; expected an integer from 1 to 8192"},
      {"/router/top_k", "300", "/router/top_k: ", "300 is not allowed; expected an integer from 1 to 128"},
      {"/router/top_k", "17", "/router/top_k: ", "at most the number of experts, 16"},
      {"/router/topk", "1", "/router/topk: ", "did you mean \"top_k\"?"},
      {"/router/tokens", "1048577", "/router/tokens: ", "at most 1048576"},
      {"/router/tokens", "0", "/router/tokens: ", "from 1 to 1099511627776"},
      {"/router/selection_bias", "[1, 2]", "/router/selection_bias: ", "one for each of the 16 experts"},
      {"/router/selection_bias", "[1, \"a\"]", "/router/selection_bias/1: ", "a number"},
      {"/router/groups", R"({"count": 5, "top": 1})", "/router/groups/count: ", "a divisor"},
      {"/router/groups", R"({"count": 4, "top": 5})", "/router/groups/top: ", "at most groups.count"},
      {"/router/groups", R"({"count": 16, "top": 1})", "/router/groups/top: ", "fewer than top_k"},
      {"/router/source", R"({"kind": "zpif"})", "/router/source/kind: ", "did you mean \"zipf\"?"},
      {"/router/source", R"({"kind": "zipf", "sigma": 1})", "/router/source/sigma: ", "source zipf may have only"},
      {"/router/source", R"({"kind": "hot", "experts": 17})", "/router/source/experts: ", "at most the number"},
      {"/router/source", R"({"kind": "trained", "hidden": 12})", "/router/source/hidden: ", "multiple of 8"},
      {"/router/source", R"({"kind": "trained", "run": 5})", "/router/source/run: ", "source trained may have only"},
      {"/router/source", R"({"kind": "trace"})", "/router/source: ", "required key \"file\""},
      {"/router/source", R"({"kind": "trace", "file": "x", "values": "probs"})", "/router/source/values: ", "top_k"},
      {"/tile", "12", "/tile: ", "multiple of 8"},
      {"/tile", "[8, 12]", "/tile/1: ", "multiple of 8"},
      {"/tile", "[8, 8]", "/tile/1: ", "listed twice"},
      {"/strategies", "[]", "/strategies: ", "0 items"},
      {"/strategies/1", "\"dwon\"", "/strategies/1: ", "did you mean \"down\"?"},
      {"/strategies/1", "\"none\"", "/strategies/1: ", "taken by /strategies/0"},
      {"/strategies/1", R"({"name": "down", "threshold": 1})", "/strategies/1/threshold: ", "unknown key"},
      {"/strategies/1", R"({"name": "up", "added_gate": "p"})", "/strategies/1/added_gate: ", "\"normalised\""},
      {"/strategies/1", R"({"name": "adaptive", "threshold": 2})", "/strategies/1/threshold: ", "from 0 to 1"},
      {"/strategies/1", R"({"name": "capacity", "factor": 0})", "/strategies/1/factor: ", "above 0"},
      {"/strategies/1", R"({"name": "capacity", "then": "dynamic"})", "/strategies/1/then: ", "one of"},
      {"/strategies/1", R"({"name": "budget", "tiles": -1})", "/strategies/1/tiles: ", "as_nearest"},
      {"/strategies/1", R"({"name": "budget", "tiles": {"of_nearst": 1}})",
       "/strategies/1/tiles/of_nearst: ", "of_nearest"},
      {"/strategies/1", R"({"name": "dynamic", "tiles_by_load": [{"below": 4, "tile": 8}]})",
       "/tiles_by_load/0: ", "last"},
      {"/layer/cpu", R"({"hidden": 128, "intermediate": 8})", "/layer/cpu/hidden: ", "at most the layer's own, 64"},
      {"/layer", R"({"hidden": 64, "intermediate": 8, "pass": "backward"})", "/layer/pass: ", "\"training\""},
      {"/layer", R"({"hidden": 64, "intermediate": 8, "grad_dtype": "fp32"})",
       "/layer/grad_dtype: ", "\"fp32\" is not allowed in a forward pass"},
      {"/layer", R"({"hidden": 64, "intermediate": 8, "pass": "training", "grad_dtype": "fp16"})",
       "/layer/grad_dtype: ", "\"bf16\""},
      {"/measure", R"({"samples": 9})", "/measure/samples: ", "from 10"},
      {"/documented", R"([{"metric": "rows", "strategy": "up", "value": 1, "source": "s"}])",
       "/documented/0/strategy: ", "no strategy of this experiment"},
  };
  for (const Case& broken : cases) {
    const std::string message = refusal(broken.pointer, broken.value);
    INFO(message);
    CHECK(message.rfind("x.json", 0) == 0);
    CHECK(message.find(broken.place) != std::string::npos);
    CHECK(message.find(broken.words) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("text that is no good JSON is refused with its place") {
  CHECK(text_refusal("").find("empty") != std::string::npos);
  CHECK(text_refusal("{\n  \"a\": 1,\n  \"a\": 2}").rfind("x.json:3:5: key \"a\" appears twice", 0) == 0);
  CHECK(text_refusal("{} {}").rfind("x.json:1:4: not valid JSON", 0) == 0);
  CHECK(text_refusal("{\"a\": 1e999}").find("too large") != std::string::npos);
  CHECK(text_refusal("\"\xff\"").find("not valid JSON") != std::string::npos);
  CHECK(text_refusal(std::string(1 << 20, '[')).find("nested too deep") != std::string::npos);
  CHECK(text_refusal(std::string(tatr::kMaxJsonBytes + 1, ' ')).find("larger than 16 MB") != std::string::npos);
  CHECK(text_refusal(std::string(64, '[') + std::string(64, ']')) == "accepted");
}

TEST_CASE("files that cannot be read are refused") {
  CHECK(file_refusal("/nowhere/x.json", {}).find("no such file") != std::string::npos);
  CHECK(file_refusal("/", {}).find("is a directory") != std::string::npos);
}

TEST_CASE("overrides replace, create and append") {
  const std::string file = (configs() / "quick.json").string();
  const auto configs_read = tatr::read_experiments(
      file, {"/router/top_k=2", "/name=other", "/measure/l2=warm", "/strategies/1/renormalise=true",
             "/router/groups/count=4", "/router/groups/top=2", "/tile=[8,16]"});
  REQUIRE(configs_read.size() == 1);
  const auto& config = configs_read[0];
  CHECK(config.router.top_k == 2);
  CHECK(config.name == "other");
  CHECK_FALSE(config.measure.cold_l2);
  CHECK(config.strategies[1].renormalise);
  CHECK(config.router.groups->count == 4);
  CHECK(config.tiles.size() == 2);
  for (const char* wrong : {"top_k=2", "/strategies/99=1", "/name/x=1", "/a~2=1", "=", "/router/top_k", "/name=\xff"}) {
    INFO(wrong);
    CHECK(file_refusal(file, {wrong}).find("--set") != std::string::npos);
  }
  const std::string message = file_refusal(file, {"/router/top_k=99"});
  CHECK(message.find("/router/top_k: 99 is not allowed") != std::string::npos);
  CHECK(message.find("from --set") != std::string::npos);
}
