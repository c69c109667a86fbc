// What a wrong command line likely wished, and the command for it. Decides only words: whether a command is wrong is
// for the parser and for the commands themselves to say.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/error.hpp"

namespace tatr {

/// The words without the program's name; "help X" becomes "X --help". Throws UsageError where they begin with no
/// command.
std::vector<std::string> command_words(const CLI::App& app, int argc, const char* const* argv);

/// What to say of words that the parser refuses.
std::string parse_wish(const CLI::App& app, const std::vector<std::string>& words, const CLI::ParseError& error);

/// What to say of a command that was begun and failed: the error's own text where nothing better is known.
std::string failure_wish(const CLI::App& app, const std::vector<std::string>& words, const Error& error);

/// The same for one file of a command that goes on with others.
std::string file_failure_wish(const std::string& command, const std::string& path, const Error& error);

/// The name of --device that one that is none likely means; empty where none does.
std::string likely_device(const std::string& device);

}  // namespace tatr
