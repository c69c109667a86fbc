// tatr-sim man: prints the man pages, made from the command line's own description and from the schema of configs, so
// that they say what this program does. Pages: tatr-sim(1), one a subcommand, tatr-sim-config(5). Installing runs it.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "config/experiment_schema.hpp"
#include "core/format.hpp"
#include "core/output_file.hpp"
#include "core/version.hpp"
#include "json/json_text.hpp"
#include "json/schema_walk.hpp"

namespace tatr {

namespace {

using Ordered = nlohmann::ordered_json;

// --- roff ---

/// The text in ASCII, with nothing that roff takes for its own.
std::string escaped(const std::string& text) {
  std::string result;
  for (std::size_t at = 0, bytes = 0; at < text.size(); at += bytes) {
    const std::uint32_t code = code_point(text, at, bytes);
    if (code == U'\\') {
      result += "\\e";
    } else if (code == U'-') {
      result += "\\-";
    } else if (code == U'"') {
      result += "\\(dq";
    } else if (code == U'\'') {
      result += "\\(aq";
    } else if (code == U'^') {
      result += "\\(ha";
    } else if (code == U'~') {
      result += "\\(ti";
    } else if (code < 0x80) {
      result += static_cast<char>(code);
    } else {
      result += fmt::format("\\[u{:04X}]", code);
    }
  }
  return result;
}

std::string bold(const std::string& text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + escaped(text) + "\\fR"; }

/// Filled text: roff joins its lines, none of which is long or begins as a request does.
std::string paragraph(const std::string& text) {
  std::istringstream words(escaped(text));
  std::string result, line;
  const auto end_line = [&] {
    if (!line.empty()) result += (line.front() == '.' ? "\\&" : "") + line + "\n";
    line.clear();
  };
  for (std::string word; words >> word;) {
    if (line.size() + word.size() > 76) end_line();
    line += (line.empty() ? "" : " ") + word;
  }
  end_line();
  return result;
}

/// Text as it stands.
std::string example(const std::string& text) {
  std::istringstream lines(text);
  std::string result = ".PP\n.nf\n";
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) result += "\\&" + escaped(line) + "\n";
  }
  return result + ".fi\n";
}

std::string title(const std::string& name, int section) {
  std::string upper = name;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  return fmt::format(".TH {} {} {} \"tatr\\-sim {}\" \"tatr\\-sim manual\"\n", escaped(upper), section, program_date(),
                     program_version());
}

std::string name_section(const std::string& name, const std::string& what) {
  return ".SH NAME\n" + escaped(name) + " \\-\n" + paragraph(what);
}

std::string see_also(const std::vector<std::string>& pages) {
  std::string text = ".SH SEE ALSO\n";
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const std::size_t section = pages[i].find('(');
    text += ".BR " + escaped(pages[i].substr(0, section)) + " " + pages[i].substr(section) +
            (i + 1 < pages.size() ? ",\n" : "\n");
  }
  return text;
}

// --- pages of commands ---

struct Footer {
  std::string examples, exit_codes;
};

/// The two parts of what `--help` ends in.
Footer footer_of(const CLI::App& app) {
  const std::string text = app.get_footer();
  const std::size_t codes = text.find("Exit codes: ");
  if (codes == std::string::npos) return {text, {}};
  const std::size_t first = text.find('\n') + 1;  // behind "Examples:"
  return {text.substr(first, codes - first), text.substr(codes + std::string("Exit codes: ").size())};
}

/// "Needs --jsonl." and the like.
std::string relations(const CLI::Option& option) {
  const auto names = [](const std::set<CLI::Option*>& others) {
    std::string text;
    for (const CLI::Option* other : others) text += (text.empty() ? "" : ", ") + other->get_name();
    return text;
  };
  std::string text;
  if (!option.get_needs().empty()) text += " Needs " + names(option.get_needs()) + ".";
  if (!option.get_excludes().empty()) text += " Not with " + names(option.get_excludes()) + ".";
  if (option.get_items_expected_max() > 1 && !option.get_positional()) text += " May be repeated.";
  return text;
}

std::string option_entry(const CLI::Option& option) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + bold(name); };
  for (const std::string& name : option.get_snames()) add("-" + name);
  for (const std::string& name : option.get_lnames()) add("--" + name);
  if (option.get_positional()) names = italic(option.get_name(true));
  if (!is_flag(option) && !option.get_positional()) names += " " + italic(option.get_type_name());
  std::string text = option.get_description();
  if (!text.empty() && text.back() != '.') text += ".";
  return ".TP\n" + names + "\n" + paragraph(text + relations(option));
}

std::string options_section(const CLI::App& app) {
  std::string text = ".SH OPTIONS\n";
  for (const bool positional : {true, false}) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_positional() == positional && !option->get_group().empty()) text += option_entry(*option);
    }
  }
  return text;
}

std::string synopsis(const CLI::App& command) {
  std::string text = ".SH SYNOPSIS\n" + bold("tatr-sim " + command.get_name()) + "\n[" + italic("OPTION") + " ...]\n";
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    const std::string many = option->get_items_expected_max() > 1 ? " ..." : "";
    const std::string name = italic(option->get_name(true)) + many;
    text += option->get_required() ? name + "\n" : "[" + name + "]\n";
  }
  return text;
}

/// Lines of the examples that are of one command, with what they are followed by.
std::string examples_of(const std::string& examples, const std::string& command) {
  std::istringstream lines(examples);
  std::string result;
  bool taken = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("  tatr-sim ", 0) == 0) taken = line.rfind("  tatr-sim " + command + " ", 0) == 0;
    if (taken) result += line + "\n";
  }
  return result;
}

constexpr const char* kExitCodes = "Exit codes: ";

/// What a command's own help ends in, unless that is its exit codes: a title, "Sections of --show:", and lines, or
/// text.
std::string notes_section(const CLI::App& command) {
  const std::string footer = command.get_footer();
  if (footer.empty() || footer.starts_with(kExitCodes)) return {};
  const std::size_t line = footer.find('\n');
  const bool titled = line != std::string::npos && footer[line - 1] == ':';
  if (!titled) return ".SH NOTES\n" + paragraph(footer);
  std::string head = footer.substr(0, footer.find(' '));  // without what a capital letter would change
  std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) { return std::toupper(c); });
  return ".SH " + escaped(head) + "\n" + example(footer.substr(line + 1)).substr(4);
}

std::string command_page(const CLI::App& app, const CLI::App& command) {
  const Footer footer = footer_of(app);
  const std::string name = "tatr-sim-" + command.get_name();
  std::string what = command.get_description();
  what = what.substr(0, what.find('\n'));
  std::string text = title(name, 1) + name_section(name, what) + synopsis(command) + ".SH DESCRIPTION\n" +
                     paragraph(command.get_description() + ".") + options_section(command);
  text += notes_section(command);
  const std::string examples = examples_of(footer.examples, command.get_name());
  if (!examples.empty()) text += ".SH EXAMPLES\n" + example(examples).substr(4);
  const std::string own = command.get_footer();
  const bool of_its_own = own.starts_with(kExitCodes);
  text += ".SH EXIT STATUS\n" + paragraph(of_its_own ? own.substr(std::strlen(kExitCodes)) : footer.exit_codes);
  return text + see_also({"tatr-sim(1)", "tatr-sim-config(5)"});
}

std::string main_page(const CLI::App& app) {
  const Footer footer = footer_of(app);
  std::string text = title("tatr-sim", 1) + name_section("tatr-sim", "simulate and measure tile-aware token rounding") +
                     ".SH SYNOPSIS\n" + bold("tatr-sim") + "\n" + italic("COMMAND") + "\n[" + italic("ARGUMENT") +
                     " ...]\n.SH DESCRIPTION\n" + paragraph(app.get_description()) + ".SH COMMANDS\n";
  std::vector<std::string> others;
  for (const CLI::App* command : shown_commands(app)) {
    text += ".TP\n" + bold(command->get_name()) + "\n" + paragraph(command->get_description() + ".");
    others.push_back("tatr-sim-" + command->get_name() + "(1)");
  }
  others.emplace_back("tatr-sim-config(5)");
  text += options_section(app) + ".SH EXAMPLES\n" + example(footer.examples).substr(4) + ".SH EXIT STATUS\n" +
          paragraph(footer.exit_codes);
  return text + see_also(others);
}

// --- the page of configs ---

class ConfigPage {
 public:
  ConfigPage() : schema_(Ordered::parse(experiment_schema_text())), plain_(nlohmann::json(schema_)) {}

  std::string text() {
    text_ = title("tatr-sim-config", 5) + name_section("tatr-sim-config", "experiment files of tatr-sim") +
            ".SH DESCRIPTION\n" +
            paragraph(
                "An experiment file is a JSON object. Its keys are named by JSON pointers below; * stands for any "
                "place of a list. tatr-sim validate checks a file, tatr-sim run --dry-run prints it with all defaults, "
                "and tatr-sim schema prints the JSON Schema that this page is made from.") +
            ".SH KEYS\n";
    add_object(schema_, "");
    text_ +=
        ".SH EXAMPLES\n" + example(R"({ "name": "example", "router": { "tokens": 16384, "experts": 256, "top_k": 8 },
  "tile": [64, 128],
  "strategies": ["none", "nearest", {"name": "budget", "tiles": {"of_nearest": 0.5}}] })")
                               .substr(4);
    return text_ + see_also({"tatr-sim(1)", "tatr-sim-run(1)", "tatr-sim-validate(1)"});
  }

 private:
  const Ordered& resolved(const Ordered& schema) const {
    if (!schema.is_object() || !schema.contains("$ref")) return schema;
    return schema_.at(Ordered::json_pointer(schema["$ref"].get<std::string>().substr(1)));
  }

  /// A key, then what it may hold in turn.
  void add_key(const std::string& pointer, const Ordered& property, bool required) {
    const Ordered& schema = resolved(property);
    const auto find = [&](const char* key) -> const Ordered* {
      if (property.contains(key)) return &property[key];
      return schema.contains(key) ? &schema[key] : nullptr;
    };
    const Ordered* description = find("description");
    const Ordered* standard = find("default");
    std::string text = description == nullptr ? "" : description->get<std::string>() + ". ";
    text += "Allowed: " + schema_in_words(plain_, nlohmann::json(property)) + ".";
    if (standard != nullptr) text += " Default: " + brief_json(nlohmann::json(*standard)) + ".";
    if (required) text += " Required.";
    if (!told_.insert(pointer + text).second) return;  // options that several strategies share
    text_ += ".TP\n" + bold(pointer) + "\n" + paragraph(text);
    add_object(schema, pointer);
  }

  void add_object(const Ordered& reference, const std::string& pointer) {
    const Ordered& schema = resolved(reference);
    if (!schema.is_object()) return;
    if (schema.contains("properties")) {
      const Ordered required = schema.value("required", Ordered::array());
      for (const auto& [name, property] : schema["properties"].items()) {
        if (!property.is_object()) continue;  // true: told before
        if (pointer.empty()) text_ += ".SS " + escaped(name) + "\n";
        add_key(child_pointer(pointer, name), property,
                std::find(required.begin(), required.end(), Ordered(name)) != required.end());
      }
    }
    if (schema.contains("oneOf")) {
      for (const Ordered& branch : schema["oneOf"]) add_object(branch, pointer);
    }
    if (schema.contains("allOf")) {
      for (const Ordered& branch : schema["allOf"]) add_branch(branch, pointer);
    }
    if (schema.contains("items")) add_object(schema["items"], pointer + "/*");
  }

  /// What a source or strategy of some names has beside.
  void add_branch(const Ordered& branch, const std::string& pointer) {
    if (!branch.contains("if") || !branch.contains("then")) return;
    std::string names;
    for (const auto& [key, condition] : branch["if"]["properties"].items()) {
      const Ordered list = condition.contains("const") ? Ordered::array({condition["const"]}) : condition["enum"];
      for (const Ordered& name : list) names += (names.empty() ? key + " " : ", ") + name.get<std::string>();
    }
    const std::string before = std::exchange(text_, {});
    add_object(branch["then"], pointer);
    const std::string added = std::exchange(text_, before);
    if (!added.empty()) text_ += ".PP\n" + paragraph("Where " + pointer + " has the " + names + ":") + added;
  }

  Ordered schema_;
  nlohmann::json plain_;
  std::string text_;
  std::set<std::string> told_;
};

// --- all pages ---

struct Page {
  std::string name;  // what the command line calls it
  std::string file;
  std::string text;
};

std::vector<Page> pages_of(const CLI::App& app) {
  std::vector<Page> pages{{"tatr-sim", "tatr-sim.1", main_page(app)}};
  for (const CLI::App* command : shown_commands(app)) {
    pages.push_back({command->get_name(), "tatr-sim-" + command->get_name() + ".1", command_page(app, *command)});
  }
  pages.push_back({"config", "tatr-sim-config.5", ConfigPage().text()});
  return pages;
}

void print_page(const std::vector<Page>& pages, const std::string& name) {
  std::vector<std::string> names;
  for (const Page& page : pages) {
    if (page.name == name) {
      fmt::print("{}", page.text);
      return;
    }
    names.push_back(page.name);
  }
  const std::string near = nearest_name(name, names);
  throw UsageError(fmt::format("man: there is no page '{}'; there are {}{}", name, fmt::join(names, ", "),
                               near.empty() ? "" : "; did you mean '" + near + "'?"));
}

void write_pages(const std::vector<Page>& pages, const std::string& folder) {
  for (const Page& page : pages) {
    OutputFile(folder + "/" + page.file).commit(page.text);
  }
}

}  // namespace

void add_man(CLI::App& app, Action& action) {
  const auto name = std::make_shared<std::string>("tatr-sim");
  const auto folder = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("man", "Print a man page, for man -l -");
  command->add_option("PAGE", *name, "A command, or config (default: the page of the program)")->type_name("NAME");
  command->add_option("--out", *folder, "Write all pages to this folder instead")->type_name("FOLDER");
  command->callback([name, folder, &app, &action] {
    action = [name, folder, &app] {
      if (folder->empty()) {
        print_page(pages_of(app), *name);
      } else {
        write_pages(pages_of(app), *folder);
      }
      return ExitCode::kDone;
    };
  });
}

}  // namespace tatr
