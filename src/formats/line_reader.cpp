#include "formats/line_reader.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace tatr {
namespace {

constexpr std::int64_t kBlockBytes = 1 << 20;
constexpr std::string_view kUtf8Mark = "\xef\xbb\xbf";

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace

bool LineReader::next(std::string_view& line) {
  if (!next_of_any(line)) return false;
  if (!is_blank(line)) return true;
  const std::string blank = place();
  while (next_of_any(line)) {
    if (!is_blank(line)) throw InputError(blank, "empty; allowed: empty lines at the end of the file alone");
  }
  return false;
}

std::string LineReader::place() const { return file_.path() + ": line " + std::to_string(number_); }

bool LineReader::next_of_any(std::string_view& line) {
  for (std::size_t searched = begin_;;) {
    std::size_t end = buffer_.find('\n', searched);
    const bool last = taken_ == file_.size_bytes();
    if (end == std::string::npos && !last) {
      searched = buffer_.size() - begin_;
      buffer_.erase(0, begin_);
      begin_ = 0;
      if (static_cast<std::int64_t>(searched) > limits_.line_bytes) {
        ++number_;
        throw InputError(place(), "too long; allowed: at most " + bytes_text(limits_.line_bytes));
      }
      const auto count = static_cast<std::size_t>(std::min(kBlockBytes, file_.size_bytes() - taken_));
      buffer_.resize(searched + count);
      file_.read(taken_, std::as_writable_bytes(std::span(buffer_).subspan(searched)));
      taken_ += static_cast<std::int64_t>(count);
      continue;
    }
    if (end == std::string::npos) end = buffer_.size();
    if (begin_ >= buffer_.size()) return false;
    line = std::string_view(buffer_).substr(begin_, end - begin_);
    begin_ = end + 1;
    if (++number_ == 1 && line.starts_with(kUtf8Mark)) line.remove_prefix(kUtf8Mark.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    return true;
  }
}

}  // namespace tatr
