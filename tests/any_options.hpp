// Options for a strategy of any kind: tests that draw kinds at random fill in all, and take what the kind has.
#pragma once

#include "options/strategies.hpp"

namespace tatr::test {

struct AnyOptions {
  AdaptiveOptions adaptive;
  CapacityOptions capacity;
  DynamicOptions dynamic;
  BudgetOptions budget;

  StrategyOptions of(StrategyKind kind) const {
    switch (kind) {
      case StrategyKind::kAdaptive:
        return adaptive;
      case StrategyKind::kCapacity:
        return capacity;
      case StrategyKind::kDynamic:
        return dynamic;
      case StrategyKind::kBudget:
        return budget;
      default:
        return {};
    }
  }
};

}  // namespace tatr::test
