// Reads counted tokens per expert. Decides what a record of counts is and what its dimensions mean; every fault is an
// InputError that names the place. Knows nothing of rounding.
//
// Arrays: [experts], [layers, experts] or [steps, layers, experts], or as "axes" in the source says, of any type with
// whole values. Lines (CSV with a head, JSON lines): a count each, with fields for the expert, the layer and the step:
//   expert_id | expert | expert_idx       count | counts | tokens | num_tokens | token_count
//   layer_id | layer | layer_idx          step | step_id | iteration
// What lines leave out is 0, where the config says how many experts there are. Layers and steps without any tokens
// (dense layers, idle steps) are left out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/digest.hpp"
#include "options/options.hpp"

namespace tatr {

/// Tokens of each expert in one step of one layer.
using Counts = std::vector<std::int32_t>;

struct CountsLayer {
  std::string name;
  std::vector<Counts> steps;  // at least one; [experts] each
};

struct CountsRecord {
  std::vector<CountsLayer> layers;  // at least one, of as many steps and experts each
  std::int64_t experts = 0, steps = 0;
  std::int64_t idle_layers = 0, idle_steps = 0;  // left out: they have no tokens
  std::string guessed_axes;  // "shape [3, 64] is read as [layers, experts]", where nobody said so; empty: no doubt
  std::size_t files = 1;
};

/// `experts`: what the config says; 0: nothing. Throws InputError.
CountsRecord read_counts(const CountsSource& source, std::int64_t experts);

/// The same; what was read last is kept and given again while files and options stay as they are.
std::shared_ptr<const CountsRecord> shared_counts(const CountsSource& source, std::int64_t experts);

/// Makes all of it part of what the digest names.
void add_to(Digest& digest, const CountsRecord& record);

}  // namespace tatr
