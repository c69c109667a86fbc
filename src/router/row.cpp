#include "router/row.hpp"

#include "core/vector_clones.hpp"

namespace tatr {

TATR_VECTOR_CLONES void read_row_on_cpu(const float* row, std::int32_t experts, bool softmax, bool choose,
                                        float& maximum, float& inverse, BestFirst& best) {
  read_row(row, experts, softmax, choose, maximum, inverse, best);
}

}  // namespace tatr
