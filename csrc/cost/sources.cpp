#include "cost/sources.h"

#include <algorithm>
#include <stdexcept>

#include "common/threads.h"
#include "cost/rows.h"
#include "cost/statistics.h"

namespace narsfast {

namespace {
constexpr int64_t kChunk = 64;
constexpr double kRowsNanoseconds = 20;  // of counting one row
}  // namespace

NetworkSource::NetworkSource(const SpaceTables& space, int32_t in_channels, int32_t classes)
    : space_(space), in_channels_(in_channels), classes_(classes), columns_(kStatistics) {
  for (int32_t stage = 0; stage < space.stages; ++stage) {
    for (const StageColumn column : {kStageStride, kExpansionFirst, kExpansionRest}) {
      const int32_t field = space.stage_columns[stage * kStageColumns + column];
      const int32_t* numbers = space.numbers + static_cast<int64_t>(field) * space.values;
      if (*std::min_element(numbers, numbers + space.sizes[field]) < 1) {
        throw std::invalid_argument("a stride or an expansion is below 1");
      }
    }
  }
  parts_ = PartTables::make(space, in_channels, classes);
}

void NetworkSource::add_cost(const double* cost) {
  parts_->add_cost(cost);
  columns_ = kStatistics + 1;
}

template <typename Number>
void NetworkSource::count_as(const int16_t* genes, int64_t count, Number* out, int64_t stride) const {
  if (parts_ != nullptr) {
    parts_->count(genes, count, columns_, out, stride);
    return;
  }
  const int32_t rows_each = rows_per_candidate(space_);
  for_chunks(count, kChunk, kRowsNanoseconds * rows_each, [&](int64_t begin, int64_t end) {
    thread_local std::vector<int32_t> header;
    thread_local std::vector<int32_t> rows;
    thread_local std::vector<int64_t> statistics;
    header.resize(kChunk * kHeaderColumns);
    rows.resize(static_cast<size_t>(kChunk * rows_each * kRowColumns));
    statistics.resize(kChunk * kStatistics);
    const int64_t size = end - begin;
    lower_genes(space_, genes + begin * space_.fields, size, header.data(), rows.data());
    count_rows(header.data(), rows.data(), size, rows_each, in_channels_, classes_, statistics.data());
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t s = 0; s < kStatistics; ++s) {
        out[(begin + i) * stride + s] = static_cast<Number>(statistics[i * kStatistics + s]);
      }
    }
  });
}

template void NetworkSource::count_as(const int16_t*, int64_t, double*, int64_t) const;
template void NetworkSource::count_as(const int16_t*, int64_t, int64_t*, int64_t) const;

void TableSource::count(const int16_t* genes, int64_t count, double* out, int64_t stride) {
  constexpr int64_t kBlock = 8;  // independent sums hide the latency of the additions
  for_chunks(count, kChunk, static_cast<double>(fields_) * columns_, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += kBlock) {
      const int64_t size = std::min(kBlock, end - first);
      const int16_t* gene = genes + first * fields_;
      for (int32_t s = 0; s < columns_; ++s) {
        double sums[kBlock] = {};
        for (int32_t f = 0; f < fields_; ++f) {
          const double* entries = table_ + static_cast<int64_t>(f) * values_ * columns_ + s;
          for (int64_t i = 0; i < size; ++i) {
            sums[i] += entries[static_cast<int64_t>(gene[i * fields_ + f]) * columns_];
          }
        }
        for (int64_t i = 0; i < size; ++i) out[(first + i) * stride + s] = sums[i];
      }
    }
  });
}

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
