// The subcommands. Each adds itself to the command line and, if chosen, leaves what to do in `action`; only main runs
// it.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

#include "core/error.hpp"

namespace tatr {

using Action = std::function<ExitCode()>;

/// The commands that --help lists.
inline std::vector<const CLI::App*> shown_commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

inline bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

void add_run(CLI::App& app, Action& action);
void add_advise(CLI::App& app, Action& action);
void add_show(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_merge(CLI::App& app, Action& action);
void add_validate(CLI::App& app, Action& action);
void add_schema(CLI::App& app, Action& action);
void add_compare(CLI::App& app, Action& action);
void add_device(CLI::App& app, Action& action);
void add_list(CLI::App& app, Action& action);
void add_init(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);
void add_man(CLI::App& app, Action& action);

}  // namespace tatr
