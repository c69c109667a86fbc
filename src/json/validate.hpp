// Is a document what its JSON Schema allows? A validator decides; the words of a refusal come from
// json/schema_walk.hpp. Serves experiments and results alike.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace tatr {

/// A schema made ready once for any number of documents. It is draft-07.
class SchemaValidator {
 public:
  explicit SchemaValidator(const nlohmann::json& schema);
  ~SchemaValidator();

  /// Throws ConfigError at "file:/json/pointer" with the value and what is allowed. From several threads at once.
  void check(const nlohmann::json& document, const std::string& file) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

/// The same for a schema that is used once.
void validate_document(const nlohmann::json& schema, const nlohmann::json& document, const std::string& file);

}  // namespace tatr
