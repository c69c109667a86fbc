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

/// Of an experiment of the run.
struct StaleResult {
  std::size_t config, line;
  std::string change;
};

/// "a, b, c and 4 more"
std::string some_of(const std::vector<std::string>& words, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(words.size(), most); ++i) text += (i == 0 ? "" : ", ") + words[i];
  if (words.size() > most) text += fmt::format(" and {} more", words.size() - most);
  return text;
}

class DoneReader {
 public:
  using Visit = std::function<void(std::size_t, const nlohmann::json&)>;

  DoneReader(const ResumedRun& run, const Visit& visit) : run_(run), visit_(visit) {
    for (std::size_t i = 0; i < run.configs.size(); ++i) by_name_.emplace(run.configs[i].name, i);
  }

  /// Takes what a line holds for done or stale, or refuses it. Only what names an experiment is read, unless more is
  /// asked for.
  void read_line(std::string_view line, const std::string& path) {
    ++number_;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    const std::string place = fmt::format("{} (line {})", path, number_);
    std::size_t stale_here = 0;
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
      const std::string change =
          config.hash != key.config_hash ? config_change(config, key, place, line, i) : inputs_change(config, key);
      if (!change.empty()) {
        stale_.push_back({named->second, number_, change});
        ++stale_here;
        continue;
      }
      if (!done_.configs.insert(named->second).second || !visit_) continue;
      visit_(named->second, split_results({parse_document({place, line, 0})})[i].document);
    }
    if (stale_here > 0 && stale_here < keys->size()) mixed_line_ = place;
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

  static std::string config_change(const ExperimentConfig& config, const ResultKey& key, const std::string& place,
                                   std::string_view line, std::size_t index) {
    const nlohmann::json stored = split_results({parse_document({place, line, 0})})[index].experiment()["config"];
    return fmt::format("config {}, now {}: {}", key.config_hash, config.hash,
                       describe_changes(stored, nlohmann::json::parse(config.effective_json)));
  }

  /// The hash does not cover what trace and calibration hold. Results of versions that did not record it pass.
  std::string inputs_change(const ExperimentConfig& config, const ResultKey& key) {
    const auto another = [](const std::string& what, const std::string& then, const std::string& now) {
      return fmt::format("another {}: digest {}, now {}", what, then, now);
    };
    const std::string& calibration = run_.calibration.digest;
    if (!key.calibration_digest.empty() && key.calibration_digest != calibration) {
      return another("calibration", key.calibration_digest, calibration);
    }
    if (key.trace_digest.empty()) return {};
    const std::string* path = config.router.source.path();
    if (path == nullptr) return {};
    const auto router = nlohmann::json::parse(config.effective_json)["router"];
    std::string& now = traces_[*path + router.dump()];
    if (now.empty()) now = trace_digest(config);
    if (key.trace_digest == now) return {};
    return another("content of the trace " + router["source"]["file"].get<std::string>(), key.trace_digest, now);
  }

  /// Throws where stale results may not stay, before anything is changed.
  void check_stale(const std::string& path, Stale stale) const {
    if (stale_.empty()) return;
    if (stale == Stale::kMove) {
      if (mixed_line_.empty()) return;
      throw UsageError(mixed_line_ +
                       ": holds several experiments, of which only some are stale; tatr-sim merge --jsonl "
                       "puts each on a line of its own");
    }
    std::vector<std::string> words, fresh;
    std::set<std::size_t> changed;
    for (const StaleResult& result : stale_) {
      changed.insert(result.config);
      words.push_back(
          fmt::format("{} (line {}, {})", brief_json(run_.configs[result.config].name), result.line, result.change));
    }
    for (std::size_t i = 0; i < run_.configs.size(); ++i) {
      if (changed.count(i) == 0 && done_.configs.count(i) == 0) fresh.push_back(brief_json(run_.configs[i].name));
    }
    throw UsageError(
        fmt::format("{}: of this run {} done, {} new{}, {} stale: {}; one file holds one config of a name: add "
                    "--keep-stale to move "
                    "stale results to {} and run those experiments anew, or give this run a file of its own",
                    path, done_.configs.size(), fresh.size(), fresh.empty() ? "" : " (" + some_of(fresh, 3) + ")",
                    changed.size(), some_of(words, 3), stale_path(path)));
  }

  std::size_t stale_count() const { return stale_.size(); }

  std::set<std::size_t> stale_lines() const {
    std::set<std::size_t> lines;
    for (const StaleResult& result : stale_) lines.insert(result.line);
    return lines;
  }

  DoneBefore take() { return std::move(done_); }

 private:
  const ResumedRun& run_;
  const Visit& visit_;
  std::map<std::string, std::size_t> by_name_;
  DoneBefore done_;
  std::size_t number_ = 0;  // of the line
  std::vector<StaleResult> stale_;
  std::string mixed_line_;                     // one that holds both stale and other results
  std::map<std::string, std::string> traces_;  // digests, by path and what configs say of their routers
};

}  // namespace

std::vector<ExperimentConfig> without_repeats(std::vector<ExperimentConfig> configs) {
  std::set<std::string> seen;
  std::erase_if(configs, [&](const ExperimentConfig& config) { return !seen.insert(config.hash).second; });
  return configs;
}

std::string stale_path(const std::string& path) {
  constexpr std::string_view kEnd = ".jsonl";
  return (path.ends_with(kEnd) ? path.substr(0, path.size() - kEnd.size()) : path) + ".stale.jsonl";
}

namespace {

/// Appends lines to the file of stale results, but for those that an interrupted move has left there, and only then
/// takes them out of the other.
void move_lines(LineFile& from, const std::set<std::size_t>& numbers, const std::string& to_path) {
  LineFile to(to_path);
  std::set<std::string, std::less<>> there;
  to.recover([&](std::string_view line) { there.emplace(line); });
  std::size_t number = 0;
  from.recover([&](std::string_view line) {
    if (numbers.count(++number) > 0 && there.find(line) == there.end()) to.append(std::string(line));
  });
  number = 0;
  from.keep_lines([&](std::string_view) { return numbers.count(++number) == 0; });
}

}  // namespace

DoneBefore read_done(LineFile& file, const std::string& path, const ResumedRun& run, Stale stale,
                     const std::function<void(std::size_t, const nlohmann::json&)>& visit) {
  DoneReader reader(run, visit);
  file.recover([&](std::string_view line) { reader.read_line(line, path); }, [&] { reader.check_stale(path, stale); });
  const std::size_t moved = reader.stale_count();
  if (moved > 0) move_lines(file, reader.stale_lines(), stale_path(path));
  DoneBefore done = reader.take();
  done.moved = moved;
  return done;
}

}  // namespace tatr
