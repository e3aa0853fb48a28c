#include "search/scorer.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace narsfast {

void Scorer::deviation(const int16_t*, const double*, int64_t count, double* std) {
  std::fill(std, std + count, 0.0);
}

SurrogateScorer::SurrogateScorer(const Surrogate& surrogate, std::vector<int32_t> columns, int32_t stride,
                                 double caution)
    : surrogate_(surrogate), columns_(std::move(columns)), stride_(stride), caution_(caution) {
  if (static_cast<int32_t>(columns_.size()) != surrogate.statistics()) {
    throw std::invalid_argument("the predictor reads another number of statistics");
  }
}

const double* SurrogateScorer::pick(const double* statistics, int64_t count) {
  const size_t columns = columns_.size();
  picked_.resize(static_cast<size_t>(count) * columns);
  for (int64_t i = 0; i < count; ++i) {
    for (size_t s = 0; s < columns; ++s) {
      picked_[static_cast<size_t>(i) * columns + s] = statistics[i * stride_ + columns_[s]];
    }
  }
  return picked_.data();
}

void SurrogateScorer::score(const int16_t* genes, const double* statistics, int64_t count, double* scores) {
  if (caution_ == 0.0) {
    surrogate_.score(genes, pick(statistics, count), count, scores, nullptr);
    return;
  }
  other_.resize(static_cast<size_t>(count));
  surrogate_.score(genes, pick(statistics, count), count, scores, other_.data());
  for (int64_t i = 0; i < count; ++i) scores[i] -= caution_ * other_[static_cast<size_t>(i)];
}

void SurrogateScorer::deviation(const int16_t* genes, const double* statistics, int64_t count, double* std) {
  other_.resize(static_cast<size_t>(count));
  surrogate_.score(genes, pick(statistics, count), count, other_.data(), std);
}

}  // namespace narsfast
