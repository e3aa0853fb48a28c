#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cost/sources.h"
#include "search/kernels.h"
#include "search/key_set.h"
#include "search/scorer.h"
#include "space/genes.h"

namespace narsfast {

// Inclusive bounds on one column of the statistics.
struct Bound {
  int32_t column;
  double low;
  double high;
};

struct EvolutionOptions {
  uint64_t seed = 0;
  int32_t population_size = 80;  // K
  int32_t children = 6;          // children per individual and generation
  int32_t generations = 100;     // maximum
  double epsilon = 1e-6;         // stops if the best score gains at most this over `patience` generations
  int32_t patience = 10;
  double crossover = 0.5;  // probability per field, for individuals at or below the average score; 0: off
  double mutation = 1.0;   // factor on the probability per field, 1 / (searched fields); 0: off
  // Columns of statistics to minimize: the population is the front of the score against these, instead of the
  // best by score.
  std::vector<int32_t> objectives;
  std::function<void(int32_t)> each_generation;  // called after each generation; may throw to end the search
};

struct EvolutionResult {
  int64_t size = 0;                // individuals, best first; of a front by its first statistic
  std::vector<int16_t> genes;      // (size, F)
  std::vector<double> scores;      // (size,)
  std::vector<double> std;         // (size,)
  std::vector<double> statistics;  // (size, S)
  // At the start and after each generation: the best score, or the number of new individuals of the front.
  std::vector<double> history;
  int64_t num_offspring = 0;  // children bred
  int64_t num_evaluated = 0;  // children that were new and inside the budget
};

// Algorithm 2 (FBNetV3) for one space, with sources of statistics and a scorer.
class Evolution {
 public:
  Evolution(const SpaceTables& tables, std::vector<StatisticsSource*> sources, Scorer* scorer,
            const EvolutionOptions& options, Isa isa);

  // start (count, F): canonical genes inside the bounds; duplicates are dropped.
  EvolutionResult run(const int16_t* start, int64_t count, const std::vector<Bound>& bounds);

 private:
  struct Population {
    int64_t size = 0;
    std::vector<int16_t> genes;
    std::vector<double> statistics;
    std::vector<double> scores;
    std::vector<uint64_t> keys;
    void resize(int64_t individuals, int32_t fields, int32_t columns);
  };
  struct Rates {
    uint32_t crossover;
    uint32_t mutation;
  };

  void count(const int16_t* genes, int64_t count, double* out);
  bool inside(const double* statistics, const std::vector<Bound>& bounds) const;
  std::vector<Rates> rates() const;
  void breed(int32_t generation);
  void repair(const std::vector<Bound>& bounds);
  bool revert(int64_t child);
  void hash_children();
  void evaluate_new();
  void select();
  void replace_population(const std::vector<int64_t>& selected);
  void finish_generation(EvolutionResult* result);
  bool stalled(const std::vector<double>& history) const;
  // For a front.
  void select_front();
  void list_neighbors(KeySet* expanded);
  void search_neighbors(const std::vector<Bound>& bounds, EvolutionResult* result);

  GeneRules rules_;
  std::vector<StatisticsSource*> sources_;
  Scorer* scorer_;
  EvolutionOptions options_;
  const SearchKernels& kernels_;
  int32_t columns_ = 0;
  int64_t stride_;                   // padded(F), the stride of raw_ and priorities_
  std::vector<int32_t> sizes_;       // (stride_,)
  std::vector<int32_t> max_steps_;   // (stride_,) of this generation
  std::vector<int16_t> revertible_;  // (stride_,) 1 for architecture fields

  int64_t front_size_ = 0;  // individuals of the first front
  int64_t num_new_ = 0;     // new individuals of the first front

  Population population_;
  Population next_;
  Population offspring_;              // children that are new, inside the budget and evaluated
  std::vector<int16_t> raw_;          // children before inactive fields are set to 0
  std::vector<int16_t> children_;     // children, canonical
  std::vector<uint16_t> priorities_;  // order of repair
  std::vector<double> statistics_;    // of children
  std::vector<uint64_t> keys_;        // of children
  std::vector<uint8_t> rejected_;     // children that could not be repaired
  KeySet seen_;                       // keys of all candidates of this run
};

}  // namespace narsfast
