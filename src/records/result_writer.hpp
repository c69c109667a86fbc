// The JSON result: described by records/result_schema.hpp. Decides names and what is null; nothing is
// computed here.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "records/records.hpp"

namespace tatr {

inline constexpr const char* kResultSchemaVersion = "2.3";

/// Absent and non-finite values become null. Strings are taken as UTF-8: dump with error_handler_t::replace.
nlohmann::ordered_json to_json(const RunRecord& run);

/// {value, low, high, calibration}, or null.
nlohmann::ordered_json perplexity_json(const std::optional<PerplexityEstimate>& estimate);

/// A run's JSON as text, with so many blanks a level; -1: on one line. Ends without a newline.
std::string json_text(const RunRecord& run, int indent);

/// The name of a verdict as the JSON and the text report spell it.
const char* verdict_name(Verdict verdict);

}  // namespace tatr
