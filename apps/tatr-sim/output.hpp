// Standard streams of the program.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

namespace tatr {

/// "tatr-sim 0.1.0 (commit), back ends: …".
std::string version_text();

/// Whether a stream is a terminal whose user has not asked for plain text (NO_COLOR).
bool takes_colour(std::FILE* stream);

/// Columns of a terminal; of what is none, those of a pipe.
std::size_t width_of(std::FILE* stream);

/// Throws EnvironmentError where the text gets lost.
void print_all(const std::string& text, std::FILE* stream);

}  // namespace tatr
