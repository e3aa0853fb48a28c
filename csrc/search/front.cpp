#include "search/front.h"

#include <algorithm>
#include <numeric>

namespace narsfast {

namespace {

// One front while it grows; its members are in the order of the statistics.
struct Front {
  std::vector<int64_t> members;
  double best;  // score
};

// Whether a member, none of which comes after `i`, is as good in everything.
bool dominated(const FrontValues& values, const Front& front, int64_t i) {
  const double score = values.scores[static_cast<size_t>(i)];
  if (front.best < score) return false;
  const int32_t count = values.statistics;
  const double* mine = &values.values[static_cast<size_t>(i * count)];
  return std::any_of(front.members.rbegin(), front.members.rend(), [&](int64_t other) {
    if (values.scores[static_cast<size_t>(other)] < score) return false;
    const double* theirs = &values.values[static_cast<size_t>(other * count)];
    for (int32_t s = 1; s < count; ++s) {
      if (theirs[s] > mine[s]) return false;
    }
    return true;
  });
}

}  // namespace

std::vector<int64_t> select_fronts(const FrontValues& values, int64_t keep, int64_t* first) {
  const auto count = static_cast<int64_t>(values.scores.size());
  const int32_t width = values.statistics;
  std::vector<int64_t> order(values.scores.size());
  std::iota(order.begin(), order.end(), 0);
  // Nobody is dominated by one that comes later.
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    for (int32_t s = 0; s < width; ++s) {
      const double left = values.values[static_cast<size_t>(a * width + s)];
      const double right = values.values[static_cast<size_t>(b * width + s)];
      if (left != right) return left < right;
    }
    const double left = values.scores[static_cast<size_t>(a)];
    const double right = values.scores[static_cast<size_t>(b)];
    if (left != right) return left > right;
    return values.keys[static_cast<size_t>(a)] < values.keys[static_cast<size_t>(b)];
  });
  std::vector<Front> fronts;
  for (const int64_t i : order) {
    size_t rank = 0;
    while (rank < fronts.size() && dominated(values, fronts[rank], i)) ++rank;
    const double score = values.scores[static_cast<size_t>(i)];
    if (rank == fronts.size()) fronts.push_back({{}, score});
    fronts[rank].members.push_back(i);
    fronts[rank].best = std::max(fronts[rank].best, score);
  }
  std::vector<int64_t> kept;
  for (const Front& front : fronts) {
    const auto members = static_cast<int64_t>(front.members.size());
    const int64_t taken = std::min(members, std::min(keep, count) - static_cast<int64_t>(kept.size()));
    for (int64_t i = 0; i < taken; ++i) {
      const int64_t at = taken == members || taken == 1 ? i : i * (members - 1) / (taken - 1);
      kept.push_back(front.members[static_cast<size_t>(at)]);
    }
    if (&front == &fronts.front()) *first = taken;
  }
  return kept;
}

}  // namespace narsfast
