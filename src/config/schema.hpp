// The JSON Schemas that are embedded in the program, as text. The files beside their readers are the single truth of
// what a document may hold; the build turns them into these strings with embed.cmake.
#pragma once

#include <string_view>

namespace tatr {

extern const std::string_view kExperimentSchema;  // src/config/experiment.schema.json
extern const std::string_view kResultSchema;      // src/report/result.schema.json

}  // namespace tatr
