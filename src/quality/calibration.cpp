#include "quality/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/digest.hpp"
#include "core/error.hpp"
#include "json/embedded.hpp"
#include "json/json_text.hpp"
#include "json/validate.hpp"

namespace tatr {

namespace {

using nlohmann::json;

CoveredRange build_range(const json& covers, const char* key, const std::string& place, const std::string& file) {
  CoveredRange range;
  if (!covers.contains(key)) return range;
  range = {covers[key]["least"], covers[key]["most"]};
  if (range.least > range.most) {
    throw ConfigError({file, place + "/" + key + "/most"}, std::to_string(range.most),
                      "at least \"least\", " + std::to_string(range.least));
  }
  return range;
}

CalibrationCover build_cover(const json& from, const std::string& file) {
  CalibrationCover cover;
  if (from.value("scoring", "softmax") == "sigmoid") cover.scoring = Scoring::kSigmoid;
  if (from.value("added_gate", "score") == "normalised") cover.added_gate = AddedGate::kNormalised;
  cover.normalise_gates = from.value("normalise_gates", true);
  cover.selection_bias = from.value("selection_bias", false);
  cover.groups = from.value("groups", false);
  cover.experts = build_range(from, "experts", "/covers", file);
  cover.top_k = build_range(from, "top_k", "/covers", file);
  if (from.contains("strategies")) cover.strategies = from["strategies"].get<std::vector<std::string>>();
  cover.model = from.value("model", "");
  return cover;
}

ChangeFormula build_formula(const json& from) {
  return {from["damage"], from["power"], from["gain"], from["first_layer"]};
}

/// Relative: to both sides alike.
ChangeSpread build_spread(const json& from) {
  const double relative = from.value("relative", 0.0);
  return {from["absolute"], from.value("least", 1 - relative), from.value("most", 1 + relative)};
}

CalibratedRange build_limits(const json& from) {
  return {from["largest_damage"], from["largest_dropped_mass"], from["largest_added_share"]};
}

ElsewhereCalibration build_elsewhere(const json& from, const std::string& file) {
  ElsewhereCalibration elsewhere{build_formula(from["parameters"]),
                                 build_spread(from["error"]),
                                 build_limits(from["range"]),
                                 build_range(from["covers"], "experts", "/elsewhere/covers", file),
                                 build_range(from["covers"], "top_k", "/elsewhere/covers", file),
                                 {}};
  const auto fewer = [](const json& a, const json& b) { return a["layers"] < b["layers"]; };
  const auto [least, most] = std::minmax_element(from["models"].begin(), from["models"].end(), fewer);
  elsewhere.layers = {(*least)["layers"], (*most)["layers"]};
  return elsewhere;
}

/// What is no calibration, or one of a formula of before.
void check_kind(const json& from, const std::string& file) {
  if (!from.is_object()) return;
  if (from.contains("rows") && !from.contains("parameters")) {
    throw ConfigError(file, "holds measurements; scripts/calibrate.py makes a calibration of them");
  }
  const json& parameters = from.value("parameters", json());
  if (parameters.is_object() && parameters.contains("damage") && !parameters.contains("first_layer")) {
    throw ConfigError(file,
                      "is a calibration of an earlier formula, which lacks /parameters/first_layer; "
                      "scripts/calibrate.py makes one of the same measurements");
  }
}

Calibration build_calibration(const json& from, const std::string& file) {
  check_kind(from, file);
  static const json schema = json::parse(kCalibrationSchema);
  validate_document(schema, from, file);
  Calibration calibration;
  calibration.name = from["name"];
  Digest digest;
  digest.add_values(from.dump());
  calibration.digest = digest.text();
  calibration.layers = from["layers"];
  calibration.formula = build_formula(from["parameters"]);
  calibration.spread = build_spread(from["error"]);
  calibration.range = build_limits(from["range"]);
  calibration.probed = from.contains("probe");
  const json& validation = from["cross_validation"];
  if (!validation.empty()) calibration.median_error = validation[0]["median_error"];
  if (from.contains("covers")) calibration.covers = build_cover(from["covers"], file);
  if (from.contains("elsewhere")) calibration.elsewhere = build_elsewhere(from["elsewhere"], file);
  calibration.trained_source = from["trained"]["source"];
  for (const auto& [strategy, points] : from["trained"]["strategies"].items()) {
    std::vector<TrainedChange>& changes = calibration.trained[strategy];
    for (const json& point : points) {
      if (!changes.empty() && point["r"] <= changes.back().r) {
        throw ConfigError({file, "/trained/strategies/" + strategy + "/" + std::to_string(changes.size()) + "/r"},
                          point["r"].dump(), "more than the one before");
      }
      changes.push_back({point["r"], point["value"], point["error"]});
    }
  }
  return calibration;
}

}  // namespace

const Calibration& default_calibration() {
  static const Calibration calibration =
      build_calibration(parse_json_text(kDefaultCalibration, "default calibration"), "default calibration");
  return calibration;
}

std::string reach_words(const Calibration& calibration, bool ranking) {
  const auto times = [&] {
    const ChangeSpread& spread = calibration.elsewhere->spread;
    return fmt::format("{:.1f} to {:.1f} times", spread.least, spread.most);
  };
  if (ranking && calibration.elsewhere) {
    return "a ranking, for nothing was measured on this network: true change probably " + times() +
           " this (calibrate.py --probe narrows that)";
  }
  if (calibration.probed) return "holds 90 % of the settings of networks left out, each after one such probe";
  std::string words = "holds 90 % of unseen settings of the network it was fitted to";
  if (calibration.elsewhere) {
    words += "; on others the change was " + times() + " the estimate (calibrate.py --probe narrows that)";
  }
  return words;
}

Calibration read_calibration(const std::string& path) { return build_calibration(read_json_file(path), path); }

}  // namespace tatr
