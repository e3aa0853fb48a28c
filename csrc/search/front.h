#pragma once

#include <cstdint>
#include <vector>

namespace narsfast {

// Candidates by what a front weighs: statistics to be small, a score to be large.
struct FrontValues {
  int32_t statistics;          // D, at least 1
  std::vector<double> values;  // (n, D)
  std::vector<double> scores;  // (n,)
  std::vector<uint64_t> keys;  // (n,)
};

// The `keep` candidates that go on: those that no other one dominates, then those that only such dominate,
// and so on; in each such front by the statistics, first to last. Where the last front does not fit, its
// members are taken at even distances in this order. Of equal candidates the one of the lowest key dominates.
// `first` is how many of the result belong to the first front.
std::vector<int64_t> select_fronts(const FrontValues& values, int64_t keep, int64_t* first);

}  // namespace narsfast
