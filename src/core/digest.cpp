#include "core/digest.hpp"

#include <bit>
#include <cstring>

namespace tatr {

void Digest::add_word(std::uint64_t word) {
  // FNV-1a by words. The rotation brings high bits down, which a product never does: else two flipped signs would
  // cancel.
  state_ = std::rotl((state_ ^ word) * kFnvPrime, 32);
}

void Digest::add(std::span<const std::byte> bytes) {
  add_word(bytes.size());
  for (; !bytes.empty();) {
    std::uint64_t word = 0;
    const std::size_t taken = bytes.size() < sizeof word ? bytes.size() : sizeof word;
    std::memcpy(&word, bytes.data(), taken);
    add_word(word);
    bytes = bytes.subspan(taken);
  }
}

std::string Digest::text() const { return hex_digits(state_); }

}  // namespace tatr
