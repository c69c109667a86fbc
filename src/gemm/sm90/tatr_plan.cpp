#include "gemm/sm90/tatr_plan.hpp"

#include <limits>
#include <map>
#include <set>
#include <utility>

#include "core/error.hpp"
#include "core/integer_math.hpp"
#include "gemm/sm90/tatr_backend.hpp"

namespace tatr {
namespace {

// 2048 rows of A are 16 MB at k = 4096: they stay in L2 (50 MB) beside the weights of the columns that are walked
// meanwhile.
constexpr std::int32_t kBandPairs = 8;

// Up to here tiles end so often that storing them in turns pays: with k = 512 the down-projection of layers of 256 and
// 512 experts takes 6 and 2 % less; with 1024 3 % less to 2 % more; with 4096 10 % more, for L2 binds.
// Data gradients: with 1024 4 to 5 % less, with 2048 as much or more.
constexpr std::int64_t kPingPongMost = 512, kPingPongMostOfGradients = 1024, kPingPongWorthMeasuring = 2048;

bool has_ping_pong(const TatrProblem& problem) {
  return problem.kind != GemmKind::kWeightGradient && !problem.gather && !problem.swiglu && !problem.swiglu_gradient;
}

std::string why_not(const TatrProblem& problem, const TatrDevice& device) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max() - 2 * kBlockRows;
  const std::int64_t unit = problem.swiglu ? 16 : 8, tile = problem.tile_rows;
  const auto is = [](std::int64_t value) { return " is " + std::to_string(value) + ", needs "; };
  if (device.compute_capability != 90) return "compute capability" + is(device.compute_capability) + "90 (H100, H200)";
  if (device.multiprocessors < kCluster)
    return "multiprocessors" + is(device.multiprocessors) + std::to_string(kCluster);
  if (problem.experts < 1) return "experts" + is(problem.experts) + "1 or more";
  if (tile != 32 && tile != 64 && tile != 128 && tile != 256) return "tile" + is(tile) + "32, 64, 128 or 256";
  // Rows of bulk copies begin at multiples of 16 bytes.
  if (problem.k < 8 || problem.k % 8 != 0 || problem.k > kMost) return "k" + is(problem.k) + "a multiple of 8";
  if (problem.n < unit || problem.n % unit != 0 || problem.n > kMost) {
    return "n" + is(problem.n) + "a multiple of " + std::to_string(unit);
  }
  if (problem.rows_bound < 0 || problem.rows_bound > kMost) return "rows" + is(problem.rows_bound) + "0 to 2^31 - 257";
  return "";
}

}  // namespace

TatrProblem tatr_problem_of(const GroupedGemmProblem& problem) {
  return {static_cast<std::int32_t>(problem.experts),
          problem.n,
          problem.k,
          static_cast<std::int32_t>(problem.tile_rows),
          problem.rows_bound,
          problem.gather,
          problem.swiglu,
          problem.kind,
          problem.keep,
          problem.swiglu_gradient,
          problem.transpose,
          problem.gradient};
}

TatrDevice tatr_device_of(const DeviceInfo& device) { return {device.compute_capability, device.multiprocessors}; }

std::string why_not_tatr(const GroupedGemmProblem& problem, const DeviceInfo& device) {
  if (problem.kind == GemmKind::kUniformRows) return "it multiplies each expert's own rows only";
  if (problem.dtype != DType::kBf16) return "it takes bf16";
  std::set<std::int32_t> tiles(problem.tile_of_expert.begin(), problem.tile_of_expert.end());
  TatrProblem own = tatr_problem_of(problem);
  if (tiles.empty()) tiles.insert(own.tile_rows);
  for (const std::int32_t tile : tiles) {
    own.tile_rows = tile;
    if (const std::string why = why_not(own, tatr_device_of(device)); !why.empty()) return why;
  }
  return {};
}

bool can_run(const TatrProblem& problem, const TatrDevice& device, std::string* reason) {
  const std::string why = why_not(problem, device);
  if (reason != nullptr) *reason = why;
  return why.empty();
}

std::int32_t granule_of(std::int32_t tile_rows) { return std::max(tile_rows, 64); }

std::vector<std::vector<std::int32_t>> granules_of_launches(const GroupedGemmProblem& problem) {
  if (problem.kind == GemmKind::kWeightGradient) return {};  // sums over rows know no tiles of them
  const std::vector<std::int32_t>& tiles = problem.tile_of_expert;
  std::map<std::int32_t, std::vector<std::int32_t>> by_launch;
  const std::vector<std::int32_t> none(tiles.size(), 0);
  for (std::size_t e = 0; e < tiles.size(); ++e) {
    const std::int32_t granule = granule_of(tiles[e]);
    by_launch.try_emplace(problem.launch_per_tile ? granule : 0, none).first->second[e] = granule;
  }
  std::vector<std::vector<std::int32_t>> launches;
  launches.reserve(by_launch.size());
  for (auto& [granule, granules] : by_launch) launches.push_back(std::move(granules));
  return launches;
}

TatrPlan make_plan(const TatrProblem& problem, const TatrDevice& device) {
  if (const std::string why = why_not(problem, device); !why.empty()) throw EnvironmentError("back end tatr: " + why);
  TatrPlan plan;
  plan.problem = problem;
  plan.granule_rows = problem.kind == GemmKind::kWeightGradient ? kBlockDepth : granule_of(problem.tile_rows);
  plan.clusters = device.multiprocessors / kCluster;
  plan.band_pairs = kBandPairs;
  const std::int64_t most = problem.kind == GemmKind::kDataGradient ? kPingPongMostOfGradients : kPingPongMost;
  if (has_ping_pong(problem) && problem.k <= most) plan.schedule = Schedule::kPingPong;
  plan.prefetch = problem.kind == GemmKind::kWeightGradient;
  if (problem.tile_rows == 32 && problem.kind != GemmKind::kWeightGradient)
    plan.note = "tiles of 32 rows run as 64, the fewest that a matrix instruction takes";
  return plan;
}

GemmTraits traits_of(const TatrPlan& plan) {
  const TatrProblem& problem = plan.problem;
  GemmTraits traits;
  traits.schedule = plan.schedule;
  traits.gather = problem.gather;
  if (problem.kind == GemmKind::kDataGradient) traits.operands = Operands::kDataGradient;
  if (problem.swiglu) traits.epilogue = problem.keep ? Epilogue::kSwigluKeep : Epilogue::kSwiglu;
  if (problem.swiglu_gradient) traits.epilogue = Epilogue::kSwigluGradient;
  if (problem.kind != GemmKind::kWeightGradient) return traits;
  return {Operands::kWeightGradient,       true, Epilogue::kStore, Schedule::kCooperative, problem.transpose,
          problem.gradient == DType::kFp32};
}

std::int64_t outputs_of(const TatrProblem& problem) {
  if (problem.kind == GemmKind::kWeightGradient) return problem.k;
  return problem.swiglu ? problem.n / 2 : problem.n;
}

std::int32_t column_tiles_of(const TatrPlan& plan) {
  const std::int32_t columns = block_columns(plan.schedule) / (plan.problem.swiglu ? 2 : 1);
  return ceil_div(static_cast<std::int32_t>(outputs_of(plan.problem)), columns);
}

std::string describe(const TatrPlan& plan) {
  const auto text = [](std::int32_t number) { return std::to_string(number); };
  std::string words = plan.schedule == Schedule::kPingPong ? "ping-pong" : "cooperative";
  words += ", tiles of " + text(kBlockRows) + " x " + text(block_columns(plan.schedule)) + " x " + text(kBlockDepth);
  words += ", " + text(stages(plan.schedule)) + " stages, clusters of " + text(kCluster);
  if (plan.k_stagger != 0) words += ", k stagger " + std::to_string(plan.k_stagger);
  if (plan.band_pairs != kBandPairs) words += ", bands of " + std::to_string(plan.band_pairs) + " pairs";
  if (plan.prefetch) words += ", gathered rows prefetched";
  return words;
}

std::vector<TatrPlan> candidate_plans(const TatrProblem& problem, const TatrDevice& device) {
  std::vector<TatrPlan> plans{make_plan(problem, device)};
  const bool reduces_rows = problem.kind == GemmKind::kWeightGradient;
  TatrPlan staggered = plans[0];
  staggered.k_stagger = 3;
  if (!reduces_rows && ceil_div<std::int64_t>(problem.k, kBlockDepth) > staggered.k_stagger) {
    plans.push_back(staggered);
  }
  TatrPlan other = plans[0];
  other.schedule = other.schedule == Schedule::kPingPong ? Schedule::kCooperative : Schedule::kPingPong;
  if (has_ping_pong(problem) && problem.k <= kPingPongWorthMeasuring) plans.push_back(other);
  TatrPlan prefetched = plans[0];
  prefetched.prefetch = !prefetched.prefetch;
  if (reduces_rows) plans.push_back(prefetched);
  TatrPlan narrow = plans[0];
  narrow.band_pairs = 2;
  const std::int64_t rows = reduces_rows ? problem.n * problem.experts : problem.rows_bound;
  if (rows > 2LL * kCluster * kBlockRows * problem.experts) plans.push_back(narrow);
  return plans;
}

}  // namespace tatr
