// Records from a JSON result, so that what was stored can be shown as if it had just been run: the inverse of
// records/result_writer.hpp, as far as reports go. Nothing is computed anew. Not in a result, and so not read: the
// figures of a modelled GPU (its name and errors are), a calibration's rows, metrics of single groups of tokens.
#pragma once

#include <nlohmann/json.hpp>

#include "records/records.hpp"
#include "records/result_documents.hpp"

namespace tatr {

/// Of a document that check_tolerantly accepts. Throws ConfigError where its config is not one that this version reads.
RunRecord read_run(const ResultDocument& result);

}  // namespace tatr
