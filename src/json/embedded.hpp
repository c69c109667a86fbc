// The JSON files that are embedded in the program, as text: schemas, which beside their readers are the single truth of
// what a document may hold, and the default calibration. The build turns them into these strings with
// core/embed.cmake.
#pragma once

#include <string_view>

namespace tatr {

extern const std::string_view kExperimentSchema;    // src/config/experiment.schema.json
extern const std::string_view kResultSchema;        // src/records/result.schema.json
extern const std::string_view kCalibrationSchema;   // src/quality/calibration.schema.json
extern const std::string_view kDefaultCalibration;  // src/quality/default_calibration.json
extern const std::string_view kDeviceSchema;        // src/model/device.schema.json
extern const std::string_view kDeviceH100;          // configs/devices/h100.json; the others alike
extern const std::string_view kDeviceH200;
extern const std::string_view kDeviceH100Pcie;
extern const std::string_view kDeviceH100Nvl;
extern const std::string_view kDeviceA100;
extern const std::string_view kDeviceB200;

}  // namespace tatr
