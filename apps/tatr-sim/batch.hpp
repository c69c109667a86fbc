// Many experiments whose results go to one file of JSON lines as they finish. Decides what is left to do, which device
// takes what, and what an error ends: an experiment that fails leaves the others alone.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "device/system.hpp"
#include "experiment.hpp"
#include "options/options.hpp"
#include "table_files.hpp"

namespace tatr {

struct Batch {
  std::vector<ExperimentConfig> configs;  // of one name all are the same
  std::string jsonl;                      // file, or "-"
  bool resume = false;                    // go on with what the file holds
  bool quiet = false;
  RunOptions options;                                             // its progress is not used: a batch shows its own
  TableArguments tables;                                          // of all experiments, done before or now
  std::vector<std::function<std::unique_ptr<System>()>> devices;  // at least one; each takes the next experiment
};

/// Runs what the file does not hold yet. A file that holds an experiment of the same name but of another config, or one
/// whose trace or calibration held something else, is refused (UsageError) before work and left as it is; experiments
/// of other names stay where they are. Each line is on the disk before the device goes on; the rest of the file is
/// never touched. The code is that of the first failure, and errors that no other experiment would survive (device
/// lost, disk full, interrupt) are thrown once every device has stopped.
ExitCode run_batch(const Batch& batch);

}  // namespace tatr
