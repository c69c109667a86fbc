#include "records/result_file.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/error.hpp"
#include "json/json_text.hpp"
#include "records/result_upgrade.hpp"
#include "records/result_writer.hpp"

namespace tatr {
namespace {

using nlohmann::json;

/// Throws what is wrong with a document, in the words of the schema.
[[noreturn]] void refuse(const DocumentText& text) {
  const ResultDocument result = parse_document(text);
  const json& document = result.document;
  if (document.is_object() && document.contains("schema_version")) {
    const json& version = document["schema_version"];
    if (version.is_string() && !reads_version(version.get_ref<const std::string&>())) {
      throw EnvironmentError(
          fmt::format("{}:/schema_version: {} is of another program; allowed: \"1.0\", \"2.0\", \"2.1\" and \"{}\"",
                      result.source, brief_json(version), kResultSchemaVersion));
    }
  }
  check_strictly(result);
  throw ConfigError(result.source, "has an experiment without a name, config_hash or device; allowed: all three");
}

bool reads_twice(const std::string& path) {
  std::error_code error;
  return path != "-" && std::filesystem::is_regular_file(path, error);
}

}  // namespace

ResultFile::ResultFile(std::string path) : path_(std::move(path)) {
  std::ifstream file = open_results(path_);
  const auto add_one = [this](const DocumentText& text) { add(text); };
  if (reads_twice(path_)) {
    for_each_document(file, results_name(path_), add_one);
    return;
  }
  std::ostringstream all;
  all << file.rdbuf();
  held_ = std::move(all).str();
  std::istringstream again(*held_);
  for_each_document(again, results_name(path_), add_one);
}

void ResultFile::add(const DocumentText& text) {
  const std::optional<std::vector<ResultKey>> keys = scan_result(text.text);
  if (!keys) refuse(text);
  for (std::size_t index = 0; index < keys->size(); ++index) {
    keys_.push_back((*keys)[index]);
    at_.push_back({documents_.size(), index});
  }
  documents_.push_back({text.source, text.offset_bytes, text.text.size()});
}

std::string ResultFile::text_of(const Document& document) {
  if (held_) return held_->substr(document.offset_bytes, document.size_bytes);
  std::string text(document.size_bytes, '\0');
  if (!again_.is_open()) again_ = open_results(path_);
  again_.clear();
  again_.seekg(static_cast<std::streamoff>(document.offset_bytes));
  if (!again_.read(text.data(), static_cast<std::streamsize>(text.size()))) {
    throw ConfigError(document.source, "cannot be read again; did the file change meanwhile?");
  }
  return text;
}

StoredResult ResultFile::load(std::size_t experiment) {
  const Place place = at_[experiment];
  const Document& document = documents_[place.document];
  if (loaded_ != place.document) {
    loaded_.reset();
    ResultDocument read = parse_document({document.source, text_of(document), document.offset_bytes});
    check_strictly(read);
    document_ = std::move(read.document);
    loaded_ = place.document;
  }
  const json& experiments = document_["experiments"];
  if (place.index >= experiments.size() || experiments[place.index]["config_hash"] != keys_[experiment].config_hash) {
    throw ConfigError(document.source, "is not what it was; did the file change meanwhile?");
  }
  StoredResult result;
  result.place = document.source;
  if (experiments.size() == 1) {  // a line: nobody asks for another of it
    result.document = std::move(document_);
    loaded_.reset();
    return result;
  }
  for (const auto& [key, value] : document_.items()) {
    if (key != "experiments") result.document[key] = value;
  }
  result.document["experiments"].push_back(experiments[place.index]);
  return result;
}

std::vector<ResultExperiment> read_results(const std::string& path) {
  ResultFile file(path);
  std::vector<ResultExperiment> results;
  for (std::size_t i = 0; i < file.keys().size(); ++i) {
    StoredResult result = file.load(i);
    results.push_back({std::move(result.document["environment"]), std::move(result.document["experiments"][0])});
  }
  return results;
}

}  // namespace tatr
