// The JSON Schema (draft-07) of the JSON result, embedded from result.schema.json at build time.
#pragma once

#include <string_view>

namespace tatr {

extern const std::string_view kResultSchema;

}  // namespace tatr
