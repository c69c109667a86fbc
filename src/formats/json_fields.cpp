#include "formats/json_fields.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "formats/nested_list.hpp"
#include "formats/tensor_file.hpp"
#include "json/json_text.hpp"

namespace tatr {
namespace {

using nlohmann::json;
using Kind = RecordField::Kind;

constexpr std::size_t kMostLevels = 4;       // [steps, layers, tokens, experts]
constexpr std::size_t kLongList = 1 << 20;   // numbers
constexpr std::size_t kMostFields = 65'536;  // of an object
constexpr const char* kAllowedValues = "numbers, text, null, and lists of numbers";

class FieldHandler : public json::json_sax_t {
 public:
  FieldHandler(std::string_view text, JsonShape shape, const std::string& file, std::int64_t line,
               FieldVisitor& visitor)
      : text_(text), shape_(shape), file_(file), line_(line), visitor_(visitor) {}

  bool null() override {
    if (in_list()) return add(std::numeric_limits<double>::quiet_NaN());
    return single(Kind::kNull, "null");
  }
  bool boolean(bool value) override { return number(std::int64_t{value}, value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    if (in_list()) return add(value);
    return number(value, std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      return number(static_cast<double>(value), std::to_string(value));
    }
    return number_integer(static_cast<number_integer_t>(value));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    if (in_list()) return add(value);
    return number(value, text);
  }
  bool string(string_t& value) override {
    if (in_list()) refuse("text " + in_quotes(value) + " in a list", "numbers and null");
    return single(Kind::kText, value);
  }
  bool binary(binary_t&) override { return false; }  // not in JSON text

  bool start_object(std::size_t) override {
    const bool of_records =
        records_ || (shape_ == JsonShape::kDocument && list_.levels() == 1 && list_.count() == 0 && record_level_ == 0);
    if (level_ == 1 && of_records) {
      records_ = true;
      list_.clear();
    } else if (level_ != 0) {
      refuse("an object", in_list() ? "numbers and null" : kAllowedValues);
    }
    record_level_ = ++level_;
    used_ = 0;
    names_.clear();
    return true;
  }

  bool key(string_t& name) override {
    if (!names_.insert(name).second) refuse("key " + in_quotes(name) + " for the second time", "once in an object");
    if (names_.size() > kMostFields) refuse("one key more", std::to_string(kMostFields) + " keys in an object");
    if (used_ == fields_.size()) fields_.emplace_back();
    field().name = name;
    field().numbers.reset();
    return true;
  }

  bool end_object() override {
    --level_;
    record_level_ = 0;
    if (!is_single()) visitor_.record(std::span(fields_).first(used_), place());
    ++record_;
    return true;
  }

  bool start_array(std::size_t) override {
    if (level_ == 0) {
      if (shape_ == JsonShape::kLine) refuse("a list", "an object on each line");
      used_ = 0;
      fields_.resize(1);
    }
    if (level_ == 1 && records_) refuse("a list among objects", "objects");
    check(list_.open());
    ++level_;
    return true;
  }

  bool end_array() override {
    --level_;
    if (!in_list()) return true;  // the end of the records
    check(list_.close());
    if (list_.is_open()) return true;
    field().kind = Kind::kList;
    field().shape = list_.shape();
    list_.clear();
    if (level_ == 0) {
      visitor_.bare_list(field());
    } else {
      end_field();
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const json::exception& error) override {
    const std::size_t at = position > 0 ? std::min(position, text_.size() + 1) - 1 : 0;  // the offending byte
    std::string problem = "not valid JSON: " + json_parse_problem(error);
    const std::string_view rest = text_.substr(std::min(at, text_.size()));
    if (rest.starts_with('N') || rest.starts_with('I')) problem += " (null stands for NaN, and there is no Infinity)";
    throw InputError(place_of_byte(at), problem);
  }

 private:
  bool in_list() const { return list_.is_open(); }
  RecordField& field() { return fields_[used_]; }
  bool is_single() const { return !records_ && visitor_.takes_single_fields(); }

  template <class T>
  bool add(T value) {
    check(list_.number());
    field().numbers.add(value);
    if (field().numbers.size() >= kLongList && is_single()) visitor_.long_list(field());
    return true;
  }

  template <class T>
  bool number(T value, const std::string& text) {
    if (in_list()) return add(value);
    check_in_object(text);
    field().numbers.add(value);
    return single(Kind::kNumber, text);
  }

  bool single(Kind kind, const std::string& text) {
    check_in_object(text);
    field().kind = kind;
    field().text = text;
    end_field();
    return true;
  }

  void check_in_object(const std::string& text) const {
    if (record_level_ == 0) refuse(in_quotes(text), records_ ? "objects" : "an object, or a list");
  }

  void end_field() {
    if (is_single()) {
      visitor_.single_field(field());
    } else {
      ++used_;
    }
  }

  void check(const std::string& problem) const {
    if (!problem.empty()) throw InputError(pointer_place(), problem);
  }
  [[noreturn]] void refuse(const std::string& found, const std::string& allowed) const {
    throw InputError(pointer_place(), found + "; allowed: " + allowed);
  }

  /// "file", or of a record "file: line 3", "file: /2".
  std::string place() const {
    if (line_ != 0) return file_ + ": line " + std::to_string(line_);
    return records_ ? file_ + ": /" + std::to_string(record_) : file_;
  }

  std::string pointer_place() const {
    std::string pointer = record_level_ != 0 && used_ < fields_.size() ? "/" + fields_[used_].name : "";
    if (in_list()) pointer += list_.pointer();
    if (pointer.size() > kLongestPointer) pointer = pointer.substr(0, kLongestPointer) + "…";
    if (pointer.empty()) return place();
    pointer = in_quotes(pointer);
    pointer = pointer.substr(1, pointer.size() - 2);  // for what it does to control characters
    if (line_ == 0 && records_) return place() + pointer;
    return place() + (line_ != 0 ? ", " : ": ") + pointer;
  }

  std::string place_of_byte(std::size_t at) const {
    const std::string_view before = text_.substr(0, at);
    const auto newlines = std::ranges::count(before, '\n');
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = newline == std::string_view::npos ? at + 1 : at - newline;
    return file_ + ": line " + std::to_string(line_ != 0 ? line_ : newlines + 1) + ", column " + std::to_string(column);
  }

  static constexpr std::size_t kLongestPointer = 70;

  const std::string_view text_;
  const JsonShape shape_;
  const std::string& file_;
  const std::int64_t line_;
  FieldVisitor& visitor_;
  int level_ = 0;         // of objects and lists that are open
  int record_level_ = 0;  // that of the object whose fields these are; 0: in none
  bool records_ = false;  // the document is a list of objects
  std::int64_t record_ = 0;
  NestedList list_{kMostLevels};
  std::vector<RecordField> fields_;  // kept from record to record for their memory
  std::size_t used_ = 0;             // fields that are complete
  std::unordered_set<std::string> names_;
};

}  // namespace

void read_json_fields(std::string_view text, JsonShape shape, const std::string& file, std::int64_t line,
                      FieldVisitor& visitor) {
  FieldHandler handler(text, shape, file, line, visitor);
  json::sax_parse(text.begin(), text.end(), &handler);
}

}  // namespace tatr
