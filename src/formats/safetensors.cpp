#include "formats/safetensors.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/error.hpp"
#include "json/json_text.hpp"

namespace tatr {
namespace {

constexpr std::int64_t kLengthBytes = 8;
constexpr std::int64_t kLongestHeader = 100'000'000;  // the limit of the format's own reader
constexpr std::size_t kMostDimensions = 32;

/// Takes the header's JSON event by event, so that no document is built: a hostile header costs no more memory than its
/// own bytes. `depth_` 1 is the header, 2 a tensor or the metadata, 3 a tensor's shape or offsets.
class HeaderHandler : public nlohmann::json::json_sax_t {
 public:
  HeaderHandler(const std::string& path, std::int64_t data_begin, SafetensorsHeader& header)
      : path_(path), data_begin_(data_begin), header_(header) {}

  bool null() override { refuse("null"); }
  bool boolean(bool value) override { refuse(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { refuse(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { refuse(text); }
  bool binary(binary_t&) override { refuse("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3 || value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      refuse(std::to_string(value));
    }
    auto& list = key_ == "shape" ? tensor_.shape : offsets_;
    if (list.size() >= kMostDimensions) {
      throw InputError(place(), "more than " + std::to_string(kMostDimensions) + " numbers");
    }
    list.push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (in_metadata_) {
      header_.metadata[key_] = value;
    } else if (depth_ == 2 && key_ == "dtype") {
      tensor_.dtype = value;
    } else {
      refuse(in_quotes(value));
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ >= 2) refuse("an object");
    if (depth_ == 1) {
      in_metadata_ = name_ == "__metadata__";
      tensor_ = {};
      tensor_.name = name_;
      offsets_.clear();
      seen_.clear();
    }
    ++depth_;
    return true;
  }

  bool key(string_t& key) override {
    auto& seen = depth_ == 1 ? names_ : seen_;
    if (!seen.insert(key).second) throw InputError(place(), "duplicate key " + in_quotes(key));
    if (depth_ == 1) {
      name_ = key;
      key_.clear();
      return true;
    }
    key_ = key;
    if (!in_metadata_ && key != "dtype" && key != "shape" && key != "data_offsets") {
      throw InputError(path_ + ": tensor " + in_quotes(name_),
                       "unknown key " + in_quotes(key) + "; allowed: dtype, shape, data_offsets");
    }
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && !in_metadata_) finish_tensor();
    if (depth_ == 2) key_.clear(), name_.clear(), in_metadata_ = false;
    --depth_;
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || key_ == "dtype") refuse("a list");
    ++depth_;
    return true;
  }

  bool end_array() override {
    --depth_;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    // `position` counts the bytes taken, the offending one included.
    const auto offset = kLengthBytes + static_cast<std::int64_t>(position) - (position > 0 ? 1 : 0);
    throw InputError(path_ + ": byte " + std::to_string(offset),
                     "the header is not valid JSON: " + json_parse_problem(error));
  }

 private:
  [[noreturn]] void refuse(const std::string& value) const {
    std::string allowed = "an object with dtype, shape and data_offsets";
    if (depth_ == 0) allowed = "one object with an entry for each tensor";
    if (depth_ >= 2) allowed = "a list of whole numbers from 0 to 2^63 - 1";
    if (depth_ == 2 && key_ == "dtype") allowed = "a dtype such as 'F16'";
    if (in_metadata_ || (depth_ == 1 && name_ == "__metadata__")) allowed = "an object whose values are all text";
    throw InputError(place(), "found " + value + "; allowed: " + allowed);
  }

  std::string place() const {
    std::string result = path_ + ": header";
    if (!name_.empty()) result += ", " + in_quotes(name_);
    if (!key_.empty()) result += ", " + in_quotes(key_);
    return result;
  }

  void finish_tensor() {
    const std::string where = path_ + ": tensor " + in_quotes(name_);
    for (const char* required : {"dtype", "shape", "data_offsets"}) {
      if (!seen_.contains(required)) throw InputError(where, std::string("lacks ") + required);
    }
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1]) {
      throw InputError(where, "data_offsets " + shape_text(offsets_) + "; allowed: [begin, end] with begin <= end");
    }
    const std::int64_t bits = dtype_bits(tensor_.dtype);
    if (bits == 0) throw InputError(where, "unknown dtype " + in_quotes(tensor_.dtype));
    std::int64_t size_bits = 0;
    if (!checked_product(tensor_.shape, bits, size_bits)) {
      throw InputError(where, "shape " + shape_text(tensor_.shape) + " has more than 2^63 - 1 bits");
    }
    tensor_.size_bytes = offsets_[1] - offsets_[0];
    if (size_bits % 8 != 0 || size_bits / 8 != tensor_.size_bytes) {
      throw InputError(where, "shape " + shape_text(tensor_.shape) + " of " + tensor_.dtype + " is " +
                                  std::to_string(size_bits / 8) + " bytes, but its data_offsets " +
                                  shape_text(offsets_) + " hold " + std::to_string(tensor_.size_bytes));
    }
    if (offsets_[1] > std::numeric_limits<std::int64_t>::max() - data_begin_) {
      throw InputError(where, "data_offsets " + shape_text(offsets_) + " pass 2^63 - 1");
    }
    tensor_.offset_bytes = data_begin_ + offsets_[0];
    header_.tensors.push_back(tensor_);
  }

  const std::string path_;
  const std::int64_t data_begin_;
  SafetensorsHeader& header_;
  int depth_ = 0;
  bool in_metadata_ = false;
  std::string name_;  // key at depth 1
  std::string key_;   // key at depth 2
  TensorEntry tensor_;
  std::vector<std::int64_t> offsets_;
  std::unordered_set<std::string> names_, seen_;
};

/// Tensors, in order of offset, must cover the bytes from data_begin to the end of the file exactly.
void check_layout(const BinaryFile& file, std::int64_t data_begin, const std::vector<TensorEntry>& tensors) {
  std::int64_t end = data_begin;
  for (const TensorEntry& tensor : tensors) {
    const std::string where = file.path() + ": tensor " + in_quotes(tensor.name);
    if (tensor.offset_bytes != end) {
      throw InputError(where, "its data starts at byte " + std::to_string(tensor.offset_bytes - data_begin) +
                                  " of the data; allowed: " + std::to_string(end - data_begin) +
                                  ", where the tensor before it ends (no overlap, no gap)");
    }
    end = tensor.offset_bytes + tensor.size_bytes;
    if (end > file.size_bytes()) {
      throw InputError(where, "truncated: its data should end at byte " + std::to_string(end) +
                                  " of the file, which has only " + std::to_string(file.size_bytes()));
    }
  }
  if (end != file.size_bytes()) {
    throw InputError(file.at_byte(end),
                     std::to_string(file.size_bytes() - end) + " bytes follow the last tensor; allowed: none");
  }
}

}  // namespace

bool starts_as_safetensors(std::string_view first_bytes) {
  if (first_bytes.size() < kHeaderStart || first_bytes[kLengthBytes] != '{') return false;
  const auto length = std::as_bytes(std::span(first_bytes)).first(static_cast<std::size_t>(kLengthBytes));
  return little_endian(length) <= static_cast<std::uint64_t>(kLongestHeader);
}

SafetensorsHeader read_safetensors_header(const BinaryFile& file) {
  std::array<std::byte, kLengthBytes> length_bytes;
  file.read(0, length_bytes);
  const std::uint64_t length = little_endian(length_bytes);
  const std::int64_t most = std::min(kLongestHeader, file.size_bytes() - kLengthBytes);
  if (length > static_cast<std::uint64_t>(most)) {
    throw InputError(file.at_byte(0),
                     "not a safetensors file, or truncated: a header of " + std::to_string(length) +
                         " bytes; allowed: at most " + std::to_string(most) + ", " +
                         (most == kLongestHeader ? "the limit of the format" : "what follows in the file"));
  }
  std::string text(static_cast<std::size_t>(length), '\0');
  file.read(kLengthBytes, std::as_writable_bytes(std::span(text)));

  const std::int64_t data_begin = kLengthBytes + static_cast<std::int64_t>(length);
  SafetensorsHeader header;
  HeaderHandler handler(file.path(), data_begin, header);
  nlohmann::json::sax_parse(text, &handler);
  std::stable_sort(header.tensors.begin(), header.tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    // An empty tensor sorts before the one that shares its offset.
    return a.offset_bytes != b.offset_bytes ? a.offset_bytes < b.offset_bytes : a.size_bytes < b.size_bytes;
  });
  check_layout(file, data_begin, header.tensors);
  return header;
}

}  // namespace tatr
