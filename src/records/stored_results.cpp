#include "records/stored_results.hpp"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "core/digest.hpp"
#include "core/error.hpp"
#include "json/json_text.hpp"
#include "model/modelled_device.hpp"

namespace tatr {

namespace {

using nlohmann::json;

/// Names what must be equal in two results of one config on one device: all but what is measured or follows from it.
std::string digest_of(const StoredResult& result) {
  json experiment = result.experiment();
  for (const char* key : {"documented", "memory", "warnings", "inputs", "reading"}) experiment.erase(key);
  const auto erase_times = [](json& record, const char* key) {
    if (record["batches"].is_object()) record["batches"].erase(key);
  };
  for (json& strategy : experiment["strategies"]) {
    strategy.erase("timing");
    for (const char* key : {"worst_timing", "worst_layer_ms"}) erase_times(strategy, key);
  }
  for (json& network : experiment["network"]) {
    for (const char* key : {"timing_kind", "cpu_reduced", "layer_ms", "gemm_ms", "speedup_of_sums"}) network.erase(key);
    erase_times(network, "worst_layer_ms");
  }
  Digest digest;
  digest.add_values(experiment.dump(-1, ' ', false, json::error_handler_t::replace));
  return digest.text();
}

/// "/seed: 3 → 4", of one operation of a JSON patch.
std::string describe_change(const json& change, const json& from) {
  const std::string pointer = change["path"];
  const json::json_pointer place(pointer);
  const bool was_there = change["op"] != "add" && from.contains(place);
  return fmt::format("{}: {} → {}", pointer, was_there ? brief_json(from.at(place)) : "nothing",
                     change.contains("value") ? brief_json(change["value"]) : "nothing");
}

}  // namespace

std::string StoredResult::device() const {
  const json& model = experiment()["model"];
  return model.is_null() ? document["environment"]["device"] : json(modelled_key(model["device"], model["digest"]));
}

std::string StoredResult::line() const { return document.dump(-1, ' ', false, json::error_handler_t::replace); }

std::vector<StoredResult> split_results(std::vector<ResultDocument>&& documents) {
  std::vector<StoredResult> results;
  for (ResultDocument& result : documents) {
    check_strictly(result);
    auto& [source, document] = result;
    json experiments = std::move(document["experiments"]);
    for (json& experiment : experiments) {
      document["experiments"] = json::array({std::move(experiment)});
      results.push_back({document, source});
    }
  }
  return results;
}

bool MergedResults::add(const StoredResult& result) {
  const auto [named, is_first] = names_.emplace(result.name(), Named{result.config_hash(), result.place});
  if (!is_first && named->second.config_hash != result.config_hash()) {
    throw InputError(result.place, fmt::format("holds experiment {} of config {}, and {} one of config {}; one name "
                                               "stands for one config: merge them apart",
                                               brief_json(result.name()), result.config_hash(), named->second.place,
                                               named->second.config_hash));
  }
  const std::string digest = digest_of(result);
  const auto [known, is_new] =
      known_.emplace(std::pair(result.config_hash(), result.device()), Known{result.place, digest});
  if (!is_new && known->second.digest != digest) {
    throw InputError(result.place, "differs from " + known->second.place + ", though both are of config " +
                                       result.config_hash() + " on " + brief_json(result.device()) +
                                       "; only measured times may differ");
  }
  return is_new;
}

std::string describe_changes(const json& from, const json& to) {
  constexpr std::size_t kShown = 3;
  std::string text;
  const json changes = json::diff(from, to);
  for (std::size_t i = 0; i < changes.size() && i < kShown; ++i) {
    text += (text.empty() ? "" : ", ") + describe_change(changes[i], from);
  }
  if (changes.size() > kShown) text += fmt::format(" and {} more", changes.size() - kShown);
  return text;
}

}  // namespace tatr
