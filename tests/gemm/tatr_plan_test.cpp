#include "gemm/sm90/tatr_plan.hpp"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "catch.hpp"
#include "core/error.hpp"
#include "gemm/sm90/tile_scheduler.cuh"

namespace tatr {
namespace {

constexpr TatrDevice kH100{90, 132};

TatrProblem up_projection() { return {256, 2048, 4096, 128, 16384 * 8 + 256 * 127, false, false}; }

std::string reason(const TatrProblem& problem, const TatrDevice& device = kH100) {
  std::string why;
  REQUIRE_FALSE(can_run(problem, device, &why));
  return why;
}

/// What all items of one expert cover, as {row tile, column tile}; checks each item by itself and against the other
/// CTA's part.
std::set<std::pair<std::int64_t, std::int64_t>> covered(const TileGrid& grid, std::int32_t count) {
  constexpr std::int32_t kBegin = 1000;
  std::set<std::pair<std::int64_t, std::int64_t>> tiles;
  for (std::int64_t item = 0; item < items_of_expert(grid, count); ++item) {
    const TileItem parts[2] = {item_of_expert(grid, 3, kBegin, count, item, 0),
                               item_of_expert(grid, 3, kBegin, count, item, 1)};
    CHECK(parts[0].shares_rows == parts[1].shares_rows);
    CHECK(parts[0].half == parts[1].half);
    CHECK(parts[0].valid_rows > 0);
    if (parts[0].shares_rows) CHECK(parts[0].first_row == parts[1].first_row);
    if (!parts[0].shares_rows) CHECK(parts[0].column_tile == parts[1].column_tile);
    for (const TileItem& part : parts) {
      if (part.valid_rows == 0) continue;
      const std::int32_t row = part.first_row - kBegin;
      CHECK(row % kBlockRows == 0);
      CHECK(part.valid_rows == std::min(kBlockRows, count - row));
      CHECK(part.half == (grid.granule_rows == 64 && part.valid_rows <= 64));
      CHECK(tiles.emplace(row / kBlockRows, part.column_tile).second);
    }
  }
  return tiles;
}

}  // namespace

TEST_CASE("A plan follows from shapes and the device alone") {
  const TatrPlan plan = make_plan(up_projection(), kH100);
  CHECK(plan.granule_rows == 128);
  CHECK(plan.clusters == 66);
  CHECK(plan.note.empty());
  CHECK(describe(plan) == "cooperative, tiles of 128 x 256 x 64, 4 stages, clusters of 2");
}

TEST_CASE("The granule is the tile asked for, 32 rows excepted") {
  for (const std::int32_t tile : {64, 128, 256}) {
    TatrProblem problem = up_projection();
    problem.tile_rows = tile;
    CHECK(make_plan(problem, kH100).granule_rows == tile);
  }
  TatrProblem problem = up_projection();
  problem.tile_rows = 32;
  CHECK(make_plan(problem, kH100).granule_rows == 64);
  CHECK(make_plan(problem, kH100).note.find("run as 64") != std::string::npos);
}

TEST_CASE("What cannot run is refused with the value and what is needed") {
  CHECK(reason(up_projection(), {80, 108}) == "compute capability is 80, needs 90 (H100, H200)");
  CHECK(reason(up_projection(), {100, 148}).find("100") != std::string::npos);
  TatrProblem problem = up_projection();
  problem.k = 4100;
  CHECK(reason(problem) == "k is 4100, needs a multiple of 8");
  problem = up_projection();
  problem.n = 2052;
  CHECK(reason(problem) == "n is 2052, needs a multiple of 8");
  problem.n = 2056;
  CHECK(can_run(problem, kH100));
  problem.swiglu = true;
  CHECK(reason(problem) == "n is 2056, needs a multiple of 16");
  problem = up_projection();
  problem.tile_rows = 96;
  CHECK(reason(problem) == "tile is 96, needs 32, 64, 128 or 256");
  problem = up_projection();
  problem.experts = 0;
  CHECK(reason(problem) == "experts is 0, needs 1 or more");
  problem = up_projection();
  problem.rows_bound = std::int64_t{1} << 31;
  CHECK(reason(problem).find("rows is 2147483648") == 0);
  CHECK_THROWS_AS(make_plan(problem, kH100), EnvironmentError);
}

TEST_CASE("Candidates begin with the unmeasured choice and differ from it") {
  const auto plans = candidate_plans(up_projection(), kH100);
  REQUIRE(plans.size() >= 2);
  CHECK(plans[0].k_stagger == make_plan(up_projection(), kH100).k_stagger);
  for (std::size_t i = 1; i < plans.size(); ++i) {
    CHECK((plans[i].k_stagger != plans[0].k_stagger || plans[i].band_pairs != plans[0].band_pairs));
    CHECK(describe(plans[i]) != describe(plans[0]));
  }
}

TEST_CASE("Plain products over a short k take turns, and are measured both ways") {
  TatrProblem problem = up_projection();
  CHECK(make_plan(problem, kH100).schedule == Schedule::kCooperative);
  problem.k = 512;
  CHECK(make_plan(problem, kH100).schedule == Schedule::kPingPong);
  CHECK(describe(make_plan(problem, kH100)) == "ping-pong, tiles of 128 x 128 x 64, 6 stages, clusters of 2");
  const auto schedules = [&] {
    std::set<Schedule> found;
    for (const TatrPlan& plan : candidate_plans(problem, kH100)) found.insert(plan.schedule);
    return found;
  };
  CHECK(schedules().size() == 2);
  problem.k = 1024;
  CHECK(make_plan(problem, kH100).schedule == Schedule::kCooperative);
  CHECK(schedules().size() == 2);
  for (const auto fused : {&TatrProblem::gather, &TatrProblem::swiglu}) {
    problem = up_projection();
    problem.k = 512;
    problem.*fused = true;
    CHECK(make_plan(problem, kH100).schedule == Schedule::kCooperative);
    CHECK(schedules().size() == 1);
  }
}

TEST_CASE("Gradients of data take tiles of rows, those of weights steps of 64") {
  TatrProblem problem = up_projection();
  problem.kind = GemmKind::kDataGradient;
  problem.tile_rows = 256;
  CHECK(make_plan(problem, kH100).granule_rows == 256);
  CHECK(traits_of(make_plan(problem, kH100)) == GemmTraits{Operands::kDataGradient});
  problem.k = 1024;  // where forward does not take turns yet
  CHECK(make_plan(problem, kH100).schedule == Schedule::kPingPong);
  problem.gather = problem.swiglu_gradient = true;
  CHECK(traits_of(make_plan(problem, kH100)) ==
        GemmTraits{Operands::kDataGradient, true, Epilogue::kSwigluGradient, Schedule::kCooperative});
  CHECK(column_tiles_of(make_plan(problem, kH100)) == 8);

  problem = up_projection();
  problem.kind = GemmKind::kWeightGradient;
  problem.transpose = true;
  problem.gradient = DType::kFp32;
  const TatrPlan plan = make_plan(problem, kH100);
  CHECK(plan.granule_rows == 64);
  CHECK(plan.prefetch);
  CHECK(column_tiles_of(plan) == 16);  // of k: the rows are n's
  CHECK(traits_of(plan) ==
        GemmTraits{Operands::kWeightGradient, true, Epilogue::kStore, Schedule::kCooperative, true, true});
  const auto plans = candidate_plans(problem, kH100);
  for (std::size_t i = 1; i < plans.size(); ++i) {
    CHECK(plans[i].k_stagger == 0);
    CHECK(plans[i].schedule == Schedule::kCooperative);
    CHECK(describe(plans[i]) != describe(plan));
  }
  GroupedGemmProblem uneven;
  uneven.kind = GemmKind::kWeightGradient;
  uneven.tile_of_expert = {64, 128};
  CHECK(granules_of_launches(uneven).empty());
}

TEST_CASE("An expert without a granule has no items") { CHECK(items_of_expert({1, 8, 0, 2, nullptr}, 1000) == 0); }

TEST_CASE("Items cover each tile of an expert once") {
  for (const std::int32_t granule : {64, 128, 256}) {
    for (const std::int32_t columns : {1, 2, 3, 8, 9}) {
      for (const std::int32_t band : {1, 2, 8}) {
        const TileGrid grid{1, columns, granule, band, nullptr};
        for (const std::int32_t count :
             {0, 1, 63, 64, 65, 127, 128, 129, 192, 193, 256, 257, 300, 512, 640, 704, 1000, 5000}) {
          CAPTURE(granule, columns, band, count);
          CHECK(static_cast<std::int64_t>(covered(grid, count).size()) ==
                static_cast<std::int64_t>(ceil_div(count, kBlockRows)) * columns);
        }
      }
    }
  }
}

TEST_CASE("An expert costs one more item in two columns for each granule") {
  const TileGrid grid{1, 8, 128, 8, nullptr};
  CHECK(items_of_expert(grid, 0) == 0);
  CHECK(items_of_expert(grid, 1) == 4);
  CHECK(items_of_expert(grid, 128) == 4);
  CHECK(items_of_expert(grid, 129) == 8);
  CHECK(items_of_expert(grid, 512) == 16);
  CHECK(items_of_expert(grid, 513) == 20);
  const TileGrid pairs{1, 8, 256, 8, nullptr};
  CHECK(items_of_expert(pairs, 129) == 8);
  CHECK(items_of_expert(pairs, 1) == 8);
}

}  // namespace tatr
