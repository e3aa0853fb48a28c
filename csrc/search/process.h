#pragma once

#include <cstdint>
#include <vector>

#include "search/kernels.h"
#include "search/surrogate.h"
#include "space/genes.h"

namespace narsfast {

// A Gaussian process fitted to n labels, as in narsfast.predictor.ProcessWeights; C-contiguous.
struct ProcessWeights {
  int64_t labels = 0;                     // n, at least 1
  int64_t rows = 0;                       // R, the numbers of values of all fields, one more each
  int32_t statistics = 0;                 // S
  const float* statistic_mean = nullptr;  // (S,) of log(max(statistic, kMinStatistic))
  const float* statistic_std = nullptr;   // (S,) 0 is used as 1
  const float* distances = nullptr;       // (R, n)
  int32_t sum_columns = 0;                // T
  const double* sums = nullptr;           // (R, T)
  double variances[2] = {0.0, 0.0};       // of the smooth functions of architecture and recipe
  const double* weights = nullptr;        // (n,)
  double intercept = 0.0;
  const double* slopes = nullptr;  // (S + T,)
  double intercept_variance = 0.0;
  const double* slope_variances = nullptr;  // (S + T,)
  const float* linear = nullptr;            // (S + T, n)
  const float* whitening = nullptr;         // (n, n) lower triangular
  double output_mean = 0.0;
  double output_scale = 1.0;
};

// Batched inference of a Gaussian process on genes and statistics. As inputs are genes, the distance of a
// candidate from all labels is a sum of one row of a table per field, with labels side by side.
class Process : public Surrogate {
 public:
  // Throws std::invalid_argument where the shapes do not match the space.
  Process(const SpaceTables& tables, const ProcessWeights& weights, Isa isa);

  int32_t statistics() const override { return static_cast<int32_t>(statistic_mean_.size()); }
  void score(const int16_t* genes, const double* statistics, int64_t count, double* mean,
             double* std) const override;

 private:
  // Some rows of the whitening matrix, which is lower triangular: as many inputs as the last of them has.
  struct Block {
    int64_t inputs;
    int64_t outputs;
    std::vector<float> weights;  // (inputs, outputs)
  };
  void score_tile(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                  double* std) const;
  int32_t sum_columns() const { return static_cast<int32_t>(slopes_.size()) - statistics(); }
  double add_sums(const int32_t* rows, const int32_t* end, float* out) const;
  void subtract_explained(const float* covariances, int64_t count, double* variance) const;

  GeneRules rules_;
  const SearchKernels& kernels_;
  int64_t labels_;
  int64_t stride_;                   // labels, padded to whole blocks of the kernel
  std::vector<int32_t> offsets_[2];  // the first row of each searched field, by part
  std::vector<int32_t> fields_[2];   // these fields
  std::vector<float> distances_;     // (R, stride)
  float variances_[2];
  std::vector<double> weights_;     // (stride,)
  std::vector<double> sums_;        // (R, T)
  std::vector<double> row_slopes_;  // (R,) what the sums of a row add to the mean
  double intercept_;
  std::vector<double> slopes_;
  double constant_variance_;  // of the prior, but for the statistics
  float intercept_variance_;
  std::vector<double> slope_variances_;
  std::vector<float> linear_;  // (S + T, stride)
  std::vector<Block> blocks_;
  std::vector<float> zeros_;  // the bias of a block
  double output_mean_;
  double output_scale_;
  std::vector<double> statistic_mean_;
  std::vector<double> statistic_scale_;
};

}  // namespace narsfast
