#include "cost/sources.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>

#include "common/threads.h"
#include "cost/rows.h"
#include "cost/statistics.h"

namespace narsfast {

namespace {
constexpr int64_t kChunk = 64;
constexpr double kRowNanoseconds = 20;   // to count one row
constexpr double kPartNanoseconds = 10;  // to look up and add one part
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
  const int32_t rows_per_network = rows_per_candidate(space_);
  std::atomic<bool> fit{true};
  for_chunks(count, kChunk, kRowNanoseconds * rows_per_network, [&](int64_t begin, int64_t end) {
    thread_local std::vector<int32_t> header;
    thread_local std::vector<int32_t> rows;
    thread_local std::vector<int64_t> statistics;
    header.resize(kChunk * kHeaderColumns);
    rows.resize(static_cast<size_t>(kChunk * rows_per_network * kRowColumns));
    statistics.resize(kChunk * kStatistics);
    const int64_t size = end - begin;
    lower_genes(space_, genes + begin * space_.fields, size, header.data(), rows.data());
    if (!count_rows(header.data(), rows.data(), size, rows_per_network, in_channels_, classes_,
                    statistics.data())) {
      fit = false;
    }
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t s = 0; s < kStatistics; ++s) {
        out[(begin + i) * stride + s] = static_cast<Number>(statistics[i * kStatistics + s]);
      }
    }
  });
  if (!fit) throw std::overflow_error(kTooLarge);
}

template void NetworkSource::count_as(const int16_t*, int64_t, double*, int64_t) const;
template void NetworkSource::count_as(const int16_t*, int64_t, int64_t*, int64_t) const;

void TableSource::count(const int16_t* genes, int64_t count, double* out, int64_t stride) {
  constexpr int64_t kBlock = 8;  // independent sums hide the latency of additions
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

void PartSource::count(const int16_t* genes, int64_t count, double* out, int64_t stride) {
  const PartArrays& a = arrays_;
  for_chunks(
      count, kChunk, kPartNanoseconds * static_cast<double>(a.parts.size()), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int16_t* gene = genes + i * fields_;
          double* sums = out + i * stride;
          std::fill_n(sums, a.columns, 0.0);
          double largest = 0.0;
          for (const PartArrays::Part& part : a.parts) {
            const auto holds = [&](const PartArrays::Gate& gate) {
              return gate.low <= gene[gate.column] && gene[gate.column] <= gate.high;
            };
            if (!std::all_of(a.gates.begin() + part.first_gate, a.gates.begin() + part.last_gate, holds))
              continue;
            int64_t place = part.first_entry;
            for (int32_t t = part.first_term; t < part.last_term; ++t) {
              const PartArrays::Term& term = a.terms[static_cast<size_t>(t)];
              place += int64_t{gene[term.column]} * term.step;
            }
            const double* entry = &a.entries[static_cast<size_t>(place * a.columns)];
            for (int32_t column = 0; column < a.columns; ++column) sums[column] += entry[column];
            if (a.largest >= 0) largest = std::max(largest, entry[a.largest]);
          }
          if (a.largest >= 0) sums[a.largest] = largest;
        }
      });
}

}  // namespace narsfast
