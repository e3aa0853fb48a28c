#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cost/part_tables.h"
#include "search/predictor.h"
#include "space/tables.h"

namespace narsfast {

// Where evolution takes statistics from: some columns of a candidate's statistics, from its canonical genes.
class StatisticsSource {
 public:
  virtual ~StatisticsSource() = default;
  virtual int32_t columns() const = 0;
  // genes (count, F) -> out: row i at out + i * stride holds columns() values.
  virtual void count(const int16_t* genes, int64_t count, double* out, int64_t stride) = 0;
};

// The statistics of MBConv networks, in the order of narsfast.cost.STATISTICS, and one further cost if asked
// for: by tables of the parts that the space offers, or by rows where these are too many. Keeps the space's
// pointers.
class NetworkSource : public StatisticsSource {
 public:
  // Throws std::invalid_argument if a stage's stride or expansion can be below 1.
  NetworkSource(const SpaceTables& space, int32_t in_channels, int32_t classes);
  // Null where rows are counted.
  const PartTables* parts() const { return parts_.get(); }
  // cost (parts,) of every part, to be summed: the last column. Needs the tables.
  void add_cost(const double* cost);
  int32_t columns() const override { return columns_; }
  void count(const int16_t* genes, int64_t count, double* out, int64_t stride) override {
    count_as(genes, count, out, stride);
  }
  // Number is double or int64_t.
  template <typename Number>
  void count_as(const int16_t* genes, int64_t count, Number* out, int64_t stride) const;

 private:
  SpaceTables space_;
  int32_t in_channels_;
  int32_t classes_;
  int32_t columns_;
  std::unique_ptr<PartTables> parts_;
};

// Sums of one entry a gene, field after field: table (F, V, columns), which it borrows.
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

// What evolution maximises.
class Scorer {
 public:
  virtual ~Scorer() = default;
  // genes (count, F), statistics (count, S) -> scores (count,).
  virtual void score(const int16_t* genes, const double* statistics, int64_t count, double* scores) = 0;
  // The same candidates' standard deviation (count,): 0 for a scorer that knows none.
  virtual void deviation(const int16_t* genes, const double* statistics, int64_t count, double* std);
};

// Scores of a predictor, which it borrows. `columns` of a candidate's `stride` statistics are what it reads.
class PredictorScorer : public Scorer {
 public:
  PredictorScorer(const Predictor& predictor, std::vector<int32_t> columns, int32_t stride);
  void score(const int16_t* genes, const double* statistics, int64_t count, double* scores) override;
  void deviation(const int16_t* genes, const double* statistics, int64_t count, double* std) override;

 private:
  const double* pick(const double* statistics, int64_t count);

  const Predictor& predictor_;
  std::vector<int32_t> columns_;
  int32_t stride_;
  std::vector<double> picked_;
  std::vector<double> means_;
};

}  // namespace narsfast
