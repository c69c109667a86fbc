#include "formats/npy.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "core/output_file.hpp"

namespace tatr {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written as they lie in memory");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::int64_t kVersionEnd = 8;          // magic, then major and minor version
constexpr std::int64_t kLongestHeader = 65'536;  // far above what three short entries need
constexpr std::size_t kMostDimensions = 32;
/// As .npy and as safetensors write them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kDtypes = {{{"<f2", "F16"},
                                                                                    {"<f4", "F32"},
                                                                                    {"<f8", "F64"},
                                                                                    {"|i1", "I8"},
                                                                                    {"<i2", "I16"},
                                                                                    {"<i4", "I32"},
                                                                                    {"<i8", "I64"},
                                                                                    {"|u1", "U8"},
                                                                                    {"<u2", "U16"},
                                                                                    {"<u4", "U32"},
                                                                                    {"<u8", "U64"},
                                                                                    {"|b1", "BOOL"}}};
constexpr std::size_t kAlignment = 64;  // of the data, as NumPy writes it

/// Reads the header's Python literal: {'descr': '<f2', 'fortran_order': False, 'shape': (16384, 256), }
class HeaderParser {
 public:
  HeaderParser(const BinaryFile& file, std::int64_t begin, std::string_view text)
      : file_(file), begin_(begin), text_(text) {}

  TensorEntry parse() {
    expect('{');
    while (!take('}')) {
      entry();
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip_blanks();
    if (at_ != text_.size()) refuse("text after the dictionary", "only blanks");
    if (!descr_ || !fortran_order_ || !shape_) {
      refuse("an incomplete dictionary", "one with descr, fortran_order and shape");
    }
    if (*fortran_order_) throw InputError(file_.path(), "Fortran order; allowed: C order (numpy.ascontiguousarray)");
    TensorEntry tensor;
    tensor.dtype = dtype(*descr_);
    tensor.shape = *shape_;
    return tensor;
  }

 private:
  void entry() {
    const std::size_t key_at = at_;
    const std::string key = text();
    expect(':');
    const bool known = key == "descr" || key == "fortran_order" || key == "shape";
    const bool again =
        (key == "descr" && descr_) || (key == "fortran_order" && fortran_order_) || (key == "shape" && shape_);
    if (!known || again) {
      at_ = key_at;
      refuse((again ? "a duplicate key " : "key ") + in_quotes(key), "descr, fortran_order and shape, once each");
    }
    if (key == "descr") descr_ = text();
    if (key == "fortran_order") fortran_order_ = boolean();
    if (key == "shape") shape_ = tuple();
  }

  std::string text() {
    skip_blanks();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') refuse(here(), "text in quotes");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) refuse("text without a closing quote", "text in quotes");
    const std::string result(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return result;
  }

  bool boolean() {
    skip_blanks();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    refuse(here(), "True or False");
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> result;
    expect('(');
    while (!take(')')) {
      if (result.size() >= kMostDimensions) refuse("another dimension", std::to_string(kMostDimensions) + " at most");
      result.push_back(integer());
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return result;
  }

  std::int64_t integer() {
    skip_blanks();
    const std::size_t first = at_;
    std::int64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      if (__builtin_mul_overflow(value, std::int64_t{10}, &value) ||
          __builtin_add_overflow(value, std::int64_t{text_[at_] - '0'}, &value)) {
        at_ = first;
        refuse("a number past 2^63 - 1", "a dimension");
      }
      ++at_;
    }
    if (at_ == first) refuse(here(), "a whole number of at least 0");
    return value;
  }

  std::string dtype(const std::string& descr) const {
    for (const auto& [own, dtype] : kDtypes) {
      if (own == descr) return std::string(dtype);
    }
    std::string why;
    if (descr == "|O") why = ", Python objects, which are pickled";
    if (descr.starts_with('>')) why = ", which is big-endian";
    if (descr.ends_with("V2")) why = ", as bfloat16 of ml_dtypes is written, without its name";
    if (descr.ends_with("V1")) why = ", as floats of 8 bits are written, without their name";
    throw InputError(file_.path(), "dtype " + in_quotes(descr) + why +
                                       "; allowed: little-endian '<f2', '<f4', '<f8', '<i2' to '<i8', '<u2' to '<u8', "
                                       "and '|i1', '|u1', '|b1'");
  }

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }

  bool take(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) refuse(here(), in_quotes({&c, 1}));
  }

  std::string here() const { return at_ < text_.size() ? in_quotes(text_.substr(at_, 1)) : "the end of the header"; }

  [[noreturn]] void refuse(const std::string& found, const std::string& allowed) const {
    throw InputError(file_.at_byte(begin_ + static_cast<std::int64_t>(at_)),
                     "the .npy header has " + found + "; allowed: " + allowed);
  }

  const BinaryFile& file_;
  const std::int64_t begin_;
  const std::string_view text_;
  std::size_t at_ = 0;
  std::optional<std::string> descr_;
  std::optional<bool> fortran_order_;
  std::optional<std::vector<std::int64_t>> shape_;
};

void check_size(const BinaryFile& file, TensorEntry& tensor) {
  const std::string what = "shape " + shape_text(tensor.shape) + " of " + tensor.dtype;
  if (!checked_product(tensor.shape, dtype_bits(tensor.dtype) / 8, tensor.size_bytes)) {
    throw InputError(file.path(), what + " has more than 2^63 - 1 bytes");
  }
  const std::int64_t held = file.size_bytes() - tensor.offset_bytes;
  if (held != tensor.size_bytes) {
    throw InputError(file.at_byte(tensor.offset_bytes), std::string(held < tensor.size_bytes ? "truncated: " : "") +
                                                            what + " needs " + std::to_string(tensor.size_bytes) +
                                                            " bytes from here, the file has " + std::to_string(held));
  }
}

std::string make_header(const char* descr, std::span<const std::int64_t> shape) {
  std::string dictionary = std::string("{'descr': '") + descr + "', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < shape.size(); ++i) dictionary += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  dictionary += shape.size() == 1 ? ",), }" : "), }";
  const std::size_t before = kMagic.size() + 4;  // version and length
  const std::size_t unpadded = before + dictionary.size() + 1;
  dictionary.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  dictionary += '\n';
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(dictionary.size() & 0xff), static_cast<char>(dictionary.size() >> 8)};
  return header + dictionary;
}

template <class T>
void write_array(const std::string& path, const char* descr, std::span<const std::int64_t> shape,
                 std::span<const T> data) {
  std::int64_t elements = 0;
  if (shape.size() > kMostDimensions || !checked_product(shape, 1, elements) ||
      elements != static_cast<std::int64_t>(data.size())) {
    throw std::invalid_argument("write_npy: shape " + shape_text(shape) + " for " + std::to_string(data.size()) +
                                " elements");
  }
  OutputFile file(path);
  file.write(make_header(descr, shape));
  file.write({reinterpret_cast<const char*>(data.data()), data.size_bytes()});
  file.commit();
}

}  // namespace

bool is_npy(const BinaryFile& file) { return file.first_bytes(kMagic.size()) == kMagic; }

TensorEntry read_npy_header(const BinaryFile& file) {
  if (!is_npy(file)) throw InputError(file.at_byte(0), "not an .npy file; allowed: one that starts with \\x93NUMPY");
  std::array<std::byte, 2> version;
  file.read(static_cast<std::int64_t>(kMagic.size()), version);
  const int major = std::to_integer<int>(version[0]);
  if (major < 1 || major > 3) {
    throw InputError(file.at_byte(6), ".npy version " + std::to_string(major) + "; allowed: 1, 2, 3");
  }
  std::array<std::byte, 4> length_bytes{};
  const std::size_t length_size = major == 1 ? 2 : 4;
  file.read(kVersionEnd, std::span(length_bytes).first(length_size));
  const auto length = static_cast<std::int64_t>(little_endian(length_bytes));
  const std::int64_t begin = kVersionEnd + static_cast<std::int64_t>(length_size);
  const std::int64_t most = std::min(kLongestHeader, file.size_bytes() - begin);
  if (length > most) {
    throw InputError(file.at_byte(kVersionEnd), "truncated, or not an .npy file: a header of " +
                                                    std::to_string(length) + " bytes; allowed: at most " +
                                                    std::to_string(most));
  }
  std::string text(static_cast<std::size_t>(length), '\0');
  file.read(begin, std::as_writable_bytes(std::span(text)));
  TensorEntry tensor = HeaderParser(file, begin, text).parse();
  tensor.offset_bytes = begin + length;
  check_size(file, tensor);
  return tensor;
}

void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const std::int32_t> data) {
  write_array(path, "<i4", shape, data);
}

void write_npy(const std::string& path, std::span<const std::int64_t> shape, std::span<const float> data) {
  write_array(path, "<f4", shape, data);
}

}  // namespace tatr
