#include "wishes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "config/override_hints.hpp"
#include "core/format.hpp"
#include "experiment/data_reading.hpp"
#include "file_kinds.hpp"
#include "json/schema_walk.hpp"
#include "model/gpu_model.hpp"
#include "shipped_configs.hpp"

namespace tatr {

namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

/// What people call what a command here does.
constexpr std::array<std::pair<const char*, const char*>, 24> kOtherNames = {{
    {"simulate", "run"},  {"sim", "run"},        {"start", "run"},        {"exec", "run"},       {"execute", "run"},
    {"bench", "run"},     {"measure", "run"},    {"check", "validate"},   {"lint", "validate"},  {"diff", "compare"},
    {"cmp", "compare"},   {"html", "report"},    {"page", "report"},      {"join", "merge"},     {"combine", "merge"},
    {"concat", "merge"},  {"devices", "device"}, {"gpu", "device"},       {"new", "init"},       {"create", "init"},
    {"template", "init"}, {"print", "show"},     {"recommend", "advise"}, {"suggest", "advise"},
}};

Words names_of_commands(const CLI::App& app) {
  Words names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* one) { return !one->get_name().empty(); })) {
    names.push_back(command->get_name());
  }
  return names;
}

bool has_word(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string line_of(const Words& words) {
  std::string line = "tatr-sim";
  for (const std::string& word : words) line += " " + shell_word(word);
  return line;
}

std::string line_of(const std::string& command, const Words& words, std::size_t from) {
  Words line = {command};
  line.insert(line.end(), words.begin() + static_cast<std::ptrdiff_t>(std::min(from, words.size())), words.end());
  return line_of(line);
}

bool is_option(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

std::string name_of_option(const std::string& word) { return word.substr(0, word.find('=')); }

const CLI::App* command_of(const CLI::App& app, const Words& words) {
  if (words.empty() || !has_word(names_of_commands(app), words[0])) return nullptr;
  return app.get_subcommand(words[0]);
}

/// The command that has this option, where one has.
std::string owner_of(const CLI::App& app, const std::string& option) {
  for (const std::string& name : names_of_commands(app)) {
    if (app.get_subcommand(name)->get_option_no_throw(option) != nullptr) return name;
  }
  return {};
}

std::string command_for(FileKind kind, const std::string& path, const Words& words) {
  switch (kind) {
    case FileKind::kResult:
    case FileKind::kResults:
      return path + " is a result: " + line_of("show", words, 0) + " prints it";
    case FileKind::kDevice:
      return path + " is a device file: " + line_of("device", words, 0) +
             " prints it, tatr-sim run CONFIG --device model:" + path + " models it";
    case FileKind::kModelConfig:
      return path + " is the config of a model: tatr-sim init --from " + path + " makes an experiment of it";
    default:
      return line_of("run", words, 0);
  }
}

std::string without_command(const CLI::App& app, const Words& words) {
  const std::string& first = words[0];
  if (is_option(first)) {
    const Words names = names_of_commands(app);
    const auto command =
        std::find_if(words.begin(), words.end(), [&](const auto& word) { return has_word(names, word); });
    const std::string option = name_of_option(first);
    if (command != words.end() && app.get_subcommand(*command)->get_option_no_throw(option) != nullptr) {
      Words line(command, words.end());
      line.insert(line.end(), words.begin(), command);
      return option + " stands after the command: " + line_of(line);
    }
    const std::string owner = owner_of(app, option);
    if (owner.empty()) return "'" + first + "' is no option of tatr-sim itself; tatr-sim --help lists its commands";
    Words with_config = {"CONFIG"};
    with_config.insert(with_config.end(), words.begin(), words.end());
    const bool named = std::any_of(words.begin(), words.end(), [](const auto& word) { return fs::exists(word); });
    return "no command; did you mean " + (named ? line_of(owner, words, 0) : line_of(owner, with_config, 0)) + "?";
  }
  if (first == "version") return "'version' is no command; tatr-sim --version prints it";
  if (first == "plot" || first == "draw") {
    return "'" + first + "' is no command; scripts/plot.py " + (words.size() > 1 ? shell_word(words[1]) : "RESULT") +
           " draws pictures of a result";
  }
  if (first == "convert") {
    return "'convert' is no command; scripts/convert_trace.py " + (words.size() > 1 ? shell_word(words[1]) : "IN") +
           " OUT.safetensors makes a trace that can be read";
  }
  const FileKind kind = kind_of_file(first);
  if (kind != FileKind::kMissing) return "no command before " + first + "; " + command_for(kind, first, words);
  std::string likely = nearest_name(first, names_of_commands(app));
  for (const auto& [other, name] : kOtherNames) {
    if (first == other) likely = name;
  }
  if (!likely.empty()) {
    return fmt::format("'{}' is no command; did you mean '{}', {}?", first, likely, line_of(likely, words, 1));
  }
  return fmt::format("'{}' is no command; there are {} (tatr-sim --help)", first,
                     fmt::join(names_of_commands(app), ", "));
}

// --- what the parser refuses ---

std::string value_after(const Words& words, std::size_t at) {
  const std::size_t equals = words[at].find('=');
  if (equals != std::string::npos) return words[at].substr(equals + 1);
  return at + 1 < words.size() && !is_option(words[at + 1]) ? words[at + 1] : "VALUE";
}

std::string unknown_option(const CLI::App& app, const CLI::App& command, const Words& words, std::size_t at) {
  const std::string option = name_of_option(words[at]), value = value_after(words, at);
  const std::string head = fmt::format("'{}' is no option of tatr-sim {}; ", option, command.get_name());
  const std::string key =
      option.substr(option.find_first_not_of('-') == std::string::npos ? 1 : option.find_first_not_of('-'));
  if (option == "--html")
    return head + "tatr-sim report RESULT --html " + shell_word(value) + " makes a page of a result";
  const bool sets = command.get_option_no_throw("--set") != nullptr;
  if (const std::string pointer = key.size() > 1 ? pointer_of_key(key) : ""; sets && !pointer.empty()) {
    const std::string meant = pointer == "/strategies" ? "[\"none\",\"" + value + "\"]" : value;
    return head + "the config says it, and " + set_option(pointer, meant) + " overrides it";
  }
  if (key == "csv" || key == "markdown") {
    return head + "--json FILE keeps its result, tatr-sim merge FILE --" + key + " " + shell_word(value) +
           " makes a table";
  }
  Words names;
  for (const CLI::Option* one : command.get_options()) {
    for (const std::string& name : one->get_lnames()) names.push_back("--" + name);
  }
  Words alike;  // "--perplexity" for "--max-perplexity"
  for (const std::string& name : names) {
    if (key.size() > 3 && name.ends_with("-" + key)) alike.push_back(name);
  }
  const std::string near = alike.size() == 1 ? alike[0] : nearest_name("--" + key, names);
  const std::string owner = owner_of(app, option);
  if (!owner.empty()) return fmt::format("{}it is an option of tatr-sim {}", head, owner);
  if (key.size() > 1 && !near.empty()) return head + "did you mean '" + near + "'?";
  return fmt::format("{}tatr-sim {} --help lists them", head, command.get_name());
}

std::string missing_word(const CLI::App& command, const Words& words, const std::string& what) {
  const std::string& name = command.get_name();
  const auto says = [&](const std::string& how) { return what + " is missing: " + how; };
  if (what == "CONFIG") {
    const std::string limit = name == "advise" ? " --max-perplexity 0.1%" : "";
    return says(fmt::format("tatr-sim {} CONFIG{}, such as configs/quick.json (tatr-sim list configs names more)", name,
                            limit));
  }
  if (what == "RESULT") {
    const std::string page = name == "report" ? " --html page.html" : "";
    return says(fmt::format("tatr-sim {} RESULT{}; tatr-sim run CONFIG --json RESULT makes one", name, page));
  }
  if (what == "--html") return says(line_of(words) + " --html page.html");
  if (what == "SHELL") return says("tatr-sim completion bash, or zsh");
  return says(fmt::format("tatr-sim {} --help", name));
}

std::string missing_value(const CLI::App& command, const Words& words, const std::string& option) {
  const CLI::Option* found = command.get_option_no_throw(option);
  if (found == nullptr) return {};
  std::string type = found->get_type_name();
  for (std::size_t at; (at = type.find('|')) != std::string::npos;) type.replace(at, 1, ", ");
  if (type != "FILE") return fmt::format("{} needs {}: {}", option, type, found->get_description());
  const std::string example = option == "--csv"        ? "table.csv"
                              : option == "--jsonl"    ? "results.jsonl"
                              : option == "--markdown" ? "table.md"
                              : option == "--html"     ? "page.html"
                                                       : "result.json";
  Words line = words;
  const auto at = std::find(line.begin(), line.end(), option);
  if (at != line.end()) line.insert(at + 1, example);
  return option + " needs a file: " + line_of(line);
}

/// "WHAT: strategys not in {strategies,sources}" in words.
std::string not_among(const std::string& text) {
  const std::size_t colon = text.find(": "), in = text.find(" not in {");
  if (colon == std::string::npos || in == std::string::npos || in < colon) return {};
  const std::string value = text.substr(colon + 2, in - colon - 2);
  Words allowed;
  const std::string list = text.substr(in + 9, text.find('}', in) - in - 9);
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    allowed.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  std::string near = nearest_name(value, allowed);
  for (const std::string& one : allowed) {  // "strategy" for "strategies"
    if (value.size() > 3 && one.starts_with(value.substr(0, value.size() - 1))) near = one;
  }
  return fmt::format("{}: '{}' is not allowed; expected {}{}", text.substr(0, colon), value, fmt::join(allowed, ", "),
                     near.empty() ? "" : "; did you mean '" + near + "'?");
}

/// "--max-perplexity 0.1 %": a blank before the unit.
std::string split_unit(const Words& words) {
  for (std::size_t at = 1; at + 1 < words.size(); ++at) {
    const std::string &value = words[at], &unit = words[at + 1];
    const bool number = value.find_first_not_of("0123456789.,") == std::string::npos;
    if (!number || !is_option(words[at - 1]) || (unit != "%" && unit != "ms")) continue;
    return fmt::format("{}: '{} {}' has a blank; did you mean {} {}{}?", words[at - 1], value, unit, words[at - 1],
                       value, unit);
  }
  return {};
}

std::string extra_words(const CLI::App& app, const CLI::App& command, const Words& words, const std::string& text) {
  if (const std::string better = split_unit(words); !better.empty()) return better;
  for (std::size_t at = 1; at < words.size(); ++at) {
    if (!is_option(words[at]) || words[at].find_first_not_of("-0123456789.%e") == std::string::npos) continue;
    if (command.get_option_no_throw(name_of_option(words[at])) == nullptr)
      return unknown_option(app, command, words, at);
  }
  const std::string& name = command.get_name();
  std::string extra = words.back();
  for (std::size_t at = 1; at < words.size(); ++at) {  // of files that are there, the last one
    if (!is_option(words[at]) && !is_option(words[at - 1]) && fs::exists(words[at])) extra = words[at];
  }
  if (name == "advise") {
    return extra + " is one too many: tatr-sim advise takes one config; " +
           (is_data(extra) ? "tatr-sim run " + extra + " tells of data" : "run it once for each");
  }
  if (name == "schema")
    return "'" + extra +
           "' is one too many: tatr-sim schema prints that of configs, tatr-sim schema --result that of results";
  if (name == "init") {
    const bool model = has_word(shipped_models(), extra) || fs::exists(extra);
    return "'" + extra + "' is one too many: tatr-sim init " + (model ? "--from " : "--out ") + shell_word(extra);
  }
  return text + "; tatr-sim " + name + " --help tells what it takes";
}

// --- what a command refuses ---

bool takes_configs(const std::string& command) {
  return command == "run" || command == "advise" || command == "validate";
}

bool takes_results(const std::string& command) {
  return command == "compare" || command == "report" || command == "merge" || command == "show";
}

/// Of a file that is there; empty where its kind does not explain the failure.
std::string wrong_kind(const std::string& command, const std::string& path, FileKind kind) {
  const std::string file = shell_word(path);
  const auto is = [&](const std::string& what) { return path + ": is " + what; };
  if (takes_configs(command) || takes_results(command)) {
    switch (kind) {
      case FileKind::kDevice:
        return is("a device file; tatr-sim run CONFIG --device model:" + file + " models that GPU");
      case FileKind::kCalibration:
        return is("a calibration; tatr-sim run CONFIG --calibration " + file + " estimates by it");
      case FileKind::kModelConfig:
        return is("the config of a model, no experiment; tatr-sim init --from " + file + " makes one of it");
      case FileKind::kSchema:
        return is("a JSON Schema, which configs only name; tatr-sim init writes a config");
      case FileKind::kPage:
        return is("a page that tatr-sim report made; a browser opens it");
      case FileKind::kTable:
        return is("a table of results, as --csv writes it; a spreadsheet opens it, tatr-sim reads the JSON only");
      default:
        break;
    }
  }
  const bool several = kind == FileKind::kResults;
  if (takes_configs(command) && (kind == FileKind::kResult || several)) {
    const std::string what = several ? "a file of results, no config; " : "a result, no config; ";
    return is(what + (command == "advise" ? "tatr-sim advise CONFIG takes what it was made from; " : "") +
              "tatr-sim show " + file + " prints it, tatr-sim compare " + file + " NEW compares it");
  }
  if (takes_configs(command) && kind == FileKind::kConfigs) {
    return is("several configs in one file; expected a file for each: tatr-sim " + command + " A.json B.json");
  }
  if (takes_configs(command) && (kind == FileKind::kYaml || kind == FileKind::kToml)) {
    const bool yaml = kind == FileKind::kYaml;
    const std::string out = fs::path(path).replace_extension(".json").string();
    return is(std::string(yaml ? "YAML" : "TOML") + ", and a config is JSON: python3 -c 'import json, sys, " +
              (yaml ? "yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
                    : "tomllib; json.dump(tomllib.load(sys.stdin.buffer), sys.stdout)") +
              "' < " + file + " > " + shell_word(out));
  }
  if (takes_results(command) && (kind == FileKind::kConfig || kind == FileKind::kConfigs)) {
    const std::string keep = command == "merge"  ? " --jsonl results.jsonl"
                             : command == "show" ? ""
                                                 : " --json result.json";
    return is("a config, no result; tatr-sim run " + file + keep + " makes its result");
  }
  if (takes_results(command) && kind == FileKind::kUnknown && is_data(path)) {
    return is("router data, no result; tatr-sim run " + file + " tells what it holds");
  }
  return {};
}

std::string missing_file(const std::string& command, const std::string& path, const Words& words) {
  if (path.empty())
    return command == "run" ? "CONFIG is empty; expected the name of a file" : "a name of a file is empty";
  if (path.find_first_of("*?") != std::string::npos) {
    const fs::path folder = fs::path(path).parent_path();
    const std::string all = (folder / "*.json").string();
    return path + ": matches no file; did you mean " + all + "?";
  }
  if (path.starts_with("—") || path.starts_with("–")) {
    const std::string option = "--" + path.substr(std::string("—").size());
    return fmt::format("'{}' begins with a long dash, as word processors write it; did you mean '{}'?", path, option);
  }
  if (path == "-") return "standard input is no config here; write it to a FILE, and tatr-sim " + command + " FILE";
  const std::string head = path + ": no such file";
  if (path == command && words.size() > 2) {
    Words line = words;
    line.erase(line.begin() + 1);
    return head + "; did you mean " + line_of(line) + "?";
  }
  const Words near = near_files(path);
  if (!near.empty()) {
    Words line = words;
    std::replace(line.begin(), line.end(), path, near.front());
    return head + "; did you mean " + near.front() + ", " + line_of(line) + "?";
  }
  const Words models = shipped_models();
  if (takes_configs(command) && !fs::path(path).has_parent_path()) {
    const std::string stem = fs::path(path).stem().string();
    const std::string model = has_word(models, stem) ? stem : nearest_name(stem, models);
    if (!model.empty()) return head + "; tatr-sim init --from " + model + " makes a config of that model";
  }
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::exists(folder)) {
    Words folders;
    std::error_code error;
    const fs::path above = folder.parent_path();
    for (const auto& entry : fs::directory_iterator(above.empty() ? "." : above, error)) {
      if (entry.is_directory(error)) folders.push_back(entry.path().filename().string());
    }
    const std::string other = nearest_name(folder.filename().string(), folders);
    const fs::path file = above / other / fs::path(path).filename();
    if (!other.empty() && fs::exists(file)) return head + "; did you mean " + file.string() + "?";
  }
  if (takes_configs(command))
    return head + "; tatr-sim list configs names those that come with it, tatr-sim init makes one";
  return head + "; tatr-sim run CONFIG --json " + shell_word(path) + " makes a result";
}

std::string folder_wish(const std::string& command, const std::string& path) {
  Words configs;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    const std::string file = entry.path().string();
    if (entry.path().extension() != ".json") continue;
    const FileKind kind = kind_of_file(file);
    if (takes_results(command) ? kind == FileKind::kResult : kind == FileKind::kConfig) configs.push_back(file);
  }
  std::sort(configs.begin(), configs.end());
  if (configs.empty()) {
    return takes_results(command) ? path + ": is a folder; expected a file of results" : "";
  }
  return fmt::format("{}: is a folder; did you mean tatr-sim {} {}?", path, command, configs.front());
}

/// Of one file that a command was given; empty where nothing explains the failure.
std::string file_wish(const std::string& command, const std::string& path, const Words& words,
                      const std::string& text) {
  const FileKind kind = kind_of_file(path);
  if (path == "-") {
    if (takes_configs(command)) return missing_file(command, path, words);
    if (text.find("schema_version") == std::string::npos) return {};
    return "standard input: is a config, no result, or not one of tatr-sim; tatr-sim run CONFIG --json - | tatr-sim " +
           command + " - gives it one";
  }
  if (kind == FileKind::kMissing) return missing_file(command, path, words);
  if (kind == FileKind::kFolder) return folder_wish(command, path);
  if (text.find("cannot be opened") != std::string::npos || text.find("ermission denied") != std::string::npos) {
    return path + ": no permission to read it; chmod u+r " + shell_word(path) + " gives it to its owner";
  }
  if (text.find("is empty") != std::string::npos && takes_configs(command)) {
    return path + ": is empty; tatr-sim init --out FILE writes a config to begin with";
  }
  if (text == path + ": required key \"name\" is missing; expected text of 1 to 200 characters") {
    return text + "; tatr-sim init --out FILE writes a whole config to begin with";
  }
  return wrong_kind(command, path, kind);
}

Words files_of(const CLI::App& command) {
  Words files;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    const Words& given = option->results();
    files.insert(files.end(), given.begin(), given.end());
  }
  return files;
}

/// "--set /tile 64": a blank in place of the sign.
std::string split_set(const Words& words) {
  for (std::size_t at = 0; at + 2 < words.size(); ++at) {
    const std::string& pointer = words[at + 1];
    if (words[at] != "--set" || pointer.find('=') != std::string::npos || is_option(words[at + 2])) continue;
    const std::string likely = likely_pointer(pointer);
    if (!likely.empty()) {
      return fmt::format("--set {}: has no value; did you mean {}?", pointer, set_option(likely, words[at + 2]));
    }
  }
  return {};
}

/// Whether the fault is of what an option makes of a config, or of a config taken for something else by an option.
bool explains_others(const Words& words, const std::string& path, const std::string& text) {
  if (kind_of_file(path) != FileKind::kConfig) return false;
  if (text.find("--set") != std::string::npos || text.find("is also the name") != std::string::npos) return true;
  return takes_configs(words[0]) &&
         (has_word(words, "model:" + path) || std::count(words.begin(), words.end(), path) > 1);
}

/// Of an output that cannot be made.
std::string output_wish(const std::string& text) {
  const std::size_t colon = text.find(": cannot be ");
  if (colon == std::string::npos) return {};
  const std::string path = text.substr(0, colon);
  const fs::path folder = fs::path(path).parent_path();
  std::error_code error;
  if (!folder.empty() && !fs::exists(folder, error)) {
    return fmt::format("{} (no such folder: mkdir -p {} makes it)", text, shell_word(folder.string()));
  }
  if (fs::is_directory(path, error)) {
    return fmt::format("{}; it is a folder; expected a file, such as {}", text,
                       (fs::path(path) / "result.json").string());
  }
  return text.find("Not a directory") != std::string::npos
             ? text + "; it is a file; expected a folder, or a name for a new one"
             : "";
}

/// A number without a unit where a percentage is expected, and only one of its two readings is allowed.
std::string limit_wish(const std::string& text) {
  const std::string option = "--max-dropped-share", start = option + ": '";
  if (!text.starts_with(start)) return {};
  const std::string value = text.substr(start.size(), text.find('\'', start.size()) - start.size());
  if (value.empty() || value.find_first_not_of("0123456789.") != std::string::npos) return {};
  const double number = std::strtod(value.c_str(), nullptr);
  if (number <= 1 || number > 100) return {};
  return fmt::format("{}: '{}' is not allowed; expected a percentage up to 100%; did you mean {} {}%?", option, value,
                     option, value);
}

/// Where the config of data is kept: beside nothing that is there.
std::string config_for(const std::string& data) {
  const std::string name = fs::path(data).filename().string(), stem = name.substr(0, name.find('.'));
  for (const std::string& file : {stem + ".json", stem + "_config.json"}) {
    if (!stem.empty() && stem.find_first_of("*?") == std::string::npos && !fs::exists(file)) return file;
  }
  return "CONFIG.json";
}

/// Data in place of a config, of a command that wants one: how to make it, and the command again.
std::string data_wish(const Words& words, const std::string& text) {
  const std::size_t at = text.find(": is data, no config");
  const std::string data = text.substr(0, at), config = config_for(data);
  Words make = {"run", data}, then;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool of_router = words[i] == "--set" && i + 1 < words.size() && words[i + 1].starts_with("/router/");
    if (of_router) {
      make.insert(make.end(), {words[i], words[i + 1]});
      ++i;
    } else {
      then.push_back(words[i] == data ? config : words[i]);
    }
  }
  make.insert(make.end(), {"--save-config", config});
  return data + ": is data, no config; " + line_of(make) + " makes its config, then " + line_of(then);
}

/// Of a file that is named in another, which lies beside what is there.
std::string near_trace(const std::string& text) {
  const std::size_t at = text.find(": there is no such file");
  if (at == std::string::npos) return {};
  const std::string path = text.substr(0, at);
  const Words near = near_files(path);
  return text.substr(0, at) + ": no such file, which the config names as its source" +
         (near.empty() ? "; the path is relative to the config" : "; did you mean " + near.front() + "?");
}

}  // namespace

std::vector<std::string> command_words(const CLI::App& app, int argc, const char* const* argv) {
  Words words(argv + 1, argv + argc);
  if (words.empty()) {
    throw UsageError(
        "no command; tatr-sim run CONFIG runs an experiment, such as configs/quick.json; tatr-sim --help lists all "
        "commands");
  }
  if (words[0] == "help") {
    words.erase(words.begin());
    if (words.size() == 1 && command_of(app, words) == nullptr && words[0] != "--help") {
      const std::string near = nearest_name(words[0], names_of_commands(app));
      throw UsageError(fmt::format(
          "'{}' is no command; {}", words[0],
          near.empty() ? "tatr-sim --help lists them" : "did you mean '" + near + "', tatr-sim help " + near + "?"));
    }
    words.resize(std::min<std::size_t>(words.size(), 1));
    words.push_back("--help");
    return words;
  }
  const bool top =
      words[0] == "-h" || (is_option(words[0]) && app.get_option_no_throw(name_of_option(words[0])) != nullptr);
  if (!top && command_of(app, words) == nullptr) throw UsageError(without_command(app, words));
  return words;
}

std::string parse_wish(const CLI::App& app, const Words& words, const CLI::ParseError& error) {
  const std::string text = error.what();
  const CLI::App* command = command_of(app, words);
  const std::string help = " (tatr-sim " + (command == nullptr ? std::string() : command->get_name() + " ") + "--help)";
  if (command == nullptr) return text + help;
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) return extra_words(app, *command, words, text);
  for (std::size_t at = 1; at < words.size(); ++at) {  // a wrong option explains more than what it leaves missing
    const bool unknown = words[at].starts_with("--") && words[at].size() > 2 &&
                         command->get_option_no_throw(name_of_option(words[at])) == nullptr;
    if (unknown && dynamic_cast<const CLI::RequiredError*>(&error) != nullptr)
      return unknown_option(app, *command, words, at);
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && text.ends_with(" is required")) {
    return missing_word(*command, words, text.substr(0, text.find(' ')));
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    const std::string better = missing_value(*command, words, text.substr(0, text.find(':')));
    if (!better.empty()) return better;
  }
  if (text == "--resume requires --jsonl") {
    Words line = words;
    std::erase(line, "--resume");
    return text + ": " + line_of(line) + " --jsonl results.jsonl --resume";
  }
  const std::string better = not_among(text);
  return (better.empty() ? text : better) + help;
}

std::string failure_wish(const CLI::App& app, const Words& words, const Error& error) {
  const std::string text = error.what();
  const CLI::App* command = command_of(app, words);
  if (command == nullptr || (error.code() != ExitCode::kUsage && error.code() != ExitCode::kEnvironment)) return text;
  if (const std::string better = output_wish(text); error.code() == ExitCode::kEnvironment && !better.empty())
    return better;
  if (error.code() == ExitCode::kEnvironment) return text;
  if (text.starts_with("--set ")) {
    const std::string better = split_set(words);
    return better.empty() ? text : better;
  }
  if (const std::string better = limit_wish(text); !better.empty()) return better;
  if (text.find(": is data, no config") != std::string::npos) return data_wish(words, text);
  const std::string& name = command->get_name();
  const bool takes_files = takes_configs(name) || takes_results(name);
  for (const std::string& path : takes_files ? files_of(*command) : Words()) {
    const bool meant = text.starts_with(path + ":") || text.starts_with(path + " (") ||
                       (path == "-" && text.starts_with("standard input"));
    if (!meant || explains_others(words, path, text)) continue;
    const std::string better = file_wish(name, path, words, text);
    return better.empty() ? text : better;
  }
  for (std::size_t at = 0; at + 1 < words.size(); ++at) {
    const std::string& value = words[at + 1];
    const bool calibration = words[at] == "--calibration",
               model = words[at] == "--device" && value.starts_with("model:");
    const std::string path = model ? value.substr(6) : value;
    if ((!calibration && !model) || !text.starts_with(path + ":") || kind_of_file(path) != FileKind::kConfig) continue;
    return path + ": is a config, no " +
           (calibration ? "calibration, such as scripts/calibrate.py writes"
                        : "device file; tatr-sim list devices names some");
  }
  if (text.find("is also the name of another config") != std::string::npos) {
    return text + "; a run of one alone may rename it: --set /name=OTHER";
  }
  const std::string better = near_trace(text);
  return better.empty() ? text : better;
}

std::string file_failure_wish(const std::string& command, const std::string& path, const Error& error) {
  const std::string text = error.what();
  if (!text.starts_with(path + ":") ||
      (text.find("--set") != std::string::npos && text.find("--save-config") == std::string::npos))
    return text;
  const std::string better = file_wish(command, path, {command, path}, text);
  return better.empty() ? text : better;
}

std::string likely_device(const std::string& device) {
  std::string lower;
  for (const char c : device) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const char* known : {"auto", "cpu", "cuda"}) {
    if (lower == known) return known;
  }
  const Words models = shipped_gpu_models();
  if (has_word(models, lower)) return "model:" + lower;
  if (kind_of_file(device) == FileKind::kDevice) return "model:" + device;
  if (lower == "gpu" || lower == "nvidia") return "cuda";
  const std::string number =
      lower.starts_with("cuda") || lower.starts_with("gpu") ? lower.substr(lower[0] == 'c' ? 4 : 3) : lower;
  const std::string digits = number.starts_with(':') || number.starts_with('-') ? number.substr(1) : number;
  if (!digits.empty() && digits.size() < 4 && digits.find_first_not_of("0123456789") == std::string::npos)
    return "cuda:" + digits;
  if (lower == "model:" || lower == "model") return "model:h100";
  const std::string near = lower.size() < 3 ? "" : nearest_name(lower, models);
  return near.empty() ? "" : "model:" + near;
}

}  // namespace tatr
