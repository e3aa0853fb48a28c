#include "search/budgets.h"

#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace narsfast {

namespace {

int max_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace

std::vector<EvolutionResult> evolve_budgets(const SpaceTables& tables,
                                            const std::vector<StatisticsSource*>& sources,
                                            const std::function<std::unique_ptr<Scorer>()>& make_scorer,
                                            const EvolutionOptions& options, Isa isa,
                                            const std::vector<BudgetStart>& budgets, bool parallel) {
  const auto count = static_cast<int64_t>(budgets.size());
  std::vector<EvolutionResult> results(budgets.size());
  std::vector<std::exception_ptr> errors(budgets.size());
  const auto run = [&](int64_t b) {
    try {
      const std::unique_ptr<Scorer> scorer = make_scorer();
      const BudgetStart& budget = budgets[static_cast<size_t>(b)];
      Evolution evolution(tables, sources, scorer.get(), options, isa);
      results[static_cast<size_t>(b)] = evolution.run(budget.genes, budget.count, budget.bounds);
    } catch (...) {
      errors[static_cast<size_t>(b)] = std::current_exception();
    }
  };
  if (parallel && count > 1 && count >= max_threads()) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t b = 0; b < count; ++b) run(b);
  } else {
    for (int64_t b = 0; b < count && (b == 0 || errors[static_cast<size_t>(b - 1)] == nullptr); ++b) run(b);
  }
  for (const std::exception_ptr& error : errors) {
    if (error != nullptr) std::rethrow_exception(error);
  }
  return results;
}

}  // namespace narsfast
