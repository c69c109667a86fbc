// tatr-sim advise: runs every strategy at every tile on a config's router and says which to use under a limit.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analysis/advice.hpp"
#include "commands.hpp"
#include "config/read.hpp"
#include "core/format.hpp"
#include "core/output_file.hpp"
#include "device_options.hpp"
#include "experiment/data_reading.hpp"
#include "experiment/environment.hpp"
#include "experiment/memory_estimate.hpp"
#include "experiment/modelled_gpu.hpp"
#include "experiment/pipeline.hpp"
#include "experiment/settings.hpp"
#include "experiment/time_estimate.hpp"
#include "experiment/trace_checks.hpp"
#include "file_kinds.hpp"
#include "forecast.hpp"
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
  bool modelled = false, uncalibrated = false, details = false, quiet = false;
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

/// What is expected, with what the text may have meant: a number without a unit is either of two.
std::string percentage_words(const std::string& text, const char* example) {
  std::string words = std::string("a percentage such as ") + example;
  const std::optional<double> number = number_before(text + "%", "%");
  if (!number) return words + ", with a point and not below 0";
  return words + fmt::format("; {}% or, as a share, {:g}%?", text, *number * 100);
}

std::string time_words(const std::string& text) {
  const std::string words = "5.5ms, or 90% of unrounded time";
  std::string digits = text;
  std::erase(digits, ' ');
  if (const auto spaced = number_before(digits, "ms"); spaced && digits != text)
    return words + "; " + digits + ", without a blank?";
  const std::optional<double> number = number_before(text + "%", "%");
  if (!number) return words;
  return words + (*number <= 1 ? fmt::format("; {:g}%?", *number * 100) : fmt::format("; {}ms or {}%?", text, text));
}

AdviceLimits limits_of(const AdviseArguments& arguments) {
  AdviceLimits limits;
  const auto refuse = [](const char* option, const std::string& text, const std::string& expected) {
    throw UsageError(fmt::format("{}: '{}' is not allowed; expected {}", option, text, expected));
  };
  if (!arguments.max_perplexity.empty()) {
    limits.perplexity = share_of(arguments.max_perplexity);
    if (!limits.perplexity)
      refuse("--max-perplexity", arguments.max_perplexity, percentage_words(arguments.max_perplexity, "0.1%"));
  }
  if (!arguments.max_dropped_mass.empty()) {
    limits.dropped_mass = number_before(arguments.max_dropped_mass, "");
    if (!limits.dropped_mass)
      refuse("--max-dropped-mass", arguments.max_dropped_mass, "a number such as 0.01, without a unit");
  }
  if (!arguments.max_dropped_share.empty()) {
    limits.dropped_share = share_of(arguments.max_dropped_share);
    if (!limits.dropped_share || *limits.dropped_share > 1)
      refuse("--max-dropped-share", arguments.max_dropped_share,
             percentage_words(arguments.max_dropped_share, "2%") + ", at most 100%");
  }
  if (!arguments.max_time.empty()) {
    limits.time_ms = number_before(arguments.max_time, "ms");
    limits.time_share = share_of(arguments.max_time);
    if (!limits.time_ms && !limits.time_share) refuse("--max-time", arguments.max_time, time_words(arguments.max_time));
  }
  if (!limits.perplexity && !limits.dropped_mass && !limits.dropped_share && !limits.time_ms && !limits.time_share) {
    throw UsageError(
        "advise needs a limit: --max-perplexity 0.1%, --max-dropped-mass 0.01, --max-dropped-share 2% or --max-time "
        "90%");
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

/// The one experiment of the config, as it says it itself.
ExperimentConfig own_config(const AdviseArguments& arguments) {
  std::vector<ExperimentConfig> configs = read_experiments(arguments.config, arguments.overrides, check_back_end_name);
  if (configs.size() == 1) return std::move(configs.front());
  throw ConfigError(
      {arguments.config, "/sweep"},
      fmt::format("makes {} experiments; advise takes one, such as --set /sweep={{}} leaves", configs.size()));
}

/// What of a config cannot be tried beside the candidates, for people.
struct LeftOut {
  std::vector<std::string> what;
  std::string words() const { return fmt::format("{}", fmt::join(what, "; ")); }
};

/// Strategies of the config that are not among the candidates, under their own labels.
void add_own_strategies(nlohmann::json& strategies, const ExperimentConfig& own, const ExperimentConfig& candidates,
                        LeftOut& left_out) {
  const nlohmann::json spelled = nlohmann::json::parse(own.effective_json)["strategies"];
  for (std::size_t i = 0; i < own.strategies.size(); ++i) {
    const StrategyConfig& strategy = own.strategies[i];
    const auto same = [&](const StrategyConfig& other) { return other.canonical == strategy.canonical; };
    if (std::ranges::any_of(candidates.strategies, same)) continue;
    const auto* budget = std::get_if<BudgetOptions>(&strategy.options);
    const auto* waves = budget == nullptr ? nullptr : std::get_if<BudgetWaves>(&budget->tiles);
    if ((waves != nullptr && !waves->sms) || spelled[i].contains("added_gate")) {
      left_out.what.push_back(
          fmt::format("strategy {} ({})", strategy.label,
                      waves != nullptr ? "its waves depend on the GPU" : "its added_gate is its own"));
      continue;
    }
    nlohmann::json one = spelled[i];
    const auto taken = [&](const StrategyConfig& other) { return other.label == strategy.label; };
    if (std::ranges::any_of(candidates.strategies, taken)) one["label"] = strategy.label + " (config)";
    strategies.push_back(one);
  }
}

ExperimentConfig with_candidates(const AdviseArguments& arguments, nlohmann::json document, bool timed) {
  if (!timed) document["layer"] = nullptr;
  ExperimentConfig config = parse_experiment(document, arguments.config);
  resolve_source(config);
  return config;
}

/// Of the config's own tiles, those that the layer can be timed at with the device, or all where it is not timed.
nlohmann::json tiles_to_try(const AdviseArguments& arguments, const ExperimentConfig& own, nlohmann::json document,
                            bool timed, const std::function<void(const ExperimentConfig&)>& check, LeftOut& left_out) {
  std::vector<std::int64_t> tiles = {64, 128, 256};
  for (const std::int64_t tile : own.tiles) {
    if (std::ranges::find(tiles, tile) != tiles.end()) continue;
    document["tile"] = {tile};
    try {
      check(with_candidates(arguments, document, timed));
      tiles.push_back(tile);
    } catch (const ConfigError&) {
      left_out.what.push_back(fmt::format("tile {}, at which this layer cannot be timed", tile));
    }
  }
  std::ranges::sort(tiles);
  return tiles;
}

/// The config with the candidates for its strategies and tiles beside its own, and a layer only where its times would
/// count. `check` throws ConfigError where the device cannot take a setting.
ExperimentConfig candidates_of(
    const AdviseArguments& arguments, bool timed, LeftOut& left_out,
    const std::function<void(const ExperimentConfig&)>& check = [](const ExperimentConfig&) {}) {
  const ExperimentConfig own = own_config(arguments);
  nlohmann::json document = nlohmann::json::parse(own.effective_json);
  document["strategies"] = candidate_strategies(shape_of(own.router).known);
  document["tile"] = {64, 128, 256};
  document["documented"] = nlohmann::json::array();
  left_out = {};
  add_own_strategies(document["strategies"], own, with_candidates(arguments, document, timed), left_out);
  document["tile"] = tiles_to_try(arguments, own, document, timed, check, left_out);
  ExperimentConfig config = with_candidates(arguments, document, timed);
  check_sources({config});
  return config;
}

/// With the layer where it is measured or modelled, and costs are not to be counted by tiles; `options` gets the model.
ExperimentConfig timed_candidates_of(const AdviseArguments& arguments, const System& system, RunOptions& options,
                                     LeftOut& left_out) {
  if (arguments.modelled) return candidates_of(arguments, false, left_out);
  if (system.is_cuda()) {
    return candidates_of(arguments, true, left_out,
                         [&](const ExperimentConfig& config) { check_settings(config, system.device()); });
  }
  options.model = model_choice(arguments.device);
  options.verify_modelled = false;  // the times need no outputs
  const auto on_model = [&](const ExperimentConfig& config) {
    if (const auto gpu = modelled_gpu(config, options.model).gpu)
      check_settings(computed_beside(config, *gpu), system.device());
    if (!modelled_gpu(config, options.model).warning.empty()) throw ConfigError(arguments.config, "cannot be modelled");
  };
  ExperimentConfig config = candidates_of(arguments, true, left_out, on_model);
  return modelled_gpu(config, options.model).gpu ? std::move(config) : candidates_of(arguments, false, left_out);
}

/// Where a CPU would compute the config's whole layer for longer than people like to wait, how long that is for one
/// setting beside `none`, or that it does not fit; else empty.
std::string long_wait(const ExperimentConfig& own, System& system, const ModelChoice& model) {
  constexpr double kShort = 5.0;
  if (system.is_cuda() || !own.layer || !computes_whole_layer(own)) return {};
  if (!modelled_gpu(own, model).gpu) {
    try {
      check_memory(own, system);
    } catch (const OutOfMemoryError&) {
      return "has not the memory for the whole one";
    }
  }
  const double all = estimate_seconds({own}, system, model).front();
  const double seconds = all * 2 / static_cast<double>(settings_of(own).size());
  return seconds > kShort ? "would compute the whole one for " + about(seconds) : "";
}

/// The command that goes on with the answer, and why it has a smaller layer for the CPU where it has one.
struct NextCommand {
  std::string text, note;
};

NextCommand with_smaller_layer(NextCommand command, const LayerConfig& layer, const std::string& wait, bool modelled) {
  command.text += " --set " + shell_word("/layer/cpu=" + smaller_layer(layer));
  command.note =
      fmt::format("/layer/cpu: outputs are checked on a smaller layer; this CPU {}. Times are of the {} one.", wait,
                  modelled ? "whole" : "smaller");
  return command;
}

std::string next_command(const AdviseArguments& arguments) {
  std::string command = "tatr-sim run " + shell_word(arguments.config);
  if (arguments.device.device != "auto") command += " --device " + shell_word(arguments.device.device);
  if (!arguments.calibration.empty()) command += " --calibration " + shell_word(arguments.calibration);
  for (const std::string& one : arguments.overrides) command += " --set " + shell_word(one);
  return command;
}

ExitCode advise_on(const AdviseArguments& arguments) {
  refuse_data(arguments.config);
  const AdviceLimits limits = limits_of(arguments);
  RunOptions options;
  if (!arguments.calibration.empty()) options.calibration = read_calibration(arguments.calibration);
  LeftOut left_out;
  candidates_of(arguments, false, left_out);  // faults of the config come before those of the machine
  const auto system = make_system(arguments.device);
  const ExperimentConfig config = timed_candidates_of(arguments, *system, options, left_out);
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
  ExperimentConfig own = own_config(arguments);
  const Advice advice =
      advise(record.experiments.front(), limits, arguments.uncalibrated, own.layer && own.layer->training);
  if (!arguments.quiet) {
    NextCommand next{next_command(arguments), ""};
    resolve_source(own);
    if (const std::string wait = long_wait(own, *system, options.model); !wait.empty()) {
      next = with_smaller_layer(std::move(next), *own.layer, wait, modelled_gpu(own, options.model).gpu.has_value());
    }
    std::FILE* stream = arguments.json == "-" ? stderr : stdout;
    const AdviceTextOptions text{takes_colour(stream), arguments.details, record.environment.device,
                                 left_out.words(),     next.text,         next.note};
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
  command->add_option("CONFIG", arguments->config, "Experiment file; its tiles and strategies are tried among others")
      ->type_name("FILE")
      ->required();
  command->add_option("--max-perplexity", arguments->max_perplexity, "Highest estimated perplexity change: 0.1%")
      ->type_name("PERCENT");
  command->add_option("--max-dropped-mass", arguments->max_dropped_mass, "Highest lost gate mass per token: 0.01")
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
  command->add_flag("--uncalibrated", arguments->uncalibrated,
                    "Name settings beyond the estimate's calibration, too, marked *");
  command->add_flag("--details", arguments->details, "The whole Pareto front, and what was left out and why");
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
