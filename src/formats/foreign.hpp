// Files that are no formats of the program but are known by their first bytes, so that whoever has one is told how to
// go on. Decides what is said of them.
#pragma once

#include <string>
#include <string_view>

namespace tatr {

enum class Foreign { kNone, kPyTorch, kPickle, kParquet, kHdf5, kArrow, kGguf, kOnnx };

/// What starts with these bytes.
Foreign foreign_format(std::string_view first_bytes);

/// Throws the InputError for a file of this kind; kNone: of a kind that is not known.
[[noreturn]] void refuse_foreign(const std::string& path, Foreign format);

}  // namespace tatr
