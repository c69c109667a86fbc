// Writes what a strategy decided as .npy files, for other programs to use.
#pragma once

#include <cstdint>
#include <string>

#include "rounding/rounding.hpp"

namespace tatr {

/// Makes the folder and tries to write into it, before any work. EnvironmentError if either fails.
void prepare_export(const std::string& folder);

/// FOLDER/NAME.layerL.tileM.LABEL, where characters that do not belong in file names become '_'.
std::string export_stem(const std::string& folder, const std::string& experiment, std::int64_t layer, std::int64_t tile,
                        const std::string& label);

/// STEM.{target,offsets,token,gate}.npy: int32 [E], int32 [E+1], int32 [R], float32 [R]. The folder must be there.
/// EnvironmentError if a file cannot be written.
void export_rounding(const std::string& stem, const Rounded& rounded);

}  // namespace tatr
