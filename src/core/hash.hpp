// FNV-1a: short names for text and bytes. Names content, guards nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tatr {

inline constexpr std::uint64_t kFnvBasis = 0xcbf29ce484222325U, kFnvPrime = 0x100000001b3U;

/// FNV-1a, 64 bits, of the text's bytes (Fowler, Noll, Vo; RFC 9923).
constexpr std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = kFnvBasis;
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * kFnvPrime;
  return hash;
}

/// 16 of them.
inline std::string hex_digits(std::uint64_t value) {
  std::string digits(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4U) digits[i] = "0123456789abcdef"[value & 15U];
  return digits;
}

}  // namespace tatr
