// The only file that knows Python: checks shapes, releases the GIL, and calls the plain C++ of the core.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/version.h"
#include "search/rows.h"
#include "search/statistics.h"
#include "search/tables.h"

namespace py = pybind11;

// ---- rows and statistics ----

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

void require(bool holds, const char* message) {
  if (!holds) throw std::invalid_argument(message);
}

void check_columns(const Array<int32_t>& columns, int32_t fields) {
  const int32_t* begin = columns.data();
  const bool inside =
      std::all_of(begin, begin + columns.size(), [&](int32_t c) { return c >= 0 && c < fields; });
  require(inside, "a column is outside the fields");
}

// The part of a space that lowering reads.
narsfast::SpaceTables row_tables(const Array<int32_t>& numbers, const Array<int32_t>& header_columns,
                                 const Array<int32_t>& stage_columns) {
  require(numbers.ndim() == 2, "numbers must be (fields, values) int32");
  require(header_columns.ndim() == 1 && header_columns.shape(0) == narsfast::kHeaderColumns,
          "header_columns must be (4,) int32");
  require(stage_columns.ndim() == 2 && stage_columns.shape(1) == narsfast::kStageColumns,
          "stage_columns must be (stages, 8) int32");
  narsfast::SpaceTables tables;
  tables.fields = static_cast<int32_t>(numbers.shape(0));
  tables.values = static_cast<int32_t>(numbers.shape(1));
  tables.stages = static_cast<int32_t>(stage_columns.shape(0));
  check_columns(header_columns, tables.fields);
  check_columns(stage_columns, tables.fields);
  tables.numbers = numbers.data();
  tables.header_columns = header_columns.data();
  tables.stage_columns = stage_columns.data();
  return tables;
}

void check_genes(const Array<int16_t>& genes, const narsfast::SpaceTables& tables) {
  require(genes.ndim() == 2 && genes.shape(1) == tables.fields, "genes must be (n, fields) int16");
  const int16_t* begin = genes.data();
  const bool inside = std::all_of(begin, begin + genes.size(),
                                  [&](int16_t gene) { return gene >= 0 && gene < tables.values; });
  require(inside, "a gene is outside its field's values");
}

void check_rows(const int32_t* rows, int64_t count) {
  for (int64_t i = 0; i < count; ++i, rows += narsfast::kRowColumns) {
    if (rows[narsfast::kRepeats] <= 0) continue;
    require(rows[narsfast::kExpansion] > 0 && rows[narsfast::kStride] > 0,
            "a row needs an expansion and a stride of at least 1");
  }
}

py::tuple lower(const Array<int32_t>& numbers, const Array<int32_t>& header_columns,
                const Array<int32_t>& stage_columns, const Array<int16_t>& genes) {
  const narsfast::SpaceTables tables = row_tables(numbers, header_columns, stage_columns);
  check_genes(genes, tables);
  const py::ssize_t count = genes.shape(0);
  Array<int32_t> header({count, py::ssize_t{narsfast::kHeaderColumns}});
  Array<int32_t> rows(
      {count, py::ssize_t{narsfast::rows_per_candidate(tables)}, py::ssize_t{narsfast::kRowColumns}});
  int32_t* header_out = header.mutable_data();
  int32_t* rows_out = rows.mutable_data();
  {
    py::gil_scoped_release release;
    narsfast::lower_genes(tables, genes.data(), count, header_out, rows_out);
  }
  return py::make_tuple(header, rows);
}

Array<int64_t> count(const Array<int32_t>& header, const Array<int32_t>& rows, int32_t in_channels,
                     int32_t classes) {
  require(header.ndim() == 2 && header.shape(1) == narsfast::kHeaderColumns, "header must be (n, 4) int32");
  require(rows.ndim() == 3 && rows.shape(0) == header.shape(0) && rows.shape(2) == narsfast::kRowColumns,
          "rows must be (n, rows, 7) int32");
  check_rows(rows.data(), rows.shape(0) * rows.shape(1));
  Array<int64_t> statistics({header.shape(0), py::ssize_t{narsfast::kStatistics}});
  int64_t* out = statistics.mutable_data();
  {
    py::gil_scoped_release release;
    narsfast::count_rows(header.data(), rows.data(), header.shape(0), static_cast<int32_t>(rows.shape(1)),
                         in_channels, classes, out);
  }
  return statistics;
}

// Lowers and counts slice by slice, so that the rows of a large batch never exist at once.
Array<int64_t> count_genes(const Array<int32_t>& numbers, const Array<int32_t>& header_columns,
                           const Array<int32_t>& stage_columns, const Array<int16_t>& genes,
                           int32_t in_channels, int32_t classes) {
  constexpr int64_t kSlice = 256;
  const narsfast::SpaceTables tables = row_tables(numbers, header_columns, stage_columns);
  check_genes(genes, tables);
  const int64_t candidates = genes.shape(0);
  Array<int64_t> statistics({genes.shape(0), py::ssize_t{narsfast::kStatistics}});
  int64_t* out = statistics.mutable_data();
  {
    py::gil_scoped_release release;
    const int32_t rows_each = narsfast::rows_per_candidate(tables);
    std::vector<int32_t> header(kSlice * narsfast::kHeaderColumns);
    std::vector<int32_t> rows(kSlice * rows_each * narsfast::kRowColumns);
    for (int64_t begin = 0; begin < candidates; begin += kSlice) {
      const int64_t size = std::min(kSlice, candidates - begin);
      narsfast::lower_genes(tables, genes.data() + begin * tables.fields, size, header.data(), rows.data());
      check_rows(rows.data(), size * rows_each);
      narsfast::count_rows(header.data(), rows.data(), size, rows_each, in_channels, classes,
                           out + begin * narsfast::kStatistics);
    }
  }
  return statistics;
}

void bind_statistics(py::module_& m) {
  using py::arg;
  m.def("lower", &lower, arg("numbers").noconvert(), arg("header_columns").noconvert(),
        arg("stage_columns").noconvert(), arg("genes").noconvert(),
        "Genes to (header (n, 4) int32, rows (n, 2 * stages, 7) int32).");
  m.def("count", &count, arg("header").noconvert(), arg("rows").noconvert(), arg("in_chans"),
        arg("num_classes"), "Rows to statistics (n, 7) int64.");
  m.def("count_genes", &count_genes, arg("numbers").noconvert(), arg("header_columns").noconvert(),
        arg("stage_columns").noconvert(), arg("genes").noconvert(), arg("in_chans"), arg("num_classes"),
        "Genes to statistics (n, 7) int64.");
}

}  // namespace

PYBIND11_MODULE(_native, m) {
  m.doc() = "Compiled parts of narsfast.";
  m.def("abi_version", &narsfast::abi_version);
  bind_statistics(m);
}
