// Reads the index of safetensors that are spread over files: {"metadata": {…}, "weight_map": {TENSOR: FILE}}, the files
// beside it. Decides which files it may name; each of them is read as safetensors.hpp says.
#pragma once

#include "formats/safetensors.hpp"

namespace tatr {

/// The tensors of all files, file by file in the order of their names, each with its `file`; each file is opened once.
/// Metadata are those of index and files that do not contradict each other. Throws InputError.
SafetensorsHeader read_sharded_safetensors(const BinaryFile& index, const TensorLimits& limits);

}  // namespace tatr
