#include "experiment/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "analysis/analysis.hpp"
#include "core/interrupt.hpp"
#include "experiment/environment.hpp"
#include "experiment/memory_estimate.hpp"

namespace tatr {

namespace {

/// What the devices share. Everything but the constructor and end() takes the lock; so that the guard of a run that is
/// ended by force gets by, nothing is held while text is printed.
class Runner {
 public:
  explicit Runner(const RunPlan& plan) : plan_(plan) {
    for (const auto& make : plan.devices) environments_.push_back(describe_environment(*make()));
    state_.experiments = plan.configs.size();
    state_.done_before = plan.done.size();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < plan.configs.size(); ++i) {
      if (plan.done.count(i) > 0) continue;
      todo_.push_back(i);
      bytes += estimate_result_bytes(plan.configs[i]);
    }
    for (ResultSink* sink : plan.sinks) {
      sink->reserve(bytes);
      keeps_all_ = keeps_all_ || sink->wants_all();
    }
    watch([&](RunWatcher& watcher) { watcher.set_total(todo_.size()); });
  }

  void work(std::size_t device) {
    try {
      const auto system = plan_.devices[device]();
      RunOptions options = plan_.options;
      options.progress = [this](const std::string& doing) {
        const std::lock_guard lock(mutex_);
        if (stopped_) throw Error(ExitCode::kInterrupted, "another device stopped");
        watch([&](RunWatcher& watcher) { watcher.show(doing); });
      };
      for (std::optional<std::size_t> next; (next = take());) run_one(*next, device, *system, options);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!fatal_ && !stopped_) fatal_ = std::current_exception();
      stopped_ = true;
    }
  }

  RunResult finish() {
    watch([](RunWatcher& watcher) { watcher.clear(); });
    try {
      end();
    } catch (...) {  // the outputs could not be written: one more thing that went wrong
      tell_failures("");
      throw;
    }
    tell_failures(plan_.state_words(state_));
    if (fatal_) std::rethrow_exception(fatal_);
    return {code_, state_};
  }

 private:
  template <class Body>
  void watch(Body body) {
    if (plan_.watcher != nullptr) body(*plan_.watcher);
  }

  std::optional<std::size_t> take() {
    const std::lock_guard lock(mutex_);
    if (stopped_ || next_ == todo_.size()) return std::nullopt;
    return todo_[next_++];
  }

  void run_one(std::size_t place, std::size_t device, System& system, const RunOptions& options) {
    const ExperimentConfig& config = plan_.configs[place];
    try {
      RunRecord run = start_record(environments_[device]);
      run.experiments.push_back(run_experiment(config, system, options));
      const std::lock_guard lock(mutex_);
      for (ResultSink* sink : plan_.sinks) sink->add(place, run);
      keep(place, std::move(run.experiments.front()));
      ++state_.finished;
    } catch (const Error& error) {
      const std::lock_guard lock(mutex_);
      if (!stopped_) fail(place, error);
    }
    const std::lock_guard lock(mutex_);
    watch([](RunWatcher& watcher) { watcher.finish_one(); });
  }

  void fail(std::size_t place, const Error& error) {
    const ExperimentConfig& config = plan_.configs[place];
    failures_.push_back(describe_failure(config, error));
    code_ = std::max(code_, error.code());
    if (error.code() == ExitCode::kInterrupted) {
      state_.interrupted = true;
    } else {
      ++state_.failed;
    }
    stopped_ = !leaves_others_alone(error);
    ExperimentRecord failed;
    failed.config = config;
    failed.error = failures_.back();
    keep(place, std::move(failed));
    if (!plan_.tell_at_once || stopped_) return;
    watch([](RunWatcher& watcher) { watcher.clear(); });
    tell_failures("");
  }

  void keep(std::size_t place, ExperimentRecord record) {
    if (keeps_all_) kept_.emplace(place, std::move(record));
  }

  void tell_failures(const std::string& state) {
    for (std::size_t i = 0; i < failures_.size(); ++i) {
      fmt::print(stderr, "tatr-sim: error: {}{}\n", failures_[i], i + 1 == failures_.size() ? state : "");
    }
    failures_.clear();
  }

  /// Writes what is finished, once. Nothing finished: nothing is written, and an earlier result stays.
  void end() {
    std::unique_lock writing(writing_);  // whoever comes second waits until files are written, but not for a reader
    RunRecord all;
    {
      const std::lock_guard lock(mutex_);
      if (state_.finished + state_.done_before == 0 || std::exchange(ended_, true)) return;
      all = start_record(environments_.front());
      for (auto& [place, record] : kept_) all.experiments.push_back(std::move(record));
      analyse(all);
    }
    for (ResultSink* sink : plan_.sinks) {
      if (!sink->prints()) sink->end(all);
    }
    writing.unlock();
    for (ResultSink* sink : plan_.sinks) {
      if (sink->prints()) sink->end(all);
    }
  }

  const RunPlan& plan_;
  std::vector<Environment> environments_;  // by device
  std::vector<std::size_t> todo_;
  bool keeps_all_ = false;

  std::mutex mutex_, writing_;
  std::size_t next_ = 0;
  bool stopped_ = false, ended_ = false;
  RunState state_;
  ExitCode code_ = ExitCode::kDone;
  std::vector<std::string> failures_;  // not told yet
  std::map<std::size_t, ExperimentRecord> kept_;
  std::exception_ptr fatal_;  // of no experiment
  // Last: it goes before what it writes.
  LastWords last_words_{[this] {
    end();
    const std::lock_guard lock(mutex_);
    state_.interrupted = true;
    return plan_.state_words(state_);
  }};
};

}  // namespace

RunResult run_all(const RunPlan& plan) {
  Runner runner(plan);
  std::vector<std::thread> others;
  for (std::size_t device = 1; device < plan.devices.size(); ++device) {
    others.emplace_back([&runner, device] { runner.work(device); });
  }
  runner.work(0);
  for (std::thread& other : others) other.join();
  return runner.finish();
}

}  // namespace tatr
