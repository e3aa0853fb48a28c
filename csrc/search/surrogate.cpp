#include "search/surrogate.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace narsfast {

namespace {

constexpr int64_t kChunk = 4096;  // candidates whose predictions are held at a time

}  // namespace

Expanded expand(double compressed) {
  if (!(compressed < -1.0)) return {compressed, 1.0};
  const double slope = std::exp(std::min(-1.0 - compressed, kMaxExponent));
  return {-slope, slope};
}

Mixture::Mixture(std::vector<std::shared_ptr<const Surrogate>> surrogates, std::vector<double> shares,
                 int32_t fields)
    : surrogates_(std::move(surrogates)), shares_(std::move(shares)), fields_(fields) {
  if (surrogates_.empty() || surrogates_.size() != shares_.size()) {
    throw std::invalid_argument("a mixture needs surrogates, and a share for each");
  }
  for (const auto& surrogate : surrogates_) {
    if (surrogate->statistics() != statistics()) {
      throw std::invalid_argument("the surrogates of a mixture must read the same statistics");
    }
  }
}

void Mixture::score(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                    double* std) const {
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    score_chunk(genes + begin * fields_, statistics + begin * this->statistics(),
                std::min(kChunk, count - begin), mean + begin, std == nullptr ? nullptr : std + begin);
  }
}

void Mixture::score_chunk(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                          double* std) const {
  std::vector<double> means(surrogates_.size() * static_cast<size_t>(count));
  std::vector<double> deviations(std == nullptr ? 0 : means.size());
  std::fill(mean, mean + count, 0.0);
  for (size_t s = 0; s < surrogates_.size(); ++s) {
    double* own = means.data() + s * static_cast<size_t>(count);
    double* deviation = std == nullptr ? nullptr : deviations.data() + s * static_cast<size_t>(count);
    surrogates_[s]->score(genes, statistics, count, own, deviation);
    for (int64_t i = 0; i < count; ++i) mean[i] += shares_[s] * own[i];
  }
  if (std == nullptr) return;
  for (int64_t i = 0; i < count; ++i) {
    double variance = 0.0;
    for (size_t s = 0; s < surrogates_.size(); ++s) {
      const size_t at = s * static_cast<size_t>(count) + static_cast<size_t>(i);
      const double apart = means[at] - mean[i];
      variance += shares_[s] * (deviations[at] * deviations[at] + apart * apart);
    }
    std[i] = std::sqrt(variance);
  }
}

}  // namespace narsfast
