#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "search/evolution.h"

namespace narsfast {

// The start and the bounds of one budget.
struct BudgetStart {
  const int16_t* genes;  // (count, F) canonical, all inside the bounds
  int64_t count;
  std::vector<Bound> bounds;
};

// Runs one evolution per budget, each with its own buffers and scorer. With `parallel`, which requires
// sources and scorers that threads may call concurrently, the budgets run on several threads where there are
// enough of them. The results do not depend on it.
std::vector<EvolutionResult> evolve_budgets(const SpaceTables& tables,
                                            const std::vector<StatisticsSource*>& sources,
                                            const std::function<std::unique_ptr<Scorer>()>& make_scorer,
                                            const EvolutionOptions& options, Isa isa,
                                            const std::vector<BudgetStart>& budgets, bool parallel);

}  // namespace narsfast
