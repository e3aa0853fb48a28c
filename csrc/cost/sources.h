#pragma once

#include <cstdint>
#include <memory>

#include "cost/part_tables.h"
#include "space/tables.h"

namespace narsfast {

// Computes some columns of candidates' statistics from their canonical genes.
class StatisticsSource {
 public:
  virtual ~StatisticsSource() = default;
  virtual int32_t columns() const = 0;
  // genes (count, F) -> out: row i, at out + i * stride, gets columns() values.
  virtual void count(const int16_t* genes, int64_t count, double* out, int64_t stride) = 0;
};

// The statistics of MBConv networks, in the order of narsfast.cost.STATISTICS, and optionally one more cost.
// They are looked up in tables of the space's parts, or counted from rows where there are too many parts. The
// arrays of the space must outlive the source.
class NetworkSource : public StatisticsSource {
 public:
  // Throws std::invalid_argument if a stage's stride or expansion can be below 1.
  NetworkSource(const SpaceTables& space, int32_t in_channels, int32_t classes);
  // Null where statistics are counted from rows.
  const PartTables* parts() const { return parts_.get(); }
  // Adds a last column, the sum of `cost` (parts,) over a network's parts. Requires the tables.
  void add_cost(const double* cost);
  int32_t columns() const override { return columns_; }
  void count(const int16_t* genes, int64_t count, double* out, int64_t stride) override {
    count_as(genes, count, out, stride);
  }
  // Number is double or int64_t. Throws std::overflow_error where a network has more than kMaxMacs
  // multiply-adds.
  template <typename Number>
  void count_as(const int16_t* genes, int64_t count, Number* out, int64_t stride) const;

 private:
  SpaceTables space_;
  int32_t in_channels_;
  int32_t classes_;
  int32_t columns_;
  std::unique_ptr<PartTables> parts_;
};

// Sums one entry per gene, in the order of the fields, of a table (F, V, columns), which must outlive the
// source.
class TableSource : public StatisticsSource {
 public:
  TableSource(int32_t fields, int32_t values, int32_t columns, const double* table)
      : fields_(fields), values_(values), columns_(columns), table_(table) {}
  int32_t columns() const override { return columns_; }
  void count(const int16_t* genes, int64_t count, double* out, int64_t stride) override;

 private:
  int32_t fields_;
  int32_t values_;
  int32_t columns_;
  const double* table_;
};

}  // namespace narsfast
