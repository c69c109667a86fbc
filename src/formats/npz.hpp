// Reads NumPy's .npz: a zip archive whose members NAME.npy are the arrays NAME. Decides what an archive of arrays is;
// leaves zip to ArchiveReader and arrays to npy.hpp.
#pragma once

#include <memory>
#include <vector>

#include "formats/tensor_file.hpp"

namespace tatr {

/// The arrays in the archive's order, copied into one temporary file. Throws InputError that names the member, also for
/// an archive that PyTorch wrote.
std::vector<TensorEntry> read_npz(const BinaryFile& file, const TensorLimits& limits);

}  // namespace tatr
