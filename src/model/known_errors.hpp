// Where modelled times are known to be further off than the device file's error says: docs/model.md, "How far it errs".
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tatr {

/// At tiles of 64 rows, of experts with 129 to 192 rows: an odd tile of 128 and a half one read the same weights, which
/// the model takes for cheaper than they are. In words, where such experts hold a seventh or more of the rows; else
/// empty. `rows` are an expert's after rounding.
std::string known_error(std::int64_t tile, std::span<const std::int32_t> rows);

}  // namespace tatr
