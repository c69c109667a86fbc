// Names of tensors and files: patterns with *, and the order in which numbers in names count. Knows no file.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tatr {

/// `*` stands for any characters, none included. Linear in memory, at worst pattern times name in time.
bool matches(std::string_view pattern, std::string_view name);

/// What the only * of a pattern stands for; of a pattern without one, nothing ("") where name and pattern are equal.
std::optional<std::string> star_of(std::string_view pattern, std::string_view name);

/// Order in which runs of digits count as numbers: layers.2 before layers.10.
bool natural_less(std::string_view a, std::string_view b);

/// Behind the last dot.
std::string_view last_part(std::string_view name);

}  // namespace tatr
