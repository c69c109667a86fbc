// tatr-sim run: runs experiments and reports them as text and JSON, or line by line as they finish.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "config/read.hpp"
#include "core/format.hpp"
#include "core/output_file.hpp"
#include "device_options.hpp"
#include "experiment/data_reading.hpp"
#include "experiment/export.hpp"
#include "experiment/memory_estimate.hpp"
#include "experiment/resume.hpp"
#include "experiment/runner.hpp"
#include "experiment/settings.hpp"
#include "experiment/trace_checks.hpp"
#include "forecast.hpp"
#include "json/json_text.hpp"
#include "model/modelled_device.hpp"
#include "output.hpp"
#include "output_names.hpp"
#include "progress.hpp"
#include "records/result_writer.hpp"
#include "report/result_tables.hpp"
#include "report/text.hpp"
#include "report_options.hpp"
#include "run_data.hpp"
#include "source/routing_source.hpp"
#include "table_options.hpp"

namespace tatr {

namespace {

struct RunArguments {
  std::vector<std::string> configs, overrides;
  std::string json, jsonl, shard = "1/1", devices, save_config, export_folder, calibration;
  TablePaths tables;
  ReportOptions report;
  DeviceOptions device;
  bool resume = false, keep_stale = false, dry_run = false, quiet = false, quick = false, thorough = false;
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

/// The effective configs as a stream of JSON documents on standard output; all else on stderr.
void print_plan(const std::vector<ExperimentConfig>& configs, const System& system, const ModelChoice& choice) {
  std::vector<ModelledGpu> modelled;
  for (const ExperimentConfig& config : configs) {
    const std::optional<GpuModel>& gpu = modelled.emplace_back(modelled_gpu(config, choice)).gpu;
    check_settings(gpu ? computed_beside(config, *gpu) : config, system.device());
  }
  for (const ExperimentConfig& config : configs) {
    const MemoryEstimate memory = estimate_memory(config, system);
    fmt::print("{}\n", nlohmann::ordered_json::parse(config.effective_json).dump(2));
    const std::string reading = shape_of(config.router).reading;
    if (!reading.empty()) fmt::print(stderr, "{}: read as {}\n", config.file, reading);
    const auto mib = [](std::size_t bytes) { return static_cast<double>(bytes) / 1048576.0; };
    fmt::print(stderr, "{}: {} memory needed: {} bytes ({:.1f} MiB: routing and rounding {:.1f}, layer {:.1f})\n",
               config.file, system.is_cuda() ? "device" : "host", memory.on_system(), mib(memory.on_system()),
               mib(memory.routing_bytes), mib(memory.layer_bytes));
    const std::string kept = kept_words(config, system.device());
    if (!kept.empty()) fmt::print(stderr, "{}: {}\n", config.file, kept);
    fmt::print(stderr, "{}: host memory needed for input and results: {:.1f} MiB\n", config.file,
               mib(memory.host_bytes));
    const ModelledGpu& gpu = modelled[static_cast<std::size_t>(&config - configs.data())];
    if (gpu.gpu) fmt::print(stderr, "{}: times: {}; {}\n", config.file, modelled_name(*gpu.gpu), error_words(*gpu.gpu));
    if (!gpu.warning.empty()) fmt::print(stderr, "{}: {}\n", config.file, gpu.warning);
  }
}

/// Results are told apart by the names of their experiments, and exports take them for names of files.
[[noreturn]] void refuse_name(const ExperimentConfig& config, const std::string& other) {
  throw ConfigError({config.file, "/name"},
                    fmt::format("{} is also the name of another config of this run, of {}; expected a name of its own",
                                brief_json(config.name), other));
}

void complete_and_check(ExperimentConfig& config) {
  resolve_source(config);
  check_back_end_name(config);
  gpu_of_config(config);
}

/// All are read before any runs: a fault in the last costs no work.
std::vector<ExperimentConfig> read_configs(const RunArguments& arguments) {
  const Shard shard = parse_shard(arguments.shard);
  std::vector<ExperimentConfig> configs;
  std::map<std::string, std::pair<std::string, std::string>> names;  // hash and file of each
  std::size_t number = 0;
  for (const std::string& path : arguments.configs) {
    for (ExperimentConfig& config : read_experiments(path, arguments.overrides, complete_and_check)) {
      const auto named = names.emplace(config.name, std::pair(config.hash, path)).first;
      if (named->second.first != config.hash) refuse_name(config, named->second.second);
      if (number++ % shard.parts == shard.part - 1) configs.push_back(std::move(config));
    }
  }
  return configs;
}

/// Before work: one output at most on stdout, none in place of another file of the run, and a folder for exports that
/// can be written.
void check_outputs(const RunArguments& arguments, const std::vector<ExperimentConfig>& configs) {
  std::vector<std::string> outputs = {arguments.json, arguments.jsonl, arguments.tables.csv, arguments.tables.markdown};
  if (std::count(outputs.begin(), outputs.end(), "-") > 1) {
    throw UsageError("more than one output goes to - (standard output); give the others a file");
  }
  std::vector<std::string> inputs = arguments.configs;
  inputs.push_back(arguments.calibration);
  for (const ExperimentConfig& config : configs) {
    if (const std::string* path = config.router.source.path()) inputs.push_back(*path);
  }
  if (arguments.keep_stale) outputs.push_back(stale_path(arguments.jsonl));
  check_apart(outputs, inputs);
  check_name("--json", FileContent::kJson, arguments.json);
  check_name("--jsonl", FileContent::kJson, arguments.jsonl);
  check_table_names(arguments.tables);
  if (arguments.export_folder.empty()) return;
  for (const ExperimentConfig& config : configs) {
    if (config.router.source.counts() == nullptr) continue;
    throw UsageError("--export: " + config.file +
                     " is of counts, which do not tell whose rows they are; expected a trace");
  }
  prepare_export(arguments.export_folder);
}

RunOptions run_options(const RunArguments& arguments) {
  RunOptions options;
  if (!arguments.calibration.empty()) options.calibration = read_calibration(arguments.calibration);
  options.export_folder = arguments.export_folder;
  if (arguments.devices.empty()) options.model = model_choice(arguments.device);
  return options;
}

/// Nothing else of a run goes to standard output.
bool prints_to_stdout(const RunArguments& arguments) {
  const auto is_stdout = [](const std::string& path) { return path == "-"; };
  return !is_stdout(arguments.json) && !is_stdout(arguments.jsonl) && !is_stdout(arguments.tables.csv) &&
         !is_stdout(arguments.tables.markdown);
}

std::vector<std::function<std::unique_ptr<System>()>> devices_of(const RunArguments& arguments) {
  if (arguments.devices.empty()) return {[&arguments] { return make_system(arguments.device); }};
  std::vector<std::function<std::unique_ptr<System>()>> devices;
  for (int i = 0; i < std::max(cuda_device_count(), 1); ++i) {  // without a GPU the first says what is missing
    devices.push_back([i] { return make_cuda_system(i); });
  }
  return devices;
}

std::string count_words(std::size_t count, const std::string& what) { return fmt::format(", {} {}", count, what); }

/// "x.jsonl: 3 experiments finished, 2 done before"
std::string lines_summary(const RunArguments& arguments, const RunState& state, const DoneBefore& done) {
  return fmt::format(
      "{}: {} experiment{} finished{}{}{}{}", arguments.jsonl == "-" ? "standard output" : arguments.jsonl,
      state.finished, state.finished == 1 ? "" : "s",
      state.done_before > 0 ? count_words(state.done_before, "done before") : "",
      state.failed > 0 ? count_words(state.failed, "failed") : "",
      done.others > 0 ? fmt::format("; the file keeps {} of other names", done.others) : "",
      done.moved > 0 ? fmt::format("; {} stale moved to {}", done.moved, stale_path(arguments.jsonl)) : "");
}

/// Before work, what it will take where that is long.
void tell_forecast(const RunArguments& arguments, const RunPlan& plan, Progress& progress) {
  if (arguments.quiet || !arguments.devices.empty()) return;
  progress.show("estimating how long this will take");
  std::vector<ExperimentConfig> configs;
  for (std::size_t i = 0; i < plan.configs.size(); ++i) {
    if (plan.done.count(i) == 0) configs.push_back(plan.configs[i]);
  }
  const std::string said = forecast(configs, *make_system(arguments.device), plan.options.model);
  progress.clear();
  fmt::print(stderr, "{}", said);
}

/// Results line by line as they end.
ExitCode run_lines(const RunArguments& arguments, std::vector<ExperimentConfig> configs, Progress& progress) {
  RunPlan plan;
  plan.configs = without_repeats(std::move(configs));
  plan.options = run_options(arguments);
  plan.devices = devices_of(arguments);
  plan.watcher = &progress;
  plan.tell_at_once = true;
  std::vector<std::string> devices, models;
  for (const auto& make : plan.devices) devices.push_back(make()->device().name);
  for (const ExperimentConfig& config : plan.configs) {
    const std::optional<GpuModel> gpu = modelled_gpu(config, plan.options.model).gpu;
    models.push_back(gpu ? modelled_key(*gpu) : "");
  }
  TableFiles tables(arguments.tables);
  LineFile file(arguments.jsonl);
  if (!arguments.resume && !file.is_empty()) {
    throw UsageError(arguments.jsonl + ": holds results already; --resume goes on with them, or name another file");
  }
  std::function<void(std::size_t, const nlohmann::json&)> visit;
  if (arguments.tables.wanted()) {
    visit = [&](std::size_t place, const nlohmann::json& result) { tables.add(place, result); };
  }
  const DoneBefore done = read_done(file, arguments.jsonl, {plan.configs, devices, models, plan.options.calibration},
                                    arguments.keep_stale ? Stale::kMove : Stale::kRefuse, visit);
  plan.done = done.configs;
  LinesSink lines(file);
  TablesSink table_sink(tables, /*one_by_one=*/true);
  plan.sinks = {&lines, &table_sink};
  plan.state_words = [&](const RunState& state) {
    return state.interrupted ? "; " + lines_summary(arguments, state, done) + "; --resume goes on" : std::string();
  };
  tell_forecast(arguments, plan, progress);
  const RunResult result = run_all(plan);
  if (!arguments.quiet && !result.state.interrupted) {
    fmt::print(prints_to_stdout(arguments) ? stdout : stderr, "{}\n", lines_summary(arguments, result.state, done));
  }
  return result.code;
}

std::string report_of(const RunRecord& run, const ReportOptions& options, std::FILE* stream) {
  return options.is_text() ? text_report(run, text_options(options, stream))
                           : aligned_table({nlohmann::json(to_json(run))});
}

/// What was written, and what to do next.
std::string last_words(const RunArguments& arguments) {
  std::string written;
  for (const std::string& path : {arguments.json, arguments.tables.csv, arguments.tables.markdown}) {
    if (!path.empty() && path != "-") written += (written.empty() ? "" : ", ") + path;
  }
  if (!arguments.export_folder.empty()) {
    written += (written.empty() ? "" : ", ") + fmt::format("targets and dispatch lists in {}", arguments.export_folder);
  }
  std::string text = written.empty() ? "" : wrap("Wrote: " + written, 0, 2);
  if (!arguments.json.empty() && arguments.json != "-") {
    return text + fmt::format("Next: tatr-sim show {} --details\n", shell_word(arguments.json));
  }
  if (arguments.report.details || !arguments.report.show.empty()) return text;
  return text + "Next: --details prints every figure; --json FILE keeps them for tatr-sim show\n";
}

/// Results together at the end: text, one JSON document, tables.
ExitCode run_report(const RunArguments& arguments, std::vector<ExperimentConfig> configs, Progress& progress) {
  if (arguments.dry_run) {
    print_plan(configs, *make_system(arguments.device), model_choice(arguments.device));
    return ExitCode::kDone;
  }
  RunPlan plan;
  plan.configs = std::move(configs);
  plan.options = run_options(arguments);
  plan.devices = devices_of(arguments);
  plan.watcher = &progress;
  std::optional<JsonSink> json;
  if (!arguments.json.empty()) plan.sinks.push_back(&json.emplace(arguments.json));  // first: nothing may cost it
  TableFiles tables(arguments.tables);
  TablesSink table_sink(tables, /*one_by_one=*/false);
  if (arguments.tables.wanted()) plan.sinks.push_back(&table_sink);
  std::FILE* stream = prints_to_stdout(arguments) ? stdout : stderr;
  TextSink text([&](const RunRecord& run) { return report_of(run, arguments.report, stream); },
                [&](const std::string& report) { print_all(report, stream); });
  if (!arguments.quiet) plan.sinks.push_back(&text);
  plan.state_words = [&](const RunState& state) {
    if (state.finished == state.experiments || state.experiments == 1) return std::string();
    return fmt::format("; {} of {} experiments {} finished{}", state.finished, state.experiments,
                       state.finished == 1 ? "is" : "are",
                       state.finished > 0 && json ? " and in " + arguments.json : "");
  };
  tell_forecast(arguments, plan, progress);
  const RunResult result = run_all(plan);
  if (!arguments.quiet && arguments.report.is_text() && result.state.finished > 0) {
    print_all(last_words(arguments), stream);
  }
  return result.code;
}

/// The one file of data, where there is one in place of configs.
std::optional<std::string> data_of(const RunArguments& arguments) {
  const auto data = std::find_if(arguments.configs.begin(), arguments.configs.end(), is_data);
  if (data == arguments.configs.end()) {
    if (arguments.save_config.empty()) return std::nullopt;
    throw UsageError("--save-config makes a config for data; " + arguments.configs.front() + " is a config already");
  }
  const bool alone = arguments.configs.size() == 1 && arguments.json.empty() && arguments.jsonl.empty() &&
                     !arguments.tables.wanted() && arguments.export_folder.empty() && !arguments.dry_run;
  if (!alone) {
    throw UsageError(*data + ": is data, no config; run it alone, with --save-config FILE, and then run that config");
  }
  return *data;
}

ExitCode run(const RunArguments& arguments) {
  check_name("--save-config", FileContent::kJson, arguments.save_config);
  if (const auto data = data_of(arguments)) return run_data(*data, arguments.overrides, arguments.save_config);
  Progress progress(arguments.quiet);
  progress.show("reading configs and what they name");
  std::vector<ExperimentConfig> configs = read_configs(arguments);
  check_outputs(arguments, configs);
  if (!arguments.dry_run) check_sources(configs);
  progress.clear();
  if (arguments.jsonl.empty() || arguments.dry_run) return run_report(arguments, std::move(configs), progress);
  return run_lines(arguments, std::move(configs), progress);
}

/// What prints more of a run's results: of its file where it writes one, else the run itself.
std::string command_for_more(const RunArguments& arguments) {
  const bool kept = !arguments.json.empty() && arguments.json != "-";
  return kept ? "tatr-sim show " + shell_word(arguments.json) : command_line();
}

/// What replaces the text on standard output is what --json - or --csv - writes there.
void take_format(RunArguments& arguments) {
  check_report_options(arguments.report);
  if (!arguments.report.is_text() && !arguments.jsonl.empty()) {
    throw UsageError("--jsonl prints no report; tatr-sim show FILE --format " + arguments.report.format +
                     " prints one");
  }
  std::string* path = arguments.report.format == "json"  ? &arguments.json
                      : arguments.report.format == "csv" ? &arguments.tables.csv
                                                         : nullptr;
  if (path == nullptr) return;
  if (!path->empty()) {
    throw UsageError(fmt::format("--format {} prints what --{} {} writes; give one of them", arguments.report.format,
                                 arguments.report.format, *path));
  }
  *path = "-";
  arguments.quiet = true;
}

/// How long to measure, as overrides that any --set of the user's own goes before. They are part of the config and of
/// its hash, so results of one kind are never taken for another.
constexpr std::array kQuick = {"/measure/samples=10", "/measure/precision=0.02", "/measure/warm_up_ms=200"};
constexpr std::array kThorough = {"/measure/samples=100", "/measure/precision=0.002", "/measure/warm_up_ms=3000"};

}  // namespace

void add_run(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<RunArguments>();
  CLI::App* command = app.add_subcommand("run", "Run experiments and report them");
  command->add_option("CONFIG", arguments->configs, "Experiment files; or one file of data, to see what it is")
      ->type_name("FILE")
      ->required();
  add_device_options(*command, arguments->device);
  CLI::Option* jsonl =
      command->add_option("--jsonl", arguments->jsonl, "Append each result as it finishes, one a line; no text report")
          ->type_name("FILE");
  CLI::Option* resume = command->add_flag("--resume", arguments->resume,
                                          "Go on with the file of --jsonl: skip the configs that it holds");
  resume->needs(jsonl);
  command->add_flag("--keep-stale", arguments->keep_stale, "With --resume: move stale results to FILE.stale.jsonl")
      ->needs(resume);
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
  command->add_flag("--dry-run", arguments->dry_run, "Print the effective config, on stderr its memory; run nothing");
  command
      ->add_option("--save-config", arguments->save_config,
                   "Of router data in place of a config: write a config for it")
      ->type_name("FILE");
  add_report_options(*command, arguments->report);
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
    action = [arguments] {
      take_format(*arguments);
      arguments->report.command = command_for_more(*arguments);
      return run(*arguments);
    };
  });
}

}  // namespace tatr
