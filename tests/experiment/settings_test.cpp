// What is asked before any work, of devices at hand and not.
#include "experiment/settings.hpp"

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "config/read.hpp"
#include "core/error.hpp"

using namespace tatr;

namespace {

ExperimentConfig config_with(const nlohmann::json& layer, const nlohmann::json& tile = 64) {
  return parse_experiment({{"name", "x"},
                           {"router", {{"tokens", 64}, {"experts", 8}, {"top_k", 2}}},
                           {"tile", tile},
                           {"strategies", {"none", "nearest"}},
                           {"layer", layer}},
                          "x.json");
}

std::string refusal(const ExperimentConfig& config, const DeviceInfo* device = nullptr) {
  try {
    device != nullptr ? check_settings(config, *device) : check_settings(config);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

const DeviceInfo kCpu;
const DeviceInfo kHopper{"NVIDIA H100 80GB HBM3", true, 90, 132, std::nullopt};

}  // namespace

TEST_CASE("back ends are asked before work, and the error names file and pointer") {
  nlohmann::json layer = {{"hidden", 64}, {"intermediate", 32}};
  CHECK(refusal(config_with(layer)) == "accepted");
  CHECK(refusal(config_with(layer), &kCpu) == "accepted");
  layer["backend"] = "blas";
  CHECK(refusal(config_with(layer))
            .find("x.json:/layer/backend: \"blas\" is not allowed; expected one of auto, tatr, ") == 0);
  layer["backend"] = "tatr";
  CHECK(refusal(config_with(layer)) == "accepted");  // on a Hopper GPU, at hand or not
  CHECK(refusal(config_with(layer), &kCpu)
            .find("x.json:/layer/backend: \"tatr\" does not run this layer on cpu (it runs "
                  "on a GPU); allowed there: auto, openblas, reference") == 0);
  CHECK(refusal(config_with(layer, 96))
            .find("x.json:/layer/backend: \"tatr\" runs this layer on no device: tile is 96") == 0);
  layer["backend"] = "openblas";
  CHECK(refusal(config_with(layer)) == "accepted");
  CHECK(refusal(config_with(layer), &kHopper).find("it runs on the CPU") != std::string::npos);
}

TEST_CASE("auto is the first back end that can") {
  const LayerShape shape{64, 8, 64, 32, 128 + 8 * 63};
  LayerOptions options;
  CHECK(plan_layer(shape, options, kCpu).back_end->name == "openblas");
  options.backend = "reference";
  const LayerPlan plan = plan_layer(shape, options, kCpu);
  CHECK(plan.up.gather);  // what a back end can fuse, it fuses
  CHECK(plan.up.swiglu);
  CHECK_FALSE(plan.down.gather);
}

TEST_CASE("waves are asked for the layer and the multiprocessors that they need") {
  ExperimentConfig config = config_with(nullptr);
  config.strategies[1].kind = StrategyKind::kBudget;
  config.strategies[1].options = BudgetOptions{.tiles = BudgetWaves{2.0, std::nullopt}};
  CHECK(refusal(config).find("x.json:/strategies/1/tiles: waves are those of a layer") == 0);
  ExperimentConfig layered = config_with({{"hidden", 64}, {"intermediate", 32}});
  layered.strategies[1] = config.strategies[1];
  CHECK(refusal(layered) == "accepted");
  CHECK(refusal(layered, &kCpu).find("waves without a GPU need \"sms\"") != std::string::npos);
}
