#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "search/evolution.h"

namespace narsfast {

// What one budget starts from and is bound by.
struct BudgetStart {
  const int16_t* genes;  // (count, F) canonical, all inside the bounds
  int64_t count;
  std::vector<Bound> bounds;
};

// One evolution a budget, with buffers and a scorer of its own. With `side_by_side` (sources and scorers that
// any thread may call at once) the budgets are spread over the threads where there are enough of them; the
// results are the same.
std::vector<EvolutionResult> evolve_family(const SpaceTables& tables,
                                           const std::vector<StatisticsSource*>& sources,
                                           const std::function<std::unique_ptr<Scorer>()>& make_scorer,
                                           const EvolutionOptions& options, Isa isa,
                                           const std::vector<BudgetStart>& budgets, bool side_by_side);

}  // namespace narsfast
