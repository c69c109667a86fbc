// tatr-sim schema: prints the JSON Schema of configs or of results.
#include <fmt/format.h>

#include <memory>

#include "commands.hpp"
#include "config/experiment_schema.hpp"
#include "records/result_schema.hpp"

namespace tatr {

void add_schema(CLI::App& app, Action& action) {
  const auto result = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("schema", "Print the JSON Schema of experiment files");
  command->add_flag("--result", *result, "The schema of results instead");
  command->callback([result, &action] {
    action = [result] {
      fmt::print("{}", *result ? result_schema_text() : experiment_schema_text());
      return ExitCode::kDone;
    };
  });
}

}  // namespace tatr
