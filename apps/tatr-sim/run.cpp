// tatr-sim run: runs experiments and reports them as text and JSON.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "commands.hpp"
#include "config/read.hpp"
#include "core/output_file.hpp"
#include "device.hpp"
#include "environment.hpp"
#include "experiment.hpp"
#include "progress.hpp"
#include "report/json.hpp"
#include "report/text.hpp"
#include "version.hpp"

namespace tatr {

namespace {

struct RunArguments {
  std::vector<std::string> configs, overrides;
  std::string json, export_folder, experts = "4", calibration;
  DeviceOptions device;
  bool dry_run = false, quiet = false, quick = false, thorough = false;
};

std::string check_experts(const std::string& experts) {
  if (experts == "all" ||
      (!experts.empty() && experts.size() < 6 && experts.find_first_not_of("0123456789") == std::string::npos)) {
    return {};
  }
  return "'" + experts + "' is no number of experts; allowed: a number or 'all'";
}

void print_plan(const std::vector<ExperimentConfig>& configs, const System& system) {
  for (const ExperimentConfig& config : configs) {
    const MemoryEstimate memory = estimate_memory(config, system);
    fmt::print("{}\n", nlohmann::ordered_json::parse(config.effective_json).dump(2));
    fmt::print("{}: {} memory needed: {} bytes ({:.1f} MiB: routing and rounding {:.1f}, layer {:.1f})\n", config.file,
               system.is_cuda() ? "device" : "host", memory.total(), static_cast<double>(memory.total()) / 1048576.0,
               static_cast<double>(memory.routing_bytes) / 1048576.0,
               static_cast<double>(memory.layer_bytes) / 1048576.0);
  }
}

TextOptions text_options(const RunArguments& arguments, bool to_stdout) {
  TextOptions options;
  options.colour = isatty(to_stdout ? STDOUT_FILENO : STDERR_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  options.experts = arguments.experts == "all" ? -1 : std::atoi(arguments.experts.c_str());
  return options;
}

ExitCode run(const RunArguments& arguments) {
  std::vector<ExperimentConfig> configs;  // all are read before any runs: a fault in the last costs no work
  for (const std::string& path : arguments.configs) {
    configs.push_back(read_experiments(path, arguments.overrides).front());
    resolve_trace(configs.back());
  }
  RunOptions options;
  if (!arguments.calibration.empty()) options.calibration = read_calibration(arguments.calibration);
  const auto system = make_system(arguments.device);
  if (arguments.dry_run) {
    print_plan(configs, *system);
    return ExitCode::kDone;
  }
  std::optional<OutputFile> json;
  if (!arguments.json.empty()) json.emplace(arguments.json);
  const bool text_to_stdout = arguments.json != "-";

  Progress progress;
  options.export_folder = arguments.export_folder;
  options.progress = [&](const std::string& doing) { progress.show(doing); };
  RunRecord record;
  record.version = TATR_VERSION;
  record.git = TATR_GIT;
  record.environment = describe_environment(*system);
  ExitCode code = ExitCode::kDone;
  for (const ExperimentConfig& config : configs) {
    try {
      record.experiments.push_back(run_experiment(config, *system, options));
    } catch (const OutOfMemoryError& error) {  // the other experiments may fit
      progress.clear();
      fmt::print(stderr, "tatr-sim: error: {}: {}\n", config.name, error.what());
      ExperimentRecord failed;
      failed.config = config;
      failed.error = error.what();
      record.experiments.push_back(failed);
      code = error.code();
    }
  }
  progress.clear();
  if (!arguments.quiet) {
    const std::string text = text_report(record, text_options(arguments, text_to_stdout));
    std::FILE* stream = text_to_stdout ? stdout : stderr;
    std::fputs(text.c_str(), stream);
    if (std::fflush(stream) != 0) throw EnvironmentError("standard output: cannot write the report");
  }
  if (json) json->commit(to_json(record).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  return code;
}

/// How long to measure, as overrides that any --set of the user's own goes before. They are part of the config and of
/// its hash, so results of one kind are never taken for another.
constexpr std::array kQuick = {"/measure/samples=10", "/measure/precision=0.02", "/measure/warm_up_ms=200"};
constexpr std::array kThorough = {"/measure/samples=100", "/measure/precision=0.002", "/measure/warm_up_ms=3000"};

}  // namespace

void add_run(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = app.add_subcommand("run", "Run experiments and report them");
  command->add_option("CONFIG", arguments->configs, "Experiment files")->type_name("FILE")->required();
  add_device_options(*command, arguments->device);
  command->add_option("--json", arguments->json, "Write the result to this file; - is stdout (text goes to stderr)")
      ->type_name("FILE");
  command->add_option("--set", arguments->overrides, "Override a value of every config: --set /router/tokens=1024")
      ->type_name("POINTER=VALUE")
      ->allow_extra_args(false);
  command
      ->add_option("--calibration", arguments->calibration, "Estimate perplexity by this file of scripts/calibrate.py")
      ->type_name("FILE");
  command->add_flag("--dry-run", arguments->dry_run, "Print the effective config and the memory it needs, run nothing");
  command->add_option("--experts", arguments->experts, "Experts to list in the text: a number or 'all'")
      ->type_name("N")
      ->check(check_experts);
  command->add_option("--export", arguments->export_folder, "Write targets and dispatch lists to this folder as .npy")
      ->type_name("FOLDER");
  command->add_flag("--quiet", arguments->quiet, "No text report");
  CLI::Option* quick = command->add_flag("--quick", arguments->quick, "Measure briefly: 10 samples, 0.2 s of warm-up");
  command->add_flag("--thorough", arguments->thorough, "Measure at length: up to 100 samples, 3 s of warm-up")
      ->excludes(quick);
  command->callback([arguments, &action] {
    std::vector<std::string>& overrides = arguments->overrides;
    if (arguments->quick) overrides.insert(overrides.begin(), kQuick.begin(), kQuick.end());
    if (arguments->thorough) overrides.insert(overrides.begin(), kThorough.begin(), kThorough.end());
    action = [arguments] { return run(*arguments); };
  });
}

}  // namespace tatr
