// From the probabilities that a router gave back to logits that route alike. Fixed order of IEEE operations: the same
// bits on every machine.
#pragma once

#include "options/options.hpp"

namespace tatr {

/// Of a softmax log p, of a sigmoid log(p / (1 - p)), rounded to fp32; p is from 0 to 1. 0 gives what is below that of
/// every other p of fp32.
float logit_of_probability(double p, Scoring scoring);

}  // namespace tatr
