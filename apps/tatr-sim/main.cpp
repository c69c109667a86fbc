// The command line: picks a subcommand, runs it, and turns every error into one line and an exit code.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <system_error>

#include "commands.hpp"
#include "core/error.hpp"
#include "core/format.hpp"
#include "core/interrupt.hpp"
#include "core/threads.hpp"
#include "output.hpp"
#include "wishes.hpp"

namespace {

constexpr const char* kExamples = R"(Examples:
  tatr-sim run configs/documented.json                the main experiment, as text
  tatr-sim run configs/quick.json --json -            JSON on stdout, text on stderr
  tatr-sim run configs/documented.json --device cpu --set /tile=64 --set /seed=7
  tatr-sim run configs/documented.json --device model:h100
                                                      times of a GPU that is not there
  tatr-sim run configs/documented.json --dry-run      the effective config and the memory it needs
  tatr-sim advise configs/real_router.json --max-perplexity 0.1%
                                                      which strategy and tile to use
  tatr-sim show result.json --details                 what a stored result holds
  tatr-sim report result.json --html page.html        a page with tables and pictures
  tatr-sim run configs/sweep.json --jsonl s --resume  many experiments; if killed, the same goes on
  tatr-sim merge 1.jsonl 2.jsonl --csv all.csv        join results, make a table
  tatr-sim validate configs/*.json                    check without running
  tatr-sim compare base.json new.json                 what became slower or changed

Exit codes: 0 done; 1 verification failed, a regression, no advice; 2 usage, config or input file;
  3 environment (no device, memory, disk); 130 interrupted.)";

int fail(tatr::ExitCode code, std::string message) {
  std::replace(message.begin(), message.end(), '\n', ' ');  // a library's text may have several lines
  fmt::print(stderr, "tatr-sim: error: {}\n", message);
  return static_cast<int>(code);
}

/// What was printed may have got lost, if stdout is a full disk or a pipe that nobody reads.
int finish(int code) {
  std::cout.flush();
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good();
  if (written) return code;
  return fail(tatr::ExitCode::kEnvironment, "standard output: cannot be written");
}

/// The exit code, after one line for whatever went wrong.
int run(const tatr::Action& action) {
  try {
    return finish(static_cast<int>(action()));
  } catch (const tatr::Error& error) {
    return fail(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(tatr::ExitCode::kEnvironment, "out of host memory");
  } catch (const std::system_error& error) {  // of printing
    return fail(tatr::ExitCode::kEnvironment, std::string("standard output: cannot be written: ") + error.what());
  } catch (const std::exception& error) {
    return fail(tatr::ExitCode::kEnvironment, std::string("unexpected: ") + error.what());
  }
}

/// Does what the command line says. Throws UsageError where it cannot be meant.
tatr::ExitCode start(int argc, char** argv) {
  CLI::App app{
      "Simulates and measures tile-aware token rounding (TATR) for mixture-of-experts layers:\n"
      "what rounding each expert's tokens to whole GEMM tiles buys in time, and what it costs in quality."};
  app.name("tatr-sim");
  app.footer(kExamples);
  app.set_version_flag("-v,--version", tatr::version_text());
  app.set_help_all_flag("--help-all", "Print the help of every command");
  app.require_subcommand(1);
  app.get_formatter()->column_width(30);
  tatr::Action action;
  for (const auto add : {tatr::add_run, tatr::add_advise, tatr::add_init, tatr::add_show, tatr::add_compare,
                         tatr::add_report, tatr::add_merge, tatr::add_validate, tatr::add_schema, tatr::add_device,
                         tatr::add_list, tatr::add_completion, tatr::add_man}) {
    add(app, action);
  }
  std::vector<std::string> words = tatr::command_words(app, argc, argv);
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // which takes them from the back
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw tatr::UsageError(tatr::parse_wish(app, words, error));
    app.exit(error);  // --help, --version
    return tatr::ExitCode::kDone;
  }
  tatr::set_command_line(words);
  if (app.get_subcommands().front()->get_option_no_throw("--threads") != nullptr) tatr::let_idle_threads_sleep(argv);
  tatr::watch_for_interrupts();
  tatr::set_report_width(tatr::width_of(stdout));
  try {
    return action();
  } catch (const tatr::Error& error) {
    const std::string better = tatr::failure_wish(app, words, error);
    if (better == error.what()) throw;
    throw tatr::Error(error.code(), better);
  }
}

}  // namespace

int main(int argc, char** argv) {
  tatr::leave(run([&] { return start(argc, argv); }));
}
