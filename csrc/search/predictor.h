#pragma once

#include <cstdint>
#include <vector>

#include "search/kernels.h"
#include "search/surrogate.h"
#include "space/genes.h"

namespace narsfast {

// A dense layer of all ensemble members, as in narsfast.predictor.PredictorWeights: weights (M, inputs,
// outputs) and bias (M, outputs), C-contiguous float32.
struct LayerWeights {
  int64_t inputs;
  int64_t outputs;
  const float* weights;
  const float* bias;
};

struct PredictorWeights {
  int32_t members = 0;
  int32_t statistics = 0;
  const float* statistic_mean = nullptr;  // (S,) of log(max(statistic, kMinStatistic))
  const float* statistic_std = nullptr;   // (S,) 0 is used as 1
  std::vector<LayerWeights> encoder;      // ReLU after each; empty: no embedding
  std::vector<LayerWeights> head;         // ReLU between; the last has one output
  double output_mean = 0.0;
  double output_scale = 1.0;
  double deviation_scale = 1.0;
  double deviation_floor = 0.0;
};

// Batched inference of all ensemble members on genes and statistics: their mean, and their deviation from
// it. Keeps a packed copy of the weights.
class Predictor : public Surrogate {
 public:
  // Throws std::invalid_argument where the shapes do not match each other or the space.
  Predictor(const SpaceTables& tables, const PredictorWeights& weights, Isa isa);

  int32_t fields() const { return rules_.fields(); }
  int32_t statistics() const override { return statistics_; }
  void score(const int16_t* genes, const double* statistics, int64_t count, double* mean,
             double* std) const override;

 private:
  struct Packed {
    int64_t inputs;
    int64_t outputs;
    bool relu;
    std::vector<float> weights;  // (M, inputs * outputs) in blocks of the kernel
    std::vector<float> bias;     // (M, outputs)
    DenseLayer of(int32_t member) const;
  };
  // An input of a layer: its row of the weights, and the row that is subtracted from it and added to the
  // bias, or -1 (see GeneRules::Input).
  struct Row {
    int64_t row;
    int64_t reference;
  };
  void add_rows(FieldPart part, int64_t first, std::vector<Row>* rows) const;
  Packed pack(const LayerWeights& layer, bool relu, const std::vector<Row>& rows);
  void score_chunk(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                   double* std) const;

  GeneRules rules_;
  const SearchKernels& kernels_;
  int32_t members_;
  int32_t statistics_;
  int64_t embedding_ = 0;
  int64_t max_width_ = 1;      // the largest number of outputs of a layer
  int64_t multiply_adds_ = 0;  // per candidate, of all layers and members
  double output_mean_;
  double output_scale_;
  double deviation_scale_;
  double deviation_floor_;
  std::vector<double> statistic_mean_;
  std::vector<double> statistic_scale_;
  std::vector<Packed> encoder_;
  std::vector<Packed> head_;
};

}  // namespace narsfast
