#include "router/row.hpp"

#include "core/vector_clones.hpp"

namespace tatr {

TATR_VECTOR_CLONES void read_row_on_cpu(const RowRequest& request, SoftmaxTerms& terms, BestOfRow& best) {
  read_row(request, terms, best);
}

}  // namespace tatr
