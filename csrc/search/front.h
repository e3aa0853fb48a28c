#pragma once

#include <cstdint>
#include <vector>

namespace narsfast {

// Candidates as points of a front: statistics are minimized, the score is maximized.
struct FrontValues {
  int32_t statistics;          // D, at least 1
  std::vector<double> values;  // (n, D)
  std::vector<double> scores;  // (n,)
  std::vector<uint64_t> keys;  // (n,)
};

// Selects `size` candidates by non-dominated sorting: first those that no other candidate dominates, then
// those dominated by the first front alone, and so on. Each front is sorted by its statistics. Where the last
// front does not fit, its candidates are taken at even distances in this order. Of equal candidates the one
// with the lowest key dominates. `first_front` is the number of selected candidates of the first front.
std::vector<int64_t> select_fronts(const FrontValues& values, int64_t size, int64_t* first_front);

}  // namespace narsfast
