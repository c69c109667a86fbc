// One element of a recorded array as a number, whatever its type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace tatr {

/// Whether elements are numbers that the loaders know: floats of 16 bits or more, whole numbers, and truth values.
bool is_number(const std::string& dtype);

using FloatLoader = double (*)(const std::byte*);
using IntegerLoader = std::int64_t (*)(const std::byte*);

/// Of every type that is_number.
FloatLoader float_loader(const std::string& dtype);

/// Of whole types; null for others. Unsigned numbers past 2^63 - 1 become negative.
IntegerLoader integer_loader(const std::string& dtype);

/// Neighbouring elements as numbers: all of `bytes`, as many as `values` has room for.
template <class T>
void load_all(std::span<const std::byte> bytes, T (*load)(const std::byte*), std::vector<T>& values) {
  const std::size_t size = bytes.size() / values.size();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = load(bytes.data() + i * size);
}

/// "fp16", "int32", …
std::string dtype_words(const std::string& dtype);

/// As it is written in errors: NaN, Inf and the shortest decimal fraction.
std::string number_text(double value);

}  // namespace tatr
