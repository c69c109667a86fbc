#include "source/element.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "core/half.hpp"

namespace tatr {

namespace {

template <class T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <class T>
double load_double(const std::byte* at) {
  return static_cast<double>(load<T>(at));
}

template <class T>
std::int64_t load_integer(const std::byte* at) {
  return static_cast<std::int64_t>(load<T>(at));
}

}  // namespace

bool is_number(const std::string& dtype) {
  const bool is_float = dtype == "F16" || dtype == "BF16" || dtype == "F32" || dtype == "F64";
  return is_float || integer_loader(dtype) != nullptr;
}

FloatLoader float_loader(const std::string& dtype) {
  if (dtype == "F16") return [](const std::byte* at) -> double { return float_from_half(load<std::uint16_t>(at)); };
  if (dtype == "BF16")
    return [](const std::byte* at) -> double { return float_from_bfloat16(load<std::uint16_t>(at)); };
  if (dtype == "F32") return load_double<float>;
  if (dtype == "F64") return load_double<double>;
  if (dtype == "I8") return load_double<std::int8_t>;
  if (dtype == "I16") return load_double<std::int16_t>;
  if (dtype == "U16") return load_double<std::uint16_t>;
  if (dtype == "I32") return load_double<std::int32_t>;
  if (dtype == "U32") return load_double<std::uint32_t>;
  if (dtype == "I64") return load_double<std::int64_t>;
  if (dtype == "U64") return load_double<std::uint64_t>;
  return load_double<std::uint8_t>;  // and BOOL
}

IntegerLoader integer_loader(const std::string& dtype) {
  if (dtype == "I8") return load_integer<std::int8_t>;
  if (dtype == "U8" || dtype == "BOOL") return load_integer<std::uint8_t>;
  if (dtype == "I16") return load_integer<std::int16_t>;
  if (dtype == "U16") return load_integer<std::uint16_t>;
  if (dtype == "I32") return load_integer<std::int32_t>;
  if (dtype == "U32") return load_integer<std::uint32_t>;
  if (dtype == "I64") return load_integer<std::int64_t>;
  if (dtype == "U64") return load_integer<std::uint64_t>;
  return nullptr;
}

std::string dtype_words(const std::string& dtype) {
  if (dtype == "BF16") return "bf16";
  if (dtype == "BOOL") return "bool";
  const std::string bits = dtype.substr(1);
  return (dtype[0] == 'F' ? "fp" : dtype[0] == 'U' ? "uint" : "int") + bits;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Inf" : "Inf";
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

}  // namespace tatr
