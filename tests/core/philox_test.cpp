#include "core/philox.hpp"

#include "catch.hpp"

using namespace tatr;

TEST_CASE("Philox4x32-10 gives the published known answers") {
  // Random123 1.14, tests/kat_vectors.
  const auto zero = philox(0, {{0, 0, 0, 0}});
  CHECK(zero.word[0] == 0x6627e8d5u);
  CHECK(zero.word[1] == 0xe169c58du);
  CHECK(zero.word[2] == 0xbc57ac4cu);
  CHECK(zero.word[3] == 0x9b00dbd8u);
  const auto ones = philox(~0ull, {{~0u, ~0u, ~0u, ~0u}});
  CHECK(ones.word[0] == 0x408f276du);
  CHECK(ones.word[3] == 0x6d5451fdu);
  const auto pi = philox(0x299f31d0a4093822ull, {{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}});
  CHECK(pi.word[0] == 0xd16cfe09u);
  CHECK(pi.word[1] == 0x94fdccebu);
  CHECK(pi.word[2] == 0x5001e420u);
  CHECK(pi.word[3] == 0x24126ea1u);
}

TEST_CASE("random_bits shares one block between four neighbours and no two streams") {
  CHECK(random_bits(7, Stream::kLogit, 6, 3) == philox(7, {{1, 3, 0, 0}}).word[2]);
  CHECK(random_bits(7, Stream::kLogit, 6, 3) != random_bits(7, Stream::kRounding, 6, 3));
}
