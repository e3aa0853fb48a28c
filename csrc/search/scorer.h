#pragma once

#include <cstdint>
#include <vector>

#include "search/predictor.h"

namespace narsfast {

// What evolution maximizes.
class Scorer {
 public:
  virtual ~Scorer() = default;
  // genes (count, F), statistics (count, S) -> scores (count,).
  virtual void score(const int16_t* genes, const double* statistics, int64_t count, double* scores) = 0;
  // The standard deviations (count,) of the scores: 0 for a scorer that does not estimate them.
  virtual void deviation(const int16_t* genes, const double* statistics, int64_t count, double* std);
};

// The scores of a predictor, which must outlive the scorer. The predictor reads `columns` of a candidate's
// `stride` statistics.
class PredictorScorer : public Scorer {
 public:
  PredictorScorer(const Predictor& predictor, std::vector<int32_t> columns, int32_t stride);
  void score(const int16_t* genes, const double* statistics, int64_t count, double* scores) override;
  void deviation(const int16_t* genes, const double* statistics, int64_t count, double* std) override;

 private:
  const double* pick(const double* statistics, int64_t count);

  const Predictor& predictor_;
  std::vector<int32_t> columns_;
  int32_t stride_;
  std::vector<double> picked_;
  std::vector<double> means_;
};

}  // namespace narsfast
