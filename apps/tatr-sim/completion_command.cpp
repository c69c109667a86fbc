// tatr-sim completion: prints a completion script for bash or zsh, made from the command line's own description. What
// an option takes is read from its type name: FILE, FOLDER, or words such as "bash|zsh"; anything else, such as the
// last of "cpu|cuda|cuda:N", is not completed.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "commands.hpp"

namespace tatr {

namespace {

constexpr const char* kLowerCase = "abcdefghijklmnopqrstuvwxyz";

/// "bash zsh" for the type name "bash|zsh"; empty where it has no words.
std::string words_of(const CLI::Option& option) {
  std::istringstream parts(option.get_type_name());
  std::string words;
  for (std::string part; std::getline(parts, part, '|');) {
    if (part.find_first_not_of(kLowerCase) == std::string::npos) words += (words.empty() ? "" : " ") + part;
  }
  return words;
}

std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

// --- bash ---

std::string bash_reply(const CLI::Option& option) {
  const std::string type = option.get_type_name(), words = words_of(option);
  if (type == "FILE") return "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\"))";
  if (type == "FOLDER") return "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$word\"))";
  return words.empty() ? ":" : "COMPREPLY=($(compgen -W \"" + words + "\" -- \"$word\"))";
}

std::string bash_script(const CLI::App& app) {
  std::string commands, values, options, positionals;
  const auto add = [&](const CLI::App& command, const std::string& name) {
    std::string names;
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& one : names_of(*option)) {
        names += (names.empty() ? "" : " ") + one;
        if (!is_flag(*option)) values += fmt::format("    {}:{}) {}; return ;;\n", name, one, bash_reply(*option));
      }
      if (option->get_positional()) positionals += fmt::format("    {}) {} ;;\n", name, bash_reply(*option));
    }
    options += fmt::format("      {}) COMPREPLY=($(compgen -W \"{}\" -- \"$word\")) ;;\n", name, names);
  };
  for (const CLI::App* command : shown_commands(app)) {
    commands += (commands.empty() ? "" : " ") + command->get_name();
    add(*command, command->get_name());
  }
  add(app, "''");
  std::string pattern = commands;
  std::replace(pattern.begin(), pattern.end(), ' ', '|');
  return "# bash completion of tatr-sim\n"
         "_tatr_sim() {\n"
         "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= i\n"
         "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
         "    case ${COMP_WORDS[i]} in\n"
         "      " +
         pattern +
         ") command=${COMP_WORDS[i]}; break ;;\n"
         "    esac\n"
         "  done\n"
         "  COMPREPLY=()\n"
         "  case $command:$before in\n" +
         values +
         "  esac\n"
         "  if [[ $word == -* ]]; then\n"
         "    case $command in\n" +
         options +
         "    esac\n"
         "    return\n"
         "  fi\n"
         "  case $command in\n"
         "    '') COMPREPLY=($(compgen -W \"" +
         commands + "\" -- \"$word\")) ;;\n" + positionals +
         "  esac\n"
         "}\n"
         "complete -F _tatr_sim tatr-sim\n";
}

// --- zsh ---

/// For a place within single quotes in which the characters `special` mean something.
std::string zsh_text(const std::string& text, const std::string& special) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\'') {
      escaped += "'\\''";
      continue;
    }
    if (special.find(c) != std::string::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string zsh_action(const CLI::Option& option) {
  const std::string type = option.get_type_name(), words = words_of(option);
  if (type == "FILE") return "_files";
  if (type == "FOLDER") return "_files -/";
  return words.empty() ? " " : "(" + words + ")";
}

std::string zsh_arguments(const CLI::App& app, const std::string& indent) {
  std::string specs;
  for (const CLI::Option* option : app.get_options()) {
    const std::string message = zsh_text(option->get_type_name(), ":");
    if (option->get_positional()) {
      specs += fmt::format(" \\\n{}'*:{}:{}'", indent, message, zsh_action(*option));
      continue;
    }
    for (const std::string& name : names_of(*option)) {
      specs += fmt::format(" \\\n{}'{}[{}]{}'", indent, name, zsh_text(option->get_description(), "[]:"),
                           is_flag(*option) ? "" : ":" + message + ":" + zsh_action(*option));
    }
  }
  return specs;
}

std::string zsh_script(const CLI::App& app) {
  std::string commands, cases;
  for (const CLI::App* command : shown_commands(app)) {
    commands += fmt::format(" {}\\:\"{}\"", command->get_name(), zsh_text(command->get_description(), ":\"()"));
    cases += fmt::format("    {}) _arguments{} ;;\n", command->get_name(), zsh_arguments(*command, "      "));
  }
  return "#compdef tatr-sim\n"
         "_tatr_sim() {\n"
         "  local line state\n"
         "  _arguments -C" +
         zsh_arguments(app, "    ") + " \\\n    '1:command:((" + commands.substr(1) + "))' \\\n" +
         "    '*::argument:->arguments'\n"
         "  [[ $state == arguments ]] || return\n"
         "  case $line[1] in\n" +
         cases +
         "  esac\n"
         "}\n"
         "if [[ $funcstack[1] == _tatr-sim ]]; then _tatr_sim \"$@\"; else compdef _tatr_sim tatr-sim; fi\n";
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "Print a completion script for a shell");
  command->add_option("SHELL", *shell, "bash or zsh")
      ->type_name("bash|zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}).description(""));
  command->callback([shell, &app, &action] {
    action = [shell, &app] {
      fmt::print("{}", *shell == "bash" ? bash_script(app) : zsh_script(app));
      return ExitCode::kDone;
    };
  });
}

}  // namespace tatr
