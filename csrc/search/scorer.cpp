#include "search/scorer.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace narsfast {

void Scorer::deviation(const int16_t*, const double*, int64_t count, double* std) {
  std::fill(std, std + count, 0.0);
}

PredictorScorer::PredictorScorer(const Predictor& predictor, std::vector<int32_t> columns, int32_t stride)
    : predictor_(predictor), columns_(std::move(columns)), stride_(stride) {
  if (static_cast<int32_t>(columns_.size()) != predictor.statistics()) {
    throw std::invalid_argument("the predictor reads another number of statistics");
  }
}

const double* PredictorScorer::pick(const double* statistics, int64_t count) {
  const size_t columns = columns_.size();
  picked_.resize(static_cast<size_t>(count) * columns);
  for (int64_t i = 0; i < count; ++i) {
    for (size_t s = 0; s < columns; ++s) {
      picked_[static_cast<size_t>(i) * columns + s] = statistics[i * stride_ + columns_[s]];
    }
  }
  return picked_.data();
}

void PredictorScorer::score(const int16_t* genes, const double* statistics, int64_t count, double* scores) {
  predictor_.score(genes, pick(statistics, count), count, scores, nullptr);
}

void PredictorScorer::deviation(const int16_t* genes, const double* statistics, int64_t count, double* std) {
  means_.resize(static_cast<size_t>(count));
  predictor_.score(genes, pick(statistics, count), count, means_.data(), std);
}

}  // namespace narsfast
