// A short name for bytes: equal bytes have one digest, and other bytes another with all likelihood. Names content,
// guards nothing against who would forge it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/hash.hpp"

namespace tatr {

class Digest {
 public:
  /// Goes on with so many bytes; where one call ends and the next begins is part of what is named.
  void add(std::span<const std::byte> bytes);

  template <class T>
  void add_values(const T& values) {
    add(std::as_bytes(std::span(values)));
  }

  /// 16 hex digits.
  std::string text() const;

 private:
  void add_word(std::uint64_t word);
  std::uint64_t state_ = kFnvBasis;
};

}  // namespace tatr
