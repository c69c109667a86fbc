#include "json/json_text.hpp"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <vector>

#include "core/error.hpp"
#include "json/json_hints.hpp"

namespace tatr {

namespace {

using nlohmann::json;

/// Reads bytes and keeps count of them where the handler can see it: the parser tells a handler no positions.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  const char** furthest;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    ++at;
    if (furthest != nullptr) *furthest = at;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
  bool operator!=(const CountingIterator& other) const { return at != other.at; }
};

std::string place(std::string_view text, std::size_t position, const std::string& file) {
  const std::string_view before = text.substr(0, std::min(position, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  const std::size_t column = newline == std::string_view::npos ? before.size() : before.size() - newline - 1;
  return file + ":" + std::to_string(line) + ":" + std::to_string(std::max<std::size_t>(column, 1));
}

/// Builds the document and refuses what the grammar allows but a config does not.
class Builder : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view text, const char* const& position, const std::string& file)
      : text_(text), position_(position), file_(file) {}

  json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // not in JSON text

  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      throw ConfigError(here(), "key " + brief_json(name) + " appears twice in one object; allowed: once");
    }
    key_ = name;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    const std::string problem = json_parse_problem(error);
    std::string hint = json_hint(text_, position);
    if (problem.find("; expected end of input") != std::string::npos) hint = "expected one JSON value; here are two";
    if (problem.find("UTF-8") != std::string::npos) {
      hint = "the file is not UTF-8; iconv -f LATIN1 -t UTF-8 FILE makes it so, if it is Latin-1";
    }
    throw ConfigError(place(text_, position, file_),
                      "not valid JSON: " + problem + (hint.empty() ? "" : " (" + hint + ")"));
  }

 private:
  std::string here() const { return place(text_, static_cast<std::size_t>(position_ - text_.data()), file_); }

  json* put(json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_array()) return &open_.back()->emplace_back(std::move(value));
    return &((*open_.back())[key_] = std::move(value));
  }
  bool add(json value) {
    put(std::move(value));
    return true;
  }
  bool open(json value) {
    if (open_.size() == kMaxJsonDepth) {
      throw ConfigError(here(), "nested too deep; allowed: at most " + std::to_string(kMaxJsonDepth) + " levels");
    }
    open_.push_back(put(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const char* const& position_;
  const std::string& file_;
  json root_;
  std::vector<json*> open_;  // stable: only the innermost container grows
  std::string key_;
};

}  // namespace

std::string json_parse_problem(const json::exception& error) {
  constexpr std::size_t kLongest = 200;
  std::string message = error.what();
  if (message.find("number overflow") != std::string::npos) return "a number is too large for a double";
  if (const std::size_t start = message.find("syntax error"); start != std::string::npos) message.erase(0, start);
  if (const std::size_t quoted = message.find("; last read"); quoted != std::string::npos) message.resize(quoted);
  if (message.size() > kLongest) message.resize(kLongest);
  std::replace_if(
      message.begin(), message.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return message;
}

json parse_json_text(std::string_view text, const std::string& file, std::size_t max_bytes) {
  if (text.size() > max_bytes) {
    throw ConfigError(file, "larger than " + std::to_string(max_bytes >> 20) + " MB; a JSON file here is smaller");
  }
  if (text.empty()) throw ConfigError(file, "is empty; expected one JSON value");
  const char* position = text.data();
  Builder builder(text, position, file);
  const char* end = text.data() + text.size();
  json::sax_parse(CountingIterator{text.data(), &position}, CountingIterator{end, nullptr}, &builder);
  return builder.take();
}

std::ifstream open_text_file(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw ConfigError(path, "no such file");
  if (std::filesystem::is_directory(status)) throw ConfigError(path, "is a directory; expected a JSON file");
  std::ifstream input(path, std::ios::binary);
  if (!input) throw ConfigError(path, "cannot be opened for reading");
  return input;
}

std::string read_text_file(const std::string& path, std::size_t max_bytes) {
  std::ifstream input = open_text_file(path);
  std::string text;
  std::vector<char> block(1 << 16);
  while (text.size() <= max_bytes && input.read(block.data(), static_cast<std::streamsize>(block.size())).gcount()) {
    text.append(block.data(), static_cast<std::size_t>(input.gcount()));
  }
  if (input.bad()) throw ConfigError(path, "cannot be read");
  return text;
}

json read_json_file(const std::string& path) { return parse_json_text(read_text_file(path, kMaxJsonBytes), path); }

std::string brief_json(const json& value) {
  constexpr std::size_t kMost = 60;
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while ((static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // not within a UTF-8 character
  return text.substr(0, end) + "…";
}

}  // namespace tatr
