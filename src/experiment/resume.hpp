// Goes on with a file of JSON lines: what of a run's experiments it holds already, and whether it may be gone on with.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "core/output_file.hpp"
#include "options/options.hpp"
#include "quality/calibration.hpp"

namespace tatr {

/// A file holds each config once.
std::vector<ExperimentConfig> without_repeats(std::vector<ExperimentConfig> configs);

/// What the results of a run must have in common with those that the file holds.
struct ResumedRun {
  const std::vector<ExperimentConfig>& configs;  // each name and config once
  const std::vector<std::string>& devices;       // by name, as results have it
  const std::vector<std::string>& models;        // by config, as results name a modelled device; empty: none
  const Calibration& calibration;
};

struct DoneBefore {
  std::set<std::size_t> configs;  // of the run, that the file holds
  std::size_t others = 0;         // experiments of other names, which stay where they are
  std::size_t moved = 0;          // stale results, which are now in the file for them
};

/// What becomes of stale results: those of an experiment of the run under another config, or whose trace or calibration
/// held something else.
enum class Stale { kRefuse, kMove };

/// Where stale results of a file go: "sweep.stale.jsonl" of "sweep.jsonl".
std::string stale_path(const std::string& path);

/// Reads a file and mends its last line. `visit` gets the result of each experiment that is done, where it is wanted.
/// Throws UsageError where the file holds stale results, which it names with what changed and what is new, or one of
/// another device; the file is left as it is. With Stale::kMove, stale results are moved to the end of
/// stale_path(path): they are on the disk there before they leave the file.
DoneBefore read_done(LineFile& file, const std::string& path, const ResumedRun& run, Stale stale,
                     const std::function<void(std::size_t, const nlohmann::json&)>& visit);

}  // namespace tatr
