// Walks a JSON Schema and a document side by side: to say in words what is wrong with the document, and to fill in the
// schema's defaults. Understands the keywords that this project's schemas use. Whether a document is valid is not
// decided here: json/validate.hpp asks a validator.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace tatr {

struct SchemaProblem {
  std::string pointer;  // JSON pointer of the value at fault
  std::string message;  // the value and what is allowed
};

/// The first problem of the document, the most telling one where a schema offers alternatives. None if none is found.
std::optional<SchemaProblem> find_problem(const nlohmann::json& schema, const nlohmann::json& document);

/// Inserts the "default" of every missing key, whichever alternative the document takes, and makes an integer a double
/// where the schema says number. The document must be valid.
void fill_defaults(const nlohmann::json& schema, nlohmann::json& document);

/// What values a part of the schema `root` allows: "an integer from 1 to 8".
std::string schema_in_words(const nlohmann::json& root, const nlohmann::json& part);

/// `pointer` with one more key or index, escaped and safe to print.
std::string child_pointer(const std::string& pointer, const std::string& key);

/// The member of `names` that is nearest to a misspelt one; empty if none is near.
std::string nearest_name(const std::string& wrong, const std::vector<std::string>& names);

}  // namespace tatr
