// Standard streams of the program.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace tatr {

/// "tatr-sim 0.1.0 (commit), back ends: …".
std::string version_text();

/// Whether a stream is a terminal whose user has not asked for plain text (NO_COLOR).
bool takes_colour(std::FILE* stream);

/// Columns of a terminal; of what is none, those of a pipe.
std::size_t width_of(std::FILE* stream);

/// The command as a shell takes it, for texts that say how to get more of the same; set once, at the start.
void set_command_line(const std::vector<std::string>& words);
const std::string& command_line();

/// Throws EnvironmentError where the text gets lost.
void print_all(const std::string& text, std::FILE* stream);

}  // namespace tatr
