// What a field of a config may hold. Options that list their fields (options/sources/) are read, described in the
// schema and told in reports from that list alone. A list is a static function template `list(fields)` which calls
// fields.add(KEY, MEMBER, WHAT IS ALLOWED, DESCRIPTION) for each; a member's initial value is the field's default.
#pragma once

#include <cstdint>

namespace tatr {

/// Of a number. The bounds are whole, for fractions too.
struct Bounds {
  std::int64_t least = 0, most = 0;
  std::int64_t multiple_of = 1;
  bool above_least = false;      // the least itself is not allowed
  bool without_default = false;  // config/read.cpp says what the field is where it is not given
};

/// Of a text, which has no default and must be given, unless it is optional; or of a list of texts, which may be
/// written as one.
struct Lengths {
  std::int64_t most_characters = 0;
  std::int64_t most_items = 1;
  bool optional = false;
};

/// Whether configs are completed with a word that they do not give: new choices are not, so that hashes stay.
enum class ByDefault { kSpelled, kUnspelled };

}  // namespace tatr
