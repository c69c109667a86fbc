#include "quality/calibration.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/digest.hpp"
#include "core/error.hpp"
#include "json/embedded.hpp"
#include "json/json_text.hpp"
#include "json/validate.hpp"

namespace tatr {

namespace {

using nlohmann::json;

CoveredRange build_range(const json& covers, const char* key, const std::string& file) {
  CoveredRange range;
  if (!covers.contains(key)) return range;
  range = {covers[key]["least"], covers[key]["most"]};
  if (range.least > range.most) {
    throw ConfigError({file, std::string("/covers/") + key + "/most"}, std::to_string(range.most),
                      "at least \"least\", " + std::to_string(range.least));
  }
  return range;
}

CalibrationCover build_cover(const json& from, const std::string& file) {
  CalibrationCover cover;
  if (from.value("scoring", "softmax") == "sigmoid") cover.scoring = Scoring::kSigmoid;
  if (from.value("added_gate", "score") == "normalised") cover.added_gate = AddedGate::kNormalised;
  cover.selection_bias = from.value("selection_bias", false);
  cover.groups = from.value("groups", false);
  cover.experts = build_range(from, "experts", file);
  cover.top_k = build_range(from, "top_k", file);
  if (from.contains("strategies")) cover.strategies = from["strategies"].get<std::vector<std::string>>();
  return cover;
}

Calibration build_calibration(const json& from, const std::string& file) {
  if (from.is_object() && from.contains("rows") && !from.contains("parameters")) {
    throw ConfigError(file, "holds measurements; scripts/calibrate.py makes a calibration of them");
  }
  static const json schema = json::parse(kCalibrationSchema);
  validate_document(schema, from, file);
  Calibration calibration;
  calibration.name = from["name"];
  Digest digest;
  digest.add_values(from.dump());
  calibration.digest = digest.text();
  calibration.layers = from["layers"];
  calibration.damage = from["parameters"]["damage"];
  calibration.power = from["parameters"]["power"];
  calibration.gain = from["parameters"]["gain"];
  calibration.absolute_error = from["error"]["absolute"];
  calibration.relative_error = from["error"]["relative"];
  const json& validation = from["cross_validation"];
  if (!validation.empty()) calibration.median_error = validation[0]["median_error"];
  const json& range = from["range"];
  calibration.largest_damage = range["largest_damage"];
  calibration.largest_dropped_mass = range["largest_dropped_mass"];
  calibration.largest_severity = range["largest_severity"];
  calibration.largest_added_share = range["largest_added_share"];
  if (from.contains("covers")) calibration.covers = build_cover(from["covers"], file);
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
  static const Calibration calibration = [] {
    Calibration built =
        build_calibration(parse_json_text(kDefaultCalibration, "default calibration"), "default calibration");
    built.held_elsewhere = 42.0 / 62;  // of src/quality/other_models.json; a test counts again
    return built;
  }();
  return calibration;
}

std::string reach_words(const Calibration& calibration) {
  std::string words = "holds 90 % of unseen settings of the model it was fitted to";
  if (calibration.held_elsewhere > 0) {
    words += fmt::format("; of another training run of its shape, {:.0f} %", 100 * calibration.held_elsewhere);
  }
  return words;
}

Calibration read_calibration(const std::string& path) { return build_calibration(read_json_file(path), path); }

}  // namespace tatr
