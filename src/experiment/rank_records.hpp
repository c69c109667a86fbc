// What a rounding asks of ranks, as a record.
#pragma once

#include "options/options.hpp"
#include "records/records.hpp"
#include "rounding/rounding.hpp"

namespace tatr {

/// Of a config with ranks, for one group of its tokens.
ParallelRecord describe_ranks(const ExperimentConfig& config, const Rounded& rounded);

}  // namespace tatr
