// tatr-sim validate: checks configs and the headers of their traces without running anything.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "commands.hpp"
#include "config/read.hpp"
#include "experiment.hpp"

namespace tatr {

namespace {

struct ValidateOptions {
  std::vector<std::string> configs, overrides;
};

ExitCode validate(const ValidateOptions& options) {
  ExitCode code = ExitCode::kDone;
  for (const std::string& path : options.configs) {
    try {
      ExperimentConfig config = read_experiment(path, options.overrides);
      resolve_trace(config);
      fmt::print("{}: valid ({} tokens, {} experts, top-{}, {} strategies, {} tiles)\n", path, config.router.tokens,
                 config.router.experts, config.router.top_k, config.strategies.size(), config.tiles.size());
    } catch (const Error& error) {  // every file is looked at; the worst outcome decides
      fmt::print(stderr, "tatr-sim: error: {}\n", error.what());
      code = error.code();
    }
  }
  return code;
}

}  // namespace

void add_validate(CLI::App& app, Action& action) {
  const auto options = std::make_shared<ValidateOptions>();
  CLI::App* command = app.add_subcommand("validate", "Check configs without running them");
  command->add_option("CONFIG", options->configs, "Experiment files")->type_name("FILE")->required();
  command
      ->add_option("--set", options->overrides, "Override a value: --set /router/tokens=1024")

      ->type_name("POINTER=VALUE")
      ->allow_extra_args(false);
  command->callback([options, &action] { action = [options] { return validate(*options); }; });
}

}  // namespace tatr
