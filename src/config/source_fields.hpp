// The options of sources in JSON: what the schema says of a kind, and reading it. Both come from the kind's own list of
// fields (options/fields.hpp).
#pragma once

#include <nlohmann/json.hpp>

#include "options/sources.hpp"

namespace tatr {

/// A branch of the schema of sources for each kind, in the order of SourceKind. Json: nlohmann::json or ordered_json.
template <class Json>
Json source_branches();

/// Fields that are not there keep their defaults. `from` fits the schema and is of the kind.
SourceOptions read_source(SourceKind kind, const nlohmann::json& from);

}  // namespace tatr
