// What was likely meant by text that is no JSON: in words that go behind what a parser says. Decides no validity.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tatr {

/// Of text that a parser refused after `position` bytes; empty where nothing is likely.
std::string json_hint(std::string_view text, std::size_t position);

}  // namespace tatr
