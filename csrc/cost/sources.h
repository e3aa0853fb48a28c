#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

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

// Networks in parts, each of which is there where its gates hold, and whose statistics depend on few genes.
struct PartArrays {
  struct Part {
    int32_t first_term, last_term, first_gate, last_gate;  // [first, last)
    int32_t first_entry;
  };
  struct Term {
    int32_t column, step;  // adds gene[column] * step to the place of the part's entry
  };
  struct Gate {
    int32_t column, low, high;  // holds where low <= gene[column] <= high
  };
  std::vector<Part> parts;
  std::vector<Term> terms;
  std::vector<Gate> gates;
  int32_t columns = 0;
  int32_t largest = -1;  // the column, such as the peak memory, of which the largest entry counts; -1: none
  std::vector<double> entries;  // (entries, columns)
};

// Sums the entries of the parts that a network has.
class PartSource : public StatisticsSource {
 public:
  PartSource(int32_t fields, PartArrays arrays) : fields_(fields), arrays_(std::move(arrays)) {}
  int32_t columns() const override { return arrays_.columns; }
  void count(const int16_t* genes, int64_t count, double* out, int64_t stride) override;

 private:
  int32_t fields_;
  PartArrays arrays_;
};

}  // namespace narsfast
