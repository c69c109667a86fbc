#include "batch.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include "core/interrupt.hpp"
#include "core/output_file.hpp"
#include "environment.hpp"
#include "json/json_text.hpp"
#include "progress.hpp"
#include "report/json.hpp"
#include "report/result_scan.hpp"
#include "report/stored_results.hpp"

namespace tatr {

namespace {

/// What the devices share. Everything but the constructor takes the lock.
class Runner {
 public:
  explicit Runner(const Batch& batch)
      : batch_(batch), environments_(describe(batch)), tables_(batch.tables), file_(batch.jsonl) {
    for (std::size_t i = 0; i < batch.configs.size(); ++i) {
      by_hash_.emplace(batch.configs[i].hash, i);  // a file holds each config once
      by_name_.emplace(batch.configs[i].name, i);
    }
    read_done();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < batch.configs.size(); ++i) {
      const ExperimentConfig& config = batch.configs[i];
      if (by_hash_.at(config.hash) != i || done_.count(i) > 0) continue;
      todo_.push_back(i);
      bytes += estimate_result_bytes(config);
    }
    tables_.reserve(bytes);
    file_.check_room(bytes);
    progress_.set_total(todo_.size());
  }

  void work(std::size_t device) {
    try {
      const auto system = batch_.devices[device]();
      RunOptions options = batch_.options;
      options.progress = [&](const std::string& doing) {
        const std::lock_guard lock(mutex_);
        if (error_) throw Error(ExitCode::kInterrupted, "another device stopped");
        progress_.show(doing);
      };
      for (std::optional<std::size_t> next; (next = take());) run_one(*next, environments_[device], *system, options);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  ExitCode finish() {
    progress_.clear();
    if (error_) rethrow();
    tables_.commit();
    if (!batch_.quiet) {
      const bool clean = batch_.jsonl != "-" && batch_.tables.csv != "-" && batch_.tables.markdown != "-";
      fmt::print(clean ? stdout : stderr, "{}\n", summary());
    }
    return code_;
  }

 private:
  static std::vector<Environment> describe(const Batch& batch) {
    std::vector<Environment> environments;
    for (const auto& make : batch.devices) environments.push_back(describe_environment(*make()));
    return environments;
  }

  void read_done() {
    if (!batch_.resume && !file_.is_empty()) {
      throw UsageError(batch_.jsonl + ": holds results already; --resume goes on with them, or name another file");
    }
    std::size_t number = 0;
    file_.recover([&](std::string_view line) {
      ++number;
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
      read_line(line, fmt::format("{} (line {})", batch_.jsonl, number));
    });
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
      check_device(key, place);
      const auto named = by_name_.find(key.name);
      if (named == by_name_.end()) {
        ++others_;
        continue;
      }
      const ExperimentConfig& config = batch_.configs[named->second];
      if (config.hash != key.config_hash) refuse_config(config, key, place, line, i);
      check_inputs(config, key, place);
      if (!done_.insert(named->second).second || !batch_.tables.wanted()) continue;
      tables_.add(named->second, split_results({parse_document({place, line, 0})})[i].document);
    }
  }

  void check_device(const ResultKey& key, const std::string& place) const {
    for (const Environment& environment : environments_) {
      if (environment.device == key.device) return;
    }
    throw UsageError(fmt::format("{}: was measured on {}, this run is on {}; one file holds results of one device",
                                 place, key.device, environments_.front().device));
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
    const std::string& calibration = batch_.options.calibration.digest;
    if (!key.calibration_digest.empty() && key.calibration_digest != calibration) {
      refuse("calibration", key.calibration_digest, calibration);
    }
    if (key.trace_digest.empty()) return;
    const SourceConfig& source = config.router.source;
    std::string& now = traces_[{source.path, source.tensors, source.first_token, config.router.tokens}];
    if (now.empty()) now = trace_digest(config);
    if (key.trace_digest != now) refuse("content of the trace " + source.file, key.trace_digest, now);
  }

  std::optional<std::size_t> take() {
    const std::lock_guard lock(mutex_);
    if (error_ || next_ == todo_.size()) return std::nullopt;
    return todo_[next_++];
  }

  void run_one(std::size_t index, const Environment& environment, System& system, const RunOptions& options) {
    const ExperimentConfig& config = batch_.configs[index];
    try {
      RunRecord record = start_record(environment);
      record.experiments.push_back(run_experiment(config, system, options));
      const std::string line = json_text(record, -1);
      const std::lock_guard lock(mutex_);
      file_.append(line);
      if (batch_.tables.wanted()) tables_.add(index, nlohmann::json::parse(line));
      ++finished_;
    } catch (const Error& error) {
      if (!leaves_others_alone(error)) throw Error(error.code(), describe_failure(config, error));
      const std::lock_guard lock(mutex_);
      progress_.clear();
      fmt::print(stderr, "tatr-sim: error: {}\n", describe_failure(config, error));
      if (failed_++ == 0) code_ = error.code();
    }
    const std::lock_guard lock(mutex_);
    progress_.finish_one();
  }

  std::string summary() const {
    return fmt::format("{}: {} experiment{} finished{}{}", batch_.jsonl == "-" ? "standard output" : batch_.jsonl,
                       finished_, finished_ == 1 ? "" : "s",
                       done_.empty() ? "" : fmt::format(", {} done before", done_.size()),
                       failed_ > 0 ? fmt::format(", {} failed", failed_) : "") +
           (others_ > 0 ? fmt::format("; the file keeps {} of other names", others_) : "");
  }

  [[noreturn]] void rethrow() {
    try {
      std::rethrow_exception(error_);
    } catch (const Error& error) {
      if (error.code() != ExitCode::kInterrupted) throw;
      throw Error(error.code(), "interrupted; " + summary() + "; --resume goes on");
    }
  }

  const Batch& batch_;
  std::vector<Environment> environments_;  // one per device
  TableFiles tables_;
  LineFile file_;
  std::map<std::string, std::size_t> by_hash_, by_name_;  // the first config of each
  std::set<std::size_t> done_;                            // configs that the file holds
  std::map<std::tuple<std::string, std::vector<std::string>, std::int64_t, std::int64_t>, std::string> traces_;
  std::vector<std::size_t> todo_;
  Progress progress_;

  std::mutex mutex_;
  std::size_t next_ = 0, others_ = 0, finished_ = 0, failed_ = 0;
  ExitCode code_ = ExitCode::kDone;
  std::exception_ptr error_;
  // Last: it goes before what it tells of.
  LastWords last_words_{[this] {
    const std::lock_guard lock(mutex_);
    return "; " + summary() + "; --resume goes on";
  }};
};

}  // namespace

ExitCode run_batch(const Batch& batch) {
  Runner runner(batch);
  std::vector<std::thread> others;
  for (std::size_t device = 1; device < batch.devices.size(); ++device) {
    others.emplace_back([&runner, device] { runner.work(device); });
  }
  runner.work(0);
  for (std::thread& other : others) other.join();
  return runner.finish();
}

}  // namespace tatr
