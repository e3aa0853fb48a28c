#include "search/front.h"

#include <algorithm>
#include <numeric>

namespace narsfast {

namespace {

// A front under construction; its candidates are in the order of the statistics.
struct Front {
  std::vector<int64_t> candidates;
  double best_score;
};

// Whether a candidate of the front, all of which come before `i`, is at least as good in everything.
bool dominated(const FrontValues& values, const Front& front, int64_t i) {
  const double score = values.scores[static_cast<size_t>(i)];
  if (front.best_score < score) return false;
  const int32_t count = values.statistics;
  const double* own = &values.values[static_cast<size_t>(i * count)];
  return std::any_of(front.candidates.rbegin(), front.candidates.rend(), [&](int64_t other) {
    if (values.scores[static_cast<size_t>(other)] < score) return false;
    const double* others = &values.values[static_cast<size_t>(other * count)];
    for (int32_t s = 1; s < count; ++s) {
      if (others[s] > own[s]) return false;
    }
    return true;
  });
}

}  // namespace

std::vector<int64_t> select_fronts(const FrontValues& values, int64_t size, int64_t* first_front) {
  const auto count = static_cast<int64_t>(values.scores.size());
  const int32_t width = values.statistics;
  std::vector<int64_t> order(values.scores.size());
  std::iota(order.begin(), order.end(), 0);
  // In this order, no candidate is dominated by a later one.
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
    fronts[rank].candidates.push_back(i);
    fronts[rank].best_score = std::max(fronts[rank].best_score, score);
  }
  std::vector<int64_t> selected;
  for (const Front& front : fronts) {
    const auto available = static_cast<int64_t>(front.candidates.size());
    const int64_t taken = std::min(available, std::min(size, count) - static_cast<int64_t>(selected.size()));
    for (int64_t i = 0; i < taken; ++i) {
      const int64_t at = taken == available || taken == 1 ? i : i * (available - 1) / (taken - 1);
      selected.push_back(front.candidates[static_cast<size_t>(at)]);
    }
    if (&front == &fronts.front()) *first_front = taken;
  }
  return selected;
}

}  // namespace narsfast
