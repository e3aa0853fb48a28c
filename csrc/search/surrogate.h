#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace narsfast {

constexpr double kMinStatistic = 1e-3;  // as in the numpy twin; for a latency in milliseconds, a microsecond
constexpr double kMaxExponent = 50;     // as in the numpy twin; keeps scores finite

// What predicts the accuracy of candidates. The prediction of a candidate depends neither on the rest of its
// batch nor on the number of threads.
class Surrogate {
 public:
  virtual ~Surrogate() = default;
  // The number of statistics that are inputs.
  virtual int32_t statistics() const = 0;
  // genes (count, F) canonical, statistics (count, S) -> mean (count,) and, if not null, standard deviation
  // (count,), both in percent.
  virtual void score(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                     double* std) const = 0;
};

// The mixture of surrogates of the same space and statistics: the mean and the deviation of the prediction
// of one of them that is drawn with these shares, which sum to 1.
class Mixture : public Surrogate {
 public:
  // Throws std::invalid_argument unless there is a share for each of at least one surrogate.
  Mixture(std::vector<std::shared_ptr<const Surrogate>> surrogates, std::vector<double> shares,
          int32_t fields);

  int32_t statistics() const override { return surrogates_[0]->statistics(); }
  void score(const int16_t* genes, const double* statistics, int64_t count, double* mean,
             double* std) const override;

 private:
  void score_chunk(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                   double* std) const;

  std::vector<std::shared_ptr<const Surrogate>> surrogates_;
  std::vector<double> shares_;
  int32_t fields_;
};

// A standardized and compressed accuracy is -1 - log(-a) for a below -1. Returns a, and its derivative.
struct Expanded {
  double value;
  double slope;
};
Expanded expand(double compressed);

}  // namespace narsfast
