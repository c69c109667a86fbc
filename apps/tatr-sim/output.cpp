#include "output.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "core/error.hpp"
#include "core/format.hpp"
#include "core/version.hpp"
#include "gemm/registry.hpp"

namespace tatr {

namespace {

std::string& stored_line() {
  static std::string line = "tatr-sim";
  return line;
}

}  // namespace

void set_command_line(const std::vector<std::string>& words) {
  for (const std::string& word : words) stored_line() += " " + shell_word(word);
}

const std::string& command_line() { return stored_line(); }

std::string version_text() {
  std::vector<std::string_view> names;
  for (const BackEnd& each : built_back_ends()) names.push_back(each.name);
  return fmt::format("tatr-sim {} ({}), back ends: {}", program_version(), program_commit(), fmt::join(names, ", "));
}

bool takes_colour(std::FILE* stream) { return isatty(fileno(stream)) == 1 && std::getenv("NO_COLOR") == nullptr; }

std::size_t width_of(std::FILE* stream) {
  winsize size{};
  const bool told = isatty(fileno(stream)) == 1 && ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return told ? size.ws_col : kReportWidth;
}

void print_all(const std::string& text, std::FILE* stream) {
  std::fputs(text.c_str(), stream);
  if (std::fflush(stream) != 0) throw EnvironmentError("standard output: cannot write the report");
}

}  // namespace tatr
