// JSON from bytes that nobody vouches for. Decides what text is accepted: one value of valid UTF-8, at most 16 MB (or
// what the caller says), at most 64 levels deep, no key twice in an object, no number beyond a double. Knows nothing of
// what the value means.
#pragma once

#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tatr {

inline constexpr std::size_t kMaxJsonBytes = 16 << 20;
inline constexpr std::size_t kMaxJsonDepth = 64;  // keeps every recursion over a document shallow

/// Parses `text`; `file` names it in errors. Throws ConfigError at "file:line:column".
nlohmann::json parse_json_text(std::string_view text, const std::string& file, std::size_t max_bytes = kMaxJsonBytes);

/// What a parser's exception says, for people: without the library's id of it and without the bytes it quotes from the
/// file, printable, and short.
std::string json_parse_problem(const nlohmann::json::exception& error);

/// A file to be read, which must not be a folder. Throws ConfigError.
std::ifstream open_text_file(const std::string& path);

/// The bytes of a file, at most one block beyond `max_bytes`. Throws ConfigError.
std::string read_text_file(const std::string& path, std::size_t max_bytes);

/// Reads and parses a file. Throws ConfigError.
nlohmann::json read_json_file(const std::string& path);

/// A value as JSON on one line, cut to about 60 bytes; safe for any value.
std::string brief_json(const nlohmann::json& value);

}  // namespace tatr
