#include "config/validate.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "config/schema_walk.hpp"
#include "core/error.hpp"

namespace tatr {

namespace {

using nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;

/// valijson reads every integer as int64, so 2^64 - 1 would be -1. The largest int64 stands in for anything above it,
/// in document and schema alike: no bound of ours lies between.
json within_int64(json value) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(kMost)) return kMost;
  if (value.is_structured()) {
    for (json& item : value) item = within_int64(std::move(item));
  }
  return value;
}

std::string validator_words(valijson::ValidationResults& results) {
  valijson::ValidationResults::Error error;
  std::string words = "not allowed by the schema";
  while (results.popError(error)) words = "not allowed by the schema: " + error.description;
  return words;
}

}  // namespace

std::string config_place(const std::string& file, const std::string& pointer) {
  return pointer.empty() ? file : file + ":" + pointer;
}

void validate_document(const json& schema, const json& document, const std::string& file) {
  // The walk comes first: it stops at the first fault, however large the document, and says it best.
  if (const std::optional<SchemaProblem> problem = find_problem(schema, document)) {
    throw ConfigError(config_place(file, problem->pointer), problem->message);
  }
  const json schema_copy = within_int64(schema);
  const json document_copy = within_int64(document);
  valijson::Schema compiled;
  valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(NlohmannJsonAdapter(schema_copy), compiled);
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  valijson::ValidationResults results;
  if (!validator.validate(compiled, NlohmannJsonAdapter(document_copy), &results)) {
    throw ConfigError(file, validator_words(results));
  }
}

}  // namespace tatr
