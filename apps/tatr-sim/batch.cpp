#include "batch.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <thread>

#include "core/interrupt.hpp"
#include "core/output_file.hpp"
#include "environment.hpp"
#include "progress.hpp"
#include "report/json.hpp"
#include "report/stored_results.hpp"

namespace tatr {

namespace {

/// What the devices share. Everything but the constructor takes the lock.
class Runner {
 public:
  explicit Runner(const Batch& batch)
      : batch_(batch), environments_(describe(batch)), tables_(batch.tables), file_(batch.jsonl) {
    const std::map<std::string, StoredResult> done = read_done();
    std::set<std::string> known;  // a file holds each config once
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < batch.configs.size(); ++i) {
      const ExperimentConfig& config = batch.configs[i];
      if (!known.insert(config.hash).second) continue;
      if (const auto found = done.find(config.hash); found != done.end()) {
        if (batch.tables.wanted()) tables_.add(i, found->second.document);
        ++before_;
        continue;
      }
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

  std::map<std::string, StoredResult> read_done() {
    if (!batch_.resume && !file_.is_empty()) {
      throw UsageError(batch_.jsonl + ": holds results already; --resume goes on with them, or name another file");
    }
    std::map<std::string, StoredResult> done;
    std::set<std::string> devices;
    for (const Environment& environment : environments_) devices.insert(environment.device);
    const std::string text = file_.recover();
    if (text.empty()) return done;
    for (StoredResult& result : split_results(parse_documents(text, batch_.jsonl))) {
      if (devices.count(result.device()) == 0) {
        throw UsageError(fmt::format("{}: was measured on {}, this run is on {}; one file holds results of one device",
                                     result.place, result.device(), *devices.begin()));
      }
      done.emplace(result.config_hash(), std::move(result));
    }
    return done;
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
                       before_ > 0 ? fmt::format(", {} done before", before_) : "",
                       failed_ > 0 ? fmt::format(", {} failed", failed_) : "");
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
  std::vector<std::size_t> todo_;
  Progress progress_;

  std::mutex mutex_;
  std::size_t next_ = 0, before_ = 0, finished_ = 0, failed_ = 0;
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
