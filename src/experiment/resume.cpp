#include "experiment/resume.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "experiment/trace_checks.hpp"
#include "json/json_text.hpp"
#include "records/result_scan.hpp"
#include "records/stored_results.hpp"

namespace tatr {

namespace {

class DoneReader {
 public:
  using Visit = std::function<void(std::size_t, const nlohmann::json&)>;

  DoneReader(const ResumedRun& run, const Visit& visit) : run_(run), visit_(visit) {
    for (std::size_t i = 0; i < run.configs.size(); ++i) by_name_.emplace(run.configs[i].name, i);
  }

  /// Takes what a line holds for done, or refuses it. Only what names an experiment is read, unless more is asked for.
  void read_line(std::string_view line, const std::string& place) {
    const std::optional<std::vector<ResultKey>> keys = scan_result(line);
    if (!keys) {
      split_results({parse_document({place, line, 0})});  // says what is wrong
      throw UsageError(place + ": has an experiment without a name, config_hash or device; allowed: all three");
    }
    for (std::size_t i = 0; i < keys->size(); ++i) {
      const ResultKey& key = (*keys)[i];
      const auto named = by_name_.find(key.name);
      if (named == by_name_.end()) {
        check_device(key, place, all_devices());
        ++done_.others;
        continue;
      }
      const ExperimentConfig& config = run_.configs[named->second];
      check_device(key, place, devices_of(named->second));
      if (config.hash != key.config_hash) refuse_config(config, key, place, line, i);
      check_inputs(config, key, place);
      if (!done_.configs.insert(named->second).second || !visit_) continue;
      visit_(named->second, split_results({parse_document({place, line, 0})})[i].document);
    }
  }

  /// Where the results of a config come from.
  std::vector<std::string> devices_of(std::size_t config) const {
    if (config < run_.models.size() && !run_.models[config].empty()) return {run_.models[config]};
    return run_.devices;
  }

  std::vector<std::string> all_devices() const {
    std::vector<std::string> devices;
    for (std::size_t i = 0; i < run_.configs.size(); ++i) {
      for (std::string& device : devices_of(i)) devices.push_back(std::move(device));
    }
    return devices;
  }

  static void check_device(const ResultKey& key, const std::string& place, const std::vector<std::string>& devices) {
    if (std::find(devices.begin(), devices.end(), key.device) != devices.end()) return;
    throw UsageError(fmt::format("{}: is of {}, this run is on {}; one file holds results of one device", place,
                                 key.device, devices.front()));
  }

  [[noreturn]] static void refuse_config(const ExperimentConfig& config, const ResultKey& key, const std::string& place,
                                         std::string_view line, std::size_t index) {
    const nlohmann::json stored = split_results({parse_document({place, line, 0})})[index].experiment()["config"];
    const std::string changes = describe_changes(stored, nlohmann::json::parse(config.effective_json));
    throw UsageError(
        fmt::format("{}: holds experiment {} of config {}, which is now config {} ({}); one file holds one config of "
                    "a name: give this run a file of its own, or the experiment another name",
                    place, brief_json(config.name), key.config_hash, config.hash, changes));
  }

  /// The hash does not cover what trace and calibration hold. Results of versions that did not record it pass.
  void check_inputs(const ExperimentConfig& config, const ResultKey& key, const std::string& place) {
    const auto refuse = [&](const std::string& what, const std::string& then, const std::string& now) {
      throw UsageError(
          fmt::format("{}: experiment {} was run with another {} (digest {}, now {}); give this run a "
                      "file of its own",
                      place, brief_json(config.name), what, then, now));
    };
    const std::string& calibration = run_.calibration.digest;
    if (!key.calibration_digest.empty() && key.calibration_digest != calibration) {
      refuse("calibration", key.calibration_digest, calibration);
    }
    if (key.trace_digest.empty()) return;
    const std::string* path = config.router.source.path();
    if (path == nullptr) return;
    const auto router = nlohmann::json::parse(config.effective_json)["router"];
    std::string& now = traces_[*path + router.dump()];
    if (now.empty()) now = trace_digest(config);
    if (key.trace_digest == now) return;
    refuse("content of the trace " + router["source"]["file"].get<std::string>(), key.trace_digest, now);
  }

  DoneBefore take() { return std::move(done_); }

 private:
  const ResumedRun& run_;
  const Visit& visit_;
  std::map<std::string, std::size_t> by_name_;
  DoneBefore done_;
  std::map<std::string, std::string> traces_;  // digests, by path and what configs say of their routers
};

}  // namespace

std::vector<ExperimentConfig> without_repeats(std::vector<ExperimentConfig> configs) {
  std::set<std::string> seen;
  std::erase_if(configs, [&](const ExperimentConfig& config) { return !seen.insert(config.hash).second; });
  return configs;
}

DoneBefore read_done(LineFile& file, const std::string& path, const ResumedRun& run,
                     const std::function<void(std::size_t, const nlohmann::json&)>& visit) {
  DoneReader reader(run, visit);
  std::size_t number = 0;
  file.recover([&](std::string_view line) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    reader.read_line(line, fmt::format("{} (line {})", path, number));
  });
  return reader.take();
}

}  // namespace tatr
