#include "json/validate.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "core/error.hpp"
#include "json/schema_walk.hpp"

namespace tatr {

namespace {

using nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

constexpr double kPastInt64 = 0x1p63;

/// What a text is as a number, for valijson takes "1e999" for one; 0 where it is none.
double number_of(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' ? number : 0.0;
}

/// Whether valijson would convert a value to an int64 that does not hold it.
bool exceeds_int64(const json& value) {
  if (value.is_structured()) return std::any_of(value.begin(), value.end(), exceeds_int64);
  if (value.is_number_unsigned()) return value.get<std::uint64_t>() > static_cast<std::uint64_t>(kMost);
  const double number = value.is_string()         ? number_of(value.get_ref<const std::string&>())
                        : value.is_number_float() ? value.get<double>()
                                                  : 0.0;
  return !(std::abs(number) < kPastInt64);
}

/// valijson reads every integer as int64, so 2^64 - 1 would be -1, and a divisor is looked for in numbers and texts of
/// any size. The largest int64 stands in for numbers above it, in document and schema alike: no bound of ours lies
/// between. A text stays one, but of no number.
json within_int64(json value) {
  if (value.is_structured()) {
    for (json& item : value) item = within_int64(std::move(item));
    return value;
  }
  if (!exceeds_int64(value)) return value;
  if (value.is_string()) return "text " + value.get<std::string>();
  if (value.is_number_unsigned()) return kMost;
  return std::copysign(kPastInt64 / 2, value.get<double>());
}

std::string validator_words(valijson::ValidationResults& results) {
  valijson::ValidationResults::Error error;
  std::string words = "not allowed by the schema";
  while (results.popError(error)) words = "not allowed by the schema: " + error.description;
  return words;
}

}  // namespace

struct SchemaValidator::Compiled {
  json schema, within;
  valijson::Schema validator;
};

SchemaValidator::SchemaValidator(const json& schema) : compiled_(new Compiled{schema, within_int64(schema), {}}) {
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(NlohmannJsonAdapter(compiled_->within), compiled_->validator);
}

SchemaValidator::~SchemaValidator() = default;

void SchemaValidator::check(const json& document, const std::string& file) const {
  std::optional<json> copy;
  if (exceeds_int64(document)) copy = within_int64(document);
  const NlohmannJsonAdapter adapter(copy ? *copy : document);
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  // Without a place for words it stops at the first fault, however large the document.
  if (validator.validate(compiled_->validator, adapter, nullptr)) return;
  if (const std::optional<SchemaProblem> problem = find_problem(compiled_->schema, document)) {
    throw ConfigError({file, problem->pointer}, problem->message);
  }
  valijson::ValidationResults results;
  validator.validate(compiled_->validator, adapter, &results);
  throw ConfigError(file, validator_words(results));
}

void validate_document(const json& schema, const json& document, const std::string& file) {
  SchemaValidator(schema).check(document, file);
}

}  // namespace tatr
