// Runs many experiments, on one device or several, and gives each to the sinks as it ends. Decides which device takes
// what and what an error ends: an experiment that fails takes no finished one with it, whatever the sinks.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "device/system.hpp"
#include "experiment/pipeline.hpp"
#include "experiment/sinks.hpp"

namespace tatr {

/// Whom a run tells what it does. Called under a lock.
class RunWatcher {
 public:
  virtual ~RunWatcher() = default;
  virtual void set_total(std::size_t) {}
  virtual void show(const std::string&) {}
  virtual void finish_one() {}
  virtual void clear() {}
};

/// How far a run has come. What an interrupt ended has not failed.
struct RunState {
  std::size_t experiments = 0, finished = 0, failed = 0, done_before = 0;
  bool interrupted = false;
};

struct RunPlan {
  std::vector<ExperimentConfig> configs;
  std::set<std::size_t> done;                                     // of the configs: they are not run again
  RunOptions options;                                             // its progress is not used: the watcher gets it
  std::vector<std::function<std::unique_ptr<System>()>> devices;  // at least one; each takes the next experiment
  std::vector<ResultSink*> sinks;                                 // in the order in which they end
  RunWatcher* watcher = nullptr;
  bool tell_at_once = false;  // failures as they happen, not at the end
  /// Said after the last failure, and where the run is ended by force; empty: nothing.
  std::function<std::string(const RunState&)> state_words = [](const RunState&) { return std::string(); };
};

struct RunResult {
  ExitCode code = ExitCode::kDone;  // of the worst failure
  RunState state;
};

/// Failures go to stderr, a line each. An error that no other experiment would survive (device lost, disk full,
/// interrupt) stops every device; what is finished is written all the same. Throws EnvironmentError where a sink cannot
/// write it, or a device is not there.
RunResult run_all(const RunPlan& plan);

}  // namespace tatr
