#include "search/process.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "common/threads.h"

namespace narsfast {

namespace {

constexpr double kAddsPerNanosecond = 20;  // approximate speed of one core
constexpr double kMinVariance = 1e-12;     // rounding can leave less than 0

std::vector<float> padded_rows(const float* rows, int64_t count, int64_t width, int64_t stride) {
  std::vector<float> padded(static_cast<size_t>(count * stride), 0.0f);
  for (int64_t r = 0; r < count; ++r) std::copy_n(rows + r * width, width, padded.begin() + r * stride);
  return padded;
}

}  // namespace

Process::Process(const SpaceTables& tables, const ProcessWeights& weights, Isa isa)
    : rules_(tables),
      kernels_(search_kernels(isa)),
      labels_(weights.labels),
      stride_((weights.labels + kLabelBlock - 1) / kLabelBlock * kLabelBlock),
      distances_(padded_rows(weights.distances, weights.rows, labels_, stride_)),
      variances_{static_cast<float>(weights.variances[0]), static_cast<float>(weights.variances[1])},
      weights_(weights.weights, weights.weights + labels_),
      sums_(weights.sums, weights.sums + weights.rows * weights.sum_columns),
      intercept_(weights.intercept),
      slopes_(weights.slopes, weights.slopes + weights.statistics + weights.sum_columns),
      constant_variance_(weights.variances[0] + weights.variances[1] + weights.intercept_variance),
      intercept_variance_(static_cast<float>(weights.intercept_variance)),
      slope_variances_(weights.slope_variances,
                       weights.slope_variances + weights.statistics + weights.sum_columns),
      linear_(padded_rows(weights.linear, weights.statistics + weights.sum_columns, labels_, stride_)),
      zeros_(static_cast<size_t>(kernels_.neurons), 0.0f),
      output_mean_(weights.output_mean),
      output_scale_(weights.output_scale) {
  if (labels_ < 1) throw std::invalid_argument("a process needs at least one label");
  weights_.resize(static_cast<size_t>(stride_), 0.0);
  int32_t row = 0;
  for (int32_t f = 0; f < tables.fields; ++f) {
    const int32_t size = rules_.sizes()[static_cast<size_t>(f)];
    if (size > 1) {
      fields_[tables.parts[f]].push_back(f);
      offsets_[tables.parts[f]].push_back(row);
    }
    row += size + 1;
  }
  if (row != weights.rows) throw std::invalid_argument("the distances of a process are of another space");
  for (int32_t s = 0; s < weights.statistics; ++s) {
    const double std = weights.statistic_std[s];
    statistic_mean_.push_back(weights.statistic_mean[s]);
    statistic_scale_.push_back(std == 0.0 ? 1.0 : 1.0 / std);
  }
  for (int64_t r = 0; r < weights.rows; ++r) {
    double slope = 0.0;
    for (int32_t t = 0; t < sum_columns(); ++t) {
      slope +=
          slopes_[static_cast<size_t>(statistics() + t)] * sums_[static_cast<size_t>(r * sum_columns() + t)];
    }
    row_slopes_.push_back(slope);
  }
  for (int64_t first = 0; first < labels_; first += kernels_.neurons) {
    const int64_t last = std::min(first + kernels_.neurons, labels_);
    Block block{last, last - first, {}};
    for (int64_t i = 0; i < last; ++i) {
      for (int64_t o = first; o < last; ++o) block.weights.push_back(weights.whitening[o * labels_ + i]);
    }
    blocks_.push_back(std::move(block));
  }
}

void Process::score(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                    double* std) const {
  const int64_t tile = kernels_.tile;
  const double adds = static_cast<double>(stride_ * static_cast<int64_t>(rules_.fields() + 32)) +
                      (std == nullptr ? 0.0 : static_cast<double>(labels_ * labels_) / 2);
  for_chunks(count, tile, adds / kAddsPerNanosecond, [&](int64_t begin, int64_t end) {
    for (; begin < end; begin += tile) {
      score_tile(genes + begin * rules_.fields(), statistics + begin * this->statistics(),
                 std::min(tile, end - begin), mean + begin, std == nullptr ? nullptr : std + begin);
    }
  });
}

// Covariances with the labels are computed for one candidate at a time, labels side by side; what they
// explain of the variance is computed with candidates side by side.
void Process::score_tile(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                         double* std) const {
  const int64_t tile = kernels_.tile;
  const auto columns = static_cast<size_t>(this->statistics());
  thread_local std::vector<int32_t> codes, rows;
  thread_local std::vector<float> one, all, z;
  codes.resize(static_cast<size_t>(rules_.fields()));
  rows.resize(codes.size());
  one.resize(static_cast<size_t>(stride_));
  z.resize(slopes_.size());
  if (std != nullptr) all.assign(static_cast<size_t>(labels_ * tile), 0.0f);
  for (int64_t i = 0; i < count; ++i) {
    rules_.codes(genes + i * rules_.fields(), codes.data());
    LabelRows of_candidate{distances_.data(), stride_, {}, {}};
    int32_t* next = rows.data();
    for (int part = 0; part < 2; ++part) {
      of_candidate.rows[part] = next;
      of_candidate.counts[part] = static_cast<int32_t>(fields_[part].size());
      for (size_t k = 0; k < fields_[part].size(); ++k) {
        *next++ = offsets_[part][k] + codes[static_cast<size_t>(fields_[part][k])];
      }
    }
    double output = intercept_ + kernels_.covariances(of_candidate, variances_, weights_.data(), one.data());
    for (const int32_t* row = rows.data(); row != next; ++row)
      output += row_slopes_[static_cast<size_t>(*row)];
    double variance = constant_variance_;
    for (size_t s = 0; s < columns; ++s) {
      const double value = statistics[static_cast<size_t>(i) * columns + s];
      const double standard =
          (std::log(std::max(value, kMinStatistic)) - statistic_mean_[s]) * statistic_scale_[s];
      z[s] = static_cast<float>(standard);
      output += slopes_[s] * standard;
      variance += slope_variances_[s] * standard * standard;
    }
    mean[i] = output;
    if (std == nullptr) continue;
    std[i] = variance + add_sums(rows.data(), next, z.data() + columns);
    kernels_.add_linear(linear_.data(), stride_, z.data(), static_cast<int32_t>(z.size()),
                        intercept_variance_, one.data());
    for (int64_t l = 0; l < labels_; ++l)
      all[static_cast<size_t>(l * tile + i)] = one[static_cast<size_t>(l)];
  }
  if (std != nullptr) subtract_explained(all.data(), count, std);
  for (int64_t i = 0; i < count; ++i) {
    const Expanded expanded = expand(mean[i]);
    mean[i] = output_mean_ + output_scale_ * expanded.value;
    if (std == nullptr) continue;
    // NaN stays NaN.
    std[i] = output_scale_ * expanded.slope * std::sqrt(std[i] < kMinVariance ? kMinVariance : std[i]);
  }
}

// Writes the sums of rows, (T,), and returns their prior variance.
double Process::add_sums(const int32_t* rows, const int32_t* end, float* out) const {
  const int32_t columns = sum_columns();
  thread_local std::vector<double> sums;
  sums.assign(static_cast<size_t>(columns), 0.0);
  for (; rows != end; ++rows) {
    const double* row = sums_.data() + static_cast<int64_t>(*rows) * columns;
    for (int32_t t = 0; t < columns; ++t) sums[static_cast<size_t>(t)] += row[t];
  }
  double variance = 0.0;
  for (int32_t t = 0; t < columns; ++t) {
    const double sum = sums[static_cast<size_t>(t)];
    out[t] = static_cast<float>(sum);
    variance += slope_variances_[static_cast<size_t>(statistics() + t)] * sum * sum;
  }
  return variance;
}

// covariances (labels, tile).
void Process::subtract_explained(const float* covariances, int64_t count, double* variance) const {
  const int64_t tile = kernels_.tile;
  thread_local std::vector<float> whitened;
  whitened.resize(static_cast<size_t>(kernels_.neurons * tile));
  for (const Block& block : blocks_) {
    const DenseLayer layer{block.inputs, block.outputs, block.weights.data(), zeros_.data(), false};
    kernels_.dense(layer, covariances, 0, 1, whitened.data(), 0);
    for (int64_t o = 0; o < block.outputs; ++o) {
      const float* row = whitened.data() + o * tile;
      for (int64_t i = 0; i < count; ++i) variance[i] -= static_cast<double>(row[i]) * row[i];
    }
  }
}

}  // namespace narsfast
