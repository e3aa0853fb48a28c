#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "space/genes.h"
#include "search/kernels.h"
#include "search/key_set.h"
#include "cost/sources.h"

namespace narsfast {

// Bounds on one column of the statistics, both inside.
struct Bound {
  int32_t column;
  double low;
  double high;
};

struct EvolutionOptions {
  uint64_t seed = 0;
  int32_t keep = 80;          // K: size of the population
  int32_t children = 6;       // children of each member, each generation
  int32_t generations = 100;  // cap
  double epsilon = 1e-6;      // least gain of the best score over `patience` generations that goes on
  int32_t patience = 10;
  double crossover = 0.5;  // chance a field of a parent at or below the average; 0: off
  double mutation = 1.0;   // multiplies the chance a field of 1 / (searched fields); 0: off
  // Columns of statistics to be small: the whole front of score against these is kept, not the best by score.
  std::vector<int32_t> objectives;
  std::function<void(int32_t)> each_generation;  // called after each, may throw to end the search
};

struct EvolutionResult {
  int64_t size = 0;                // members, best first; of a front by its first statistic
  std::vector<int16_t> genes;      // (size, F)
  std::vector<double> scores;      // (size,)
  std::vector<double> std;         // (size,)
  std::vector<double> statistics;  // (size, S)
  // At the start and after each generation: the best score, or how many members are new in the front.
  std::vector<double> history;
  int64_t bred = 0;    // children made
  int64_t scored = 0;  // children that were new and inside the budget
};

// Algorithm 2 for one space, source of statistics and scorer; buffers are kept from one budget to the next.
class Evolution {
 public:
  Evolution(const SpaceTables& tables, std::vector<StatisticsSource*> sources, Scorer* scorer,
            const EvolutionOptions& options, Isa isa);

  // start (count, F): canonical genes, all inside the bounds; doubles are dropped.
  EvolutionResult run(const int16_t* start, int64_t count, const std::vector<Bound>& bounds);

 private:
  struct Population {
    int64_t size = 0;
    std::vector<int16_t> genes;
    std::vector<double> statistics;
    std::vector<double> scores;
    std::vector<uint64_t> keys;
    void resize(int64_t members, int32_t fields, int32_t columns);
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
  void keep_new();
  void select();
  void take(const std::vector<int64_t>& kept);
  void finish_generation(EvolutionResult* result);
  bool stalled(const std::vector<double>& history) const;
  // Of a front.
  void select_front();
  void neighbours(KeySet* expanded);
  void polish(const std::vector<Bound>& bounds, EvolutionResult* result);

  GeneRules rules_;
  std::vector<StatisticsSource*> sources_;
  Scorer* scorer_;
  EvolutionOptions options_;
  const SearchKernels& kernels_;
  int32_t columns_ = 0;
  int64_t stride_;                   // padded(F), of raw_ and priorities_
  std::vector<int32_t> sizes_;       // (stride_,)
  std::vector<int32_t> reaches_;     // (stride_,) of this generation
  std::vector<int16_t> revertible_;  // (stride_,) 1 for architecture fields

  int64_t first_ = 0;    // members of the first front
  int64_t entered_ = 0;  // of these, new ones

  Population population_;
  Population next_;
  Population fresh_;                  // children that are new, inside the budget and scored
  std::vector<int16_t> raw_;          // children as bred, inactive fields not yet 0
  std::vector<int16_t> children_;     // children, canonical
  std::vector<uint16_t> priorities_;  // order of repair
  std::vector<double> statistics_;    // of children
  std::vector<uint64_t> keys_;        // of children
  std::vector<uint8_t> lost_;         // children that could not be repaired
  KeySet seen_;                       // all candidates of this run
};

}  // namespace narsfast
