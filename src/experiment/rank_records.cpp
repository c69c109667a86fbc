#include "experiment/rank_records.hpp"

#include <algorithm>
#include <cstdint>

#include "parallel/placement.hpp"
#include "parallel/rank_loads.hpp"

namespace tatr {

namespace {

/// The most of any rank, over the mean; 1 where there is nothing.
double busiest_over_mean(const std::vector<RankLoad>& ranks, std::int64_t RankLoad::*what) {
  std::int64_t most = 0, sum = 0;
  for (const RankLoad& rank : ranks) {
    most = std::max(most, rank.*what);
    sum += rank.*what;
  }
  return sum == 0 ? 1.0 : static_cast<double>(most) * static_cast<double>(ranks.size()) / static_cast<double>(sum);
}

}  // namespace

ParallelRecord describe_ranks(const ExperimentConfig& config, const Rounded& rounded) {
  const ParallelConfig& parallel = *config.parallel;
  const RoundingMetrics& metrics = rounded.metrics;
  const HostDispatch dispatch{rounded.dispatch.offsets.to_host(), rounded.dispatch.token.to_host()};
  ParallelRecord record;
  record.ranks = rank_loads(dispatch, metrics.tiles_per_expert, place_experts(parallel, metrics.counts_before),
                            config.router.tokens, parallel.ranks);
  record.busiest_tiles = busiest_over_mean(record.ranks, &RankLoad::tiles);
  record.busiest_rows = busiest_over_mean(record.ranks, &RankLoad::rows);
  for (const RankLoad& rank : record.ranks) {
    record.wire_rows += rank.sent_rows;
    record.wire_copies += rank.sent_copies;
  }
  constexpr std::int64_t kBytes = 2;  // bf16
  if (parallel.hidden > 0)
    record.wire_bytes = (parallel.dedup ? record.wire_copies : record.wire_rows) * parallel.hidden * kBytes;
  return record;
}

}  // namespace tatr
