// Runs one experiment on one system: logits, routing, every strategy at every tile, and the layer's timings, in
// that order; what each step does is another room's (docs/architecture.md).
#pragma once

#include <functional>
#include <string>

#include "core/error.hpp"
#include "device/system.hpp"
#include "experiment/modelled_gpu.hpp"
#include "options/options.hpp"
#include "records/records.hpp"

namespace tatr {

struct RunOptions {
  Calibration calibration = default_calibration();
  std::string export_folder;    // empty: none
  ModelChoice model;            // of a GPU that is not there, where times are not to be measured
  bool verify_modelled = true;  // outputs, beside modelled times
  std::function<void(const std::string&)> progress = [](const std::string&) {};
};

/// Throws what the stages throw, as an Error whatever it was, and first of all what check_settings and check_memory
/// throw. The caller goes on with the next experiment where leaves_others_alone says so.
ExperimentRecord run_experiment(const ExperimentConfig& config, System& system, const RunOptions& options);

/// Whether an error says something of one experiment only (its config, its memory, its outputs), so that others can
/// still run.
bool leaves_others_alone(const Error& error);

/// One line of an error that run_experiment threw: it names the experiment.
std::string describe_failure(const ExperimentConfig& config, const Error& error);

}  // namespace tatr
