// tatr-sim advise: runs every strategy at every tile on a config's router and says which to use under a limit.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analysis/advice.hpp"
#include "commands.hpp"
#include "config/read.hpp"
#include "core/output_file.hpp"
#include "device_options.hpp"
#include "experiment/data_reading.hpp"
#include "experiment/environment.hpp"
#include "experiment/pipeline.hpp"
#include "experiment/settings.hpp"
#include "experiment/trace_checks.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "records/result_writer.hpp"
#include "report/advice_text.hpp"
#include "source/routing_source.hpp"

namespace tatr {

namespace {

struct AdviseArguments {
  std::string config, json, calibration, max_perplexity, max_dropped_mass, max_dropped_share, max_time;
  std::vector<std::string> overrides;
  DeviceOptions device;
  bool modelled = false, quiet = false;
};

/// The number before `unit`, which must end the text; nothing else may stand there.
std::optional<double> number_before(const std::string& text, const std::string& unit) {
  if (text.size() <= unit.size() || text.compare(text.size() - unit.size(), unit.size(), unit) != 0) return {};
  const std::string digits = text.substr(0, text.size() - unit.size());
  if (digits.find_first_not_of("0123456789.eE+-") != std::string::npos) return {};
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  if (end != digits.c_str() + digits.size() || !std::isfinite(value) || value < 0) return {};
  return value;
}

std::optional<double> share_of(const std::string& text) {
  const std::optional<double> percent = number_before(text, "%");
  return percent ? std::optional(*percent / 100) : std::nullopt;
}

AdviceLimits limits_of(const AdviseArguments& arguments) {
  AdviceLimits limits;
  const auto refuse = [](const char* option, const std::string& text, const char* expected) {
    throw UsageError(fmt::format("{}: '{}' is not allowed; expected {}", option, text, expected));
  };
  if (!arguments.max_perplexity.empty()) {
    limits.perplexity = share_of(arguments.max_perplexity);
    if (!limits.perplexity) refuse("--max-perplexity", arguments.max_perplexity, "a percentage such as 0.1%");
  }
  if (!arguments.max_dropped_mass.empty()) {
    limits.dropped_mass = number_before(arguments.max_dropped_mass, "");
    if (!limits.dropped_mass) refuse("--max-dropped-mass", arguments.max_dropped_mass, "a number such as 0.01");
  }
  if (!arguments.max_dropped_share.empty()) {
    limits.dropped_share = share_of(arguments.max_dropped_share);
    if (!limits.dropped_share || *limits.dropped_share > 1)
      refuse("--max-dropped-share", arguments.max_dropped_share, "a percentage such as 2%");
  }
  if (!arguments.max_time.empty()) {
    limits.time_ms = number_before(arguments.max_time, "ms");
    limits.time_share = share_of(arguments.max_time);
    if (!limits.time_ms && !limits.time_share)
      refuse("--max-time", arguments.max_time, "5.5ms, or 90% of unrounded time");
  }
  if (!limits.perplexity && !limits.dropped_mass && !limits.dropped_share && !limits.time_ms && !limits.time_share) {
    throw UsageError(
        "advise needs a limit: --max-perplexity, --max-dropped-mass, --max-dropped-share or --max-time (see --help)");
  }
  return limits;
}

nlohmann::json candidate_strategies(Known known) {
  nlohmann::json strategies = {"none",       "down",    "up",       "nearest", "adaptive",
                               "stochastic", "balance", "capacity", "dynamic"};
  if (known == Known::kScores) strategies.push_back("score");
  if (known < Known::kGates) return strategies;  // what budget looks at is not known
  for (int percent = 25; percent <= 200; percent += 25) {
    strategies.push_back({{"name", "budget"},
                          {"label", fmt::format("budget {}%", percent)},
                          {"tiles", {{"of_nearest", percent / 100.0}}}});
    if (percent > 100) continue;
    strategies.push_back({{"name", "budget"},
                          {"label", fmt::format("tiles {}%", percent)},
                          {"candidates", "tiles"},
                          {"tiles", {{"of_nearest", percent / 100.0}}}});
  }
  return strategies;
}

/// The config with the candidates for its strategies and tiles, and a layer only where its times would count.
ExperimentConfig candidates_of(const AdviseArguments& arguments, bool timed) {
  const std::vector<ExperimentConfig> configs =
      read_experiments(arguments.config, arguments.overrides, check_back_end_name);
  if (configs.size() != 1) {
    throw ConfigError({arguments.config, "/sweep"},
                      fmt::format("makes {} experiments; advise takes one", configs.size()));
  }
  const ExperimentConfig& own = configs.front();
  nlohmann::json document = nlohmann::json::parse(own.effective_json);
  document["strategies"] = candidate_strategies(shape_of(own.router).known);
  document["tile"] = {64, 128, 256};
  document["documented"] = nlohmann::json::array();
  if (!timed) document["layer"] = nullptr;
  ExperimentConfig config = parse_experiment(document, arguments.config);
  resolve_source(config);
  check_sources({config});
  return config;
}

/// With the layer where it is measured or modelled, and costs are not to be counted by tiles; `options` gets the model.
ExperimentConfig timed_candidates_of(const AdviseArguments& arguments, const System& system, RunOptions& options) {
  if (arguments.modelled) return candidates_of(arguments, false);
  const ExperimentConfig config = candidates_of(arguments, true);
  if (system.is_cuda()) return config;
  options.model = model_choice(arguments.device);
  options.verify_modelled = false;  // the times need no outputs
  return modelled_gpu(config, options.model).gpu ? config : candidates_of(arguments, false);
}

ExitCode advise_on(const AdviseArguments& arguments) {
  refuse_data(arguments.config);
  const AdviceLimits limits = limits_of(arguments);
  RunOptions options;
  if (!arguments.calibration.empty()) options.calibration = read_calibration(arguments.calibration);
  candidates_of(arguments, false);  // faults of the config come before those of the machine
  const auto system = make_system(arguments.device);
  const ExperimentConfig config = timed_candidates_of(arguments, *system, options);
  if (limits.time_ms && !config.layer) {
    throw UsageError(
        "--max-time in ms needs times: a layer in the config, and a GPU or a model of one; or give a share, 90%");
  }
  const std::string* read = config.router.source.path();
  check_apart({arguments.json}, {arguments.config, arguments.calibration, read != nullptr ? *read : ""});
  std::optional<OutputFile> json;
  if (!arguments.json.empty()) json.emplace(arguments.json);
  Progress progress(arguments.quiet);
  options.progress = [&](const std::string& doing) { progress.show(doing); };
  RunRecord record = start_record(describe_environment(*system));
  record.experiments.push_back(run_experiment(config, *system, options));
  progress.clear();
  const Advice advice = advise(record.experiments.front(), limits);
  if (!arguments.quiet) {
    std::FILE* stream = arguments.json == "-" ? stderr : stdout;
    TextOptions text;
    text.colour = takes_colour(stream);
    print_all(advice_text(advice, record.experiments.front(), text), stream);
  }
  if (json) {
    nlohmann::ordered_json result = to_json(record);
    result["advice"] = advice_json(advice, record.experiments.front());
    json->commit(result.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }
  return advice.certain ? ExitCode::kDone : ExitCode::kVerification;
}

}  // namespace

void add_advise(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<AdviseArguments>();
  CLI::App* command = app.add_subcommand("advise", "Say which strategy and tile to use under a limit");
  command->add_option("CONFIG", arguments->config, "Experiment file: its router and layer count, not its strategies")
      ->type_name("FILE")
      ->required();
  command->add_option("--max-perplexity", arguments->max_perplexity, "Highest estimated perplexity change: 0.1%")
      ->type_name("PERCENT");
  command->add_option("--max-dropped-mass", arguments->max_dropped_mass, "Highest dropped gate mass per token: 0.01")
      ->type_name("MASS");
  command
      ->add_option("--max-dropped-share", arguments->max_dropped_share,
                   "Highest share of assignments dropped, which needs no gates: 2%")
      ->type_name("PERCENT");
  command->add_option("--max-time", arguments->max_time, "Highest time with rounding: 5.5ms, or 90% of unrounded time")
      ->type_name("TIME");
  command->add_flag("--modelled", arguments->modelled,
                    "Cost by tiles alone, even where times could be measured or modelled");
  command
      ->add_option("--calibration", arguments->calibration, "Estimate perplexity by this file of scripts/calibrate.py")
      ->type_name("FILE");
  add_device_options(*command, arguments->device);
  command->add_option("--set", arguments->overrides, "Override a value of the config: --set /router/tokens=1024")
      ->type_name("POINTER=VALUE")
      ->allow_extra_args(false);
  command->add_option("--json", arguments->json, "Write all settings and the advice to this file; - is stdout")
      ->type_name("FILE");
  command->add_flag("--quiet", arguments->quiet, "No text");
  command->footer(
      "Exit codes: 0 a setting is advised; 1 none is: nothing keeps the limits, or only what the estimate\n"
      "  of perplexity is not calibrated on; 2 usage, config or input file; 3 environment.");
  command->callback([arguments, &action] { action = [arguments] { return advise_on(*arguments); }; });
}

}  // namespace tatr
