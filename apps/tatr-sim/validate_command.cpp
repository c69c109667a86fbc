// tatr-sim validate: checks configs and the headers of their traces without running anything.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "commands.hpp"
#include "config/read.hpp"
#include "experiment/data_reading.hpp"
#include "experiment/modelled_gpu.hpp"
#include "experiment/settings.hpp"
#include "experiment/trace_checks.hpp"
#include "wishes.hpp"

namespace tatr {

namespace {

struct ValidateOptions {
  std::vector<std::string> configs, overrides;
};

ExitCode validate(const ValidateOptions& options) {
  ExitCode code = ExitCode::kDone;
  for (const std::string& path : options.configs) {
    try {
      refuse_data(path);
      const auto configs = read_experiments(path, options.overrides, [](ExperimentConfig& config) {
        resolve_source(config);
        check_settings(config);
        gpu_of_config(config);
      });
      const ExperimentConfig& first = configs.front();
      fmt::print("{}: valid ({}{} tokens, {} experts, top-{}, {} strategies, {} tiles)\n", path,
                 configs.size() > 1 ? fmt::format("{} experiments; the first: ", configs.size()) : "",
                 first.router.tokens, first.router.experts, first.router.top_k, first.strategies.size(),
                 first.tiles.size());
    } catch (const Error& error) {  // every file is looked at; the worst outcome decides
      fmt::print(stderr, "tatr-sim: error: {}\n", file_failure_wish("validate", path, error));
      code = std::max(code, error.code());
    }
  }
  return code;
}

}  // namespace

void add_validate(CLI::App& app, Action& action) {
  const auto options = std::make_shared<ValidateOptions>();
  CLI::App* command = app.add_subcommand("validate", "Check configs without running them");
  command->add_option("CONFIG", options->configs, "Experiment files")->type_name("FILE")->required();
  command->add_option("--set", options->overrides, "Override a value: --set /router/tokens=1024")
      ->type_name("POINTER=VALUE")
      ->allow_extra_args(false);
  command->callback([options, &action] { action = [options] { return validate(*options); }; });
}

}  // namespace tatr
