// What GEMMs cannot beat, by hand.
#include "model/floors.hpp"

#include "catch.hpp"
#include "model/tile_cost.hpp"

using namespace tatr;

namespace {

/// 130, 0 and 64 rows at tile 128.
RoundingMetrics three_experts() {
  RoundingMetrics metrics;
  metrics.tile = 128;
  metrics.rows = 194;
  metrics.tiles = 3;
  metrics.counts_after = {130, 0, 64};
  metrics.tiles_per_expert = {2, 0, 1};
  return metrics;
}

DeviceRates rates(double flops, double bytes) {
  DeviceRates rates;
  rates.flops = flops;
  rates.bytes = bytes;
  return rates;
}

}  // namespace

TEST_CASE("rows of whole tiles and of whole steps") {
  const RoundingMetrics metrics = three_experts();
  CHECK(step_rows(metrics) == 192 + 64);
  CHECK(forward_rows(metrics) == 3 * 128);
  CHECK(backward_rows(metrics) == 3 * 128 + 192 + 64);
}

TEST_CASE("a weight gradient multiplies whole steps, and writes every expert") {
  const RoundingMetrics metrics = three_experts();
  const GemmFloor by_flops = weight_gradient_floor(rates(1e12, 1e18), metrics, {64, 32}, DType::kBf16, DType::kFp32);
  CHECK(by_flops.ms == Approx(2.0 * 256 * 64 * 32 / 1e12 * 1e3));
  CHECK_FALSE(by_flops.by_bytes);
  const GemmFloor by_bytes = weight_gradient_floor(rates(1e18, 1e12), metrics, {64, 32}, DType::kBf16, DType::kFp32);
  CHECK(by_bytes.ms == Approx((4.0 * 3 * 64 * 32 + 2.0 * 194 * (64 + 32)) / 1e12 * 1e3));
  CHECK(by_bytes.by_bytes);
  const GemmFloor narrow = weight_gradient_floor(rates(1e18, 1e12), metrics, {64, 32}, DType::kBf16, DType::kBf16);
  CHECK(by_bytes.ms - narrow.ms == Approx(2.0 * 3 * 64 * 32 / 1e12 * 1e3));
}
