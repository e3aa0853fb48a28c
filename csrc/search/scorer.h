#pragma once

#include <cstdint>
#include <vector>

#include "search/surrogate.h"

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

// The means of a surrogate, less `caution` of its deviations. The surrogate must outlive the scorer, and
// reads `columns` of a candidate's `stride` statistics.
class SurrogateScorer : public Scorer {
 public:
  SurrogateScorer(const Surrogate& surrogate, std::vector<int32_t> columns, int32_t stride, double caution);
  void score(const int16_t* genes, const double* statistics, int64_t count, double* scores) override;
  void deviation(const int16_t* genes, const double* statistics, int64_t count, double* std) override;

 private:
  const double* pick(const double* statistics, int64_t count);

  const Surrogate& surrogate_;
  std::vector<int32_t> columns_;
  int32_t stride_;
  double caution_;
  std::vector<double> picked_;
  std::vector<double> other_;  // means or deviations that are not asked for
};

}  // namespace narsfast
