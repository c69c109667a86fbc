// tatr-sim run: runs experiments and reports them as text and JSON, or line by line as they finish (batch.hpp).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "batch.hpp"
#include "commands.hpp"
#include "config/read.hpp"
#include "core/interrupt.hpp"
#include "core/output_file.hpp"
#include "device.hpp"
#include "environment.hpp"
#include "experiment.hpp"
#include "export.hpp"
#include "json/json_text.hpp"
#include "progress.hpp"
#include "report/json.hpp"
#include "report/text.hpp"
#include "table_files.hpp"

namespace tatr {

namespace {

struct RunArguments {
  std::vector<std::string> configs, overrides;
  std::string json, jsonl, shard = "1/1", devices, export_folder, experts = "4", calibration;
  TableArguments tables;
  DeviceOptions device;
  bool resume = false, dry_run = false, quiet = false, quick = false, thorough = false;
};

/// "i/n": the i-th of n parts, from 1.
struct Shard {
  std::size_t part = 0, parts = 0;
};

Shard parse_shard(const std::string& text) {
  Shard shard;
  int used = 0;
  const bool read = std::sscanf(text.c_str(), "%6zu/%6zu%n", &shard.part, &shard.parts, &used) == 2;
  const bool whole = read && static_cast<std::size_t>(used) == text.size() && text.find_first_of(" +-") > text.size();
  return whole && shard.part >= 1 && shard.part <= shard.parts ? shard : Shard{};
}

std::string check_shard(const std::string& text) {
  if (parse_shard(text).parts > 0) return {};
  return "'" + text + "' is no shard; allowed: i/n with i from 1 to n, such as 1/4 … 4/4";
}

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
    const auto mib = [](std::size_t bytes) { return static_cast<double>(bytes) / 1048576.0; };
    fmt::print("{}: {} memory needed: {} bytes ({:.1f} MiB: routing and rounding {:.1f}, layer {:.1f})\n", config.file,
               system.is_cuda() ? "device" : "host", memory.on_system(), mib(memory.on_system()),
               mib(memory.routing_bytes), mib(memory.layer_bytes));
    fmt::print("{}: host memory needed for input and results: {:.1f} MiB\n", config.file, mib(memory.host_bytes));
  }
}

TextOptions text_options(const RunArguments& arguments, bool to_stdout) {
  TextOptions options;
  options.colour = takes_colour(to_stdout ? stdout : stderr);
  options.experts = arguments.experts == "all" ? -1 : std::atoi(arguments.experts.c_str());
  return options;
}

/// Results are told apart by the names of their experiments, and exports take them for names of files.
[[noreturn]] void refuse_name(const ExperimentConfig& config, const std::string& other) {
  throw ConfigError(config.file + ":/name",
                    fmt::format("{} is also the name of another config of this run, of {}; expected a name of its own",
                                brief_json(config.name), other));
}

/// All are read before any runs: a fault in the last costs no work.
std::vector<ExperimentConfig> read_configs(const RunArguments& arguments) {
  const Shard shard = parse_shard(arguments.shard);
  std::vector<ExperimentConfig> configs;
  std::map<std::string, std::pair<std::string, std::string>> names;  // hash and file of each
  std::size_t number = 0;
  for (const std::string& path : arguments.configs) {
    for (ExperimentConfig& config : read_experiments(path, arguments.overrides)) {
      const auto named = names.emplace(config.name, std::pair(config.hash, path)).first;
      if (named->second.first != config.hash) refuse_name(config, named->second.second);
      resolve_trace(config);
      if (number++ % shard.parts == shard.part - 1) configs.push_back(std::move(config));
    }
  }
  return configs;
}

/// Before work: one output at most on stdout, none in place of another file of the run, and a folder for exports that
/// can be written.
void check_outputs(const RunArguments& arguments, const std::vector<ExperimentConfig>& configs) {
  const std::vector<std::string> outputs = {arguments.json, arguments.jsonl, arguments.tables.csv,
                                            arguments.tables.markdown};
  if (std::count(outputs.begin(), outputs.end(), "-") > 1) {
    throw UsageError("more than one output goes to - (standard output); give the others a file");
  }
  std::vector<std::string> inputs = arguments.configs;
  inputs.push_back(arguments.calibration);
  for (const ExperimentConfig& config : configs) inputs.push_back(config.router.source.path);
  check_apart(outputs, inputs);
  if (!arguments.export_folder.empty()) prepare_export(arguments.export_folder);
}

RunOptions run_options(const RunArguments& arguments) {
  RunOptions options;
  if (!arguments.calibration.empty()) options.calibration = read_calibration(arguments.calibration);
  options.export_folder = arguments.export_folder;
  return options;
}

ExitCode run_lines(const RunArguments& arguments, std::vector<ExperimentConfig> configs) {
  Batch batch;
  batch.configs = std::move(configs);
  batch.jsonl = arguments.jsonl;
  batch.resume = arguments.resume;
  batch.quiet = arguments.quiet;
  batch.options = run_options(arguments);
  batch.tables = arguments.tables;
  if (arguments.devices.empty()) {
    batch.devices.push_back([&arguments] { return make_system(arguments.device); });
  } else {
    const int count = cuda_device_count();
    for (int i = 0; i < std::max(count, 1); ++i) {  // without a GPU the first says what is missing
      batch.devices.push_back([i] { return make_cuda_system(i); });
    }
  }
  return run_batch(batch);
}

void write_json(OutputFile& file, const RunRecord& record, const std::string& path) {
  const std::string text = json_text(record, 1) + "\n";
  try {
    file.write(text);
    file.commit();
  } catch (const EnvironmentError& error) {
    if (path == "-") throw;
    throw EnvironmentError(error.what() + keep_aside(text, path));
  }
}

/// Experiments that are reported together, and the outputs that take what of them is finished. The guard of a run that
/// is ended by force writes them too, so records and files are under a lock, and each is written once. Printing is not:
/// nobody may be reading, and the guard must get by.
class Report {
 public:
  Report(const RunArguments& arguments, const std::vector<ExperimentConfig>& configs, const System& system)
      : arguments_(arguments),
        configs_(configs),
        record_(start_record(describe_environment(system))),
        tables_(arguments.tables),
        last_words_([this] { return end(); }) {
    if (!arguments.json.empty()) json_.emplace(arguments.json);
    std::size_t bytes = 0;
    for (const ExperimentConfig& config : configs) bytes += estimate_result_bytes(config);
    if (json_) json_->reserve(2 * bytes);  // it is indented
    tables_.reserve(bytes);
  }

  void add(ExperimentRecord record) {
    const std::lock_guard lock(mutex_);
    finished_ += record.error ? 0 : 1;
    record_.experiments.push_back(std::move(record));
  }

  /// Writes what is finished, and says what else there is to say. Nothing finished: nothing is written, and an earlier
  /// result stays.
  std::string end() {
    std::string text;
    {
      const std::lock_guard lock(mutex_);
      if (finished_ > 0 && !std::exchange(ended_, true)) {
        write_files();
        if (!arguments_.quiet) text = text_report(record_, text_options(arguments_, prints_to_stdout()));
      }
    }
    if (!text.empty()) print(text);
    const std::size_t total = configs_.size();
    if (finished_ == total || total == 1) return {};
    return fmt::format("; {} of {} experiments {} finished{}", finished_, total, finished_ == 1 ? "is" : "are",
                       finished_ > 0 && json_ ? " and in " + arguments_.json : "");
  }

 private:
  void write_files() {
    if (json_) write_json(*json_, record_, arguments_.json);  // first: nothing below may cost the result
    if (arguments_.tables.wanted()) {
      tables_.add(0, nlohmann::json::parse(json_text(record_, -1)));
      tables_.commit();
    }
  }

  bool prints_to_stdout() const {
    return arguments_.json != "-" && arguments_.tables.csv != "-" && arguments_.tables.markdown != "-";
  }

  void print(const std::string& text) const {
    std::FILE* stream = prints_to_stdout() ? stdout : stderr;
    std::fputs(text.c_str(), stream);
    if (std::fflush(stream) != 0) throw EnvironmentError("standard output: cannot write the report");
  }

  const RunArguments& arguments_;
  const std::vector<ExperimentConfig>& configs_;
  std::mutex mutex_;
  RunRecord record_;
  std::size_t finished_ = 0;
  bool ended_ = false;
  std::optional<OutputFile> json_;
  TableFiles tables_;
  LastWords last_words_;  // last: it goes before what it writes
};

ExitCode run_report(const RunArguments& arguments, const std::vector<ExperimentConfig>& configs) {
  RunOptions options = run_options(arguments);
  const auto system = make_system(arguments.device);
  if (arguments.dry_run) {
    print_plan(configs, *system);
    return ExitCode::kDone;
  }
  Report report(arguments, configs, *system);
  Progress progress;
  progress.set_total(configs.size());
  options.progress = [&](const std::string& doing) { progress.show(doing); };
  std::vector<std::string> failures;
  ExitCode code = ExitCode::kDone;
  for (const ExperimentConfig& config : configs) {
    try {
      report.add(run_experiment(config, *system, options));
    } catch (const Error& error) {
      progress.clear();
      failures.push_back(describe_failure(config, error));
      code = std::max(code, error.code());
      ExperimentRecord failed;
      failed.config = config;
      failed.error = failures.back();
      report.add(std::move(failed));
      if (!leaves_others_alone(error)) break;
    }
    progress.finish_one();
  }
  progress.clear();
  const auto tell = [&](const std::string& state) {
    for (std::size_t i = 0; i < failures.size(); ++i) {
      fmt::print(stderr, "tatr-sim: error: {}{}\n", failures[i], i + 1 == failures.size() ? state : "");
    }
  };
  try {
    tell(report.end());
  } catch (...) {  // the outputs could not be written: one more thing that went wrong
    tell("");
    throw;
  }
  return code;
}

ExitCode run(const RunArguments& arguments) {
  std::vector<ExperimentConfig> configs = read_configs(arguments);
  check_outputs(arguments, configs);
  if (!arguments.dry_run) check_traces(configs);
  if (arguments.jsonl.empty() || arguments.dry_run) return run_report(arguments, configs);
  return run_lines(arguments, std::move(configs));
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
  CLI::Option* jsonl =
      command->add_option("--jsonl", arguments->jsonl, "Append each result as it finishes, one a line; no text report")
          ->type_name("FILE");
  command->add_flag("--resume", arguments->resume, "Go on with the file of --jsonl: skip the configs that it holds")
      ->needs(jsonl);
  command->add_option("--devices", arguments->devices, "all: spread the experiments over all GPUs of this machine")
      ->type_name("all")
      ->check(CLI::IsMember({"all"}).description(""))
      ->needs(jsonl)
      ->excludes("--device");
  command->add_option("--shard", arguments->shard, "Run only the i-th of n parts of the experiments: 1/4 … 4/4")
      ->type_name("i/n")
      ->check(check_shard);
  command->add_option("--json", arguments->json, "Write the result to this file; - is stdout (text goes to stderr)")
      ->type_name("FILE")
      ->excludes(jsonl);
  add_table_options(*command, arguments->tables);
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
