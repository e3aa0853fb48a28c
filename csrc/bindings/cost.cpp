// Rows and statistics for Python.
#include "bindings/cost.h"

#include "cost/rows.h"
#include "cost/statistics.h"

namespace py = pybind11;

namespace narsfast_py {

NetworkCounter::NetworkCounter(const py::object& tables, int32_t in_channels, int32_t classes)
    : space(tables), source(space.networks(), in_channels, classes) {}

}  // namespace narsfast_py

namespace {

using narsfast_py::Array;
using narsfast_py::NetworkCounter;
using narsfast_py::require;
using narsfast_py::SpaceArrays;

void check_rows(const int32_t* rows, int64_t count) {
  for (int64_t i = 0; i < count; ++i, rows += narsfast::kRowColumns) {
    if (rows[narsfast::kRepeats] <= 0) continue;
    require(rows[narsfast::kExpansion] > 0 && rows[narsfast::kStride] > 0,
            "a row needs an expansion and a stride of at least 1");
  }
}

py::tuple lower(const py::object& tables, const Array<int16_t>& genes) {
  const SpaceArrays space(tables);
  const narsfast::SpaceTables& view = space.networks();
  space.check(genes);
  const py::ssize_t count = genes.shape(0);
  Array<int32_t> header({count, py::ssize_t{narsfast::kHeaderColumns}});
  Array<int32_t> rows(
      {count, py::ssize_t{narsfast::rows_per_candidate(view)}, py::ssize_t{narsfast::kRowColumns}});
  int32_t* header_out = header.mutable_data();
  int32_t* rows_out = rows.mutable_data();
  {
    py::gil_scoped_release release;
    narsfast::lower_genes(view, genes.data(), count, header_out, rows_out);
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

template <typename Number>
Array<Number> count_genes(const NetworkCounter& counter, const Array<int16_t>& genes) {
  counter.space.check(genes);
  const auto columns = static_cast<py::ssize_t>(counter.source.columns());
  Array<Number> statistics({genes.shape(0), columns});
  Number* out = statistics.mutable_data();
  {
    py::gil_scoped_release release;
    counter.source.count_as(genes.data(), genes.shape(0), out, columns);
  }
  return statistics;
}

py::object parts(const NetworkCounter& counter) {
  const narsfast::PartTables* tables = counter.source.parts();
  if (tables == nullptr) return py::none();
  return Array<int32_t>({static_cast<py::ssize_t>(tables->parts()), py::ssize_t{narsfast::kPartColumns}},
                        tables->part(0));
}

void add_cost(NetworkCounter& counter, const Array<double>& cost) {
  require(counter.source.parts() != nullptr, "the space has too many parts for tables");
  require(cost.ndim() == 1 && cost.shape(0) == counter.source.parts()->parts(),
          "cost must be (parts,) float64");
  counter.source.add_cost(cost.data());
}

}  // namespace

void bind_statistics(py::module_& m) {
  using py::arg;
  m.def("lower", &lower, arg("tables"), arg("genes").noconvert(),
        "Genes to (header (n, 4) int32, rows (n, 2 * stages, 7) int32).");
  m.def("count", &count, arg("header").noconvert(), arg("rows").noconvert(), arg("in_chans"),
        arg("num_classes"), "Rows to statistics (n, 7) int64.");
  py::class_<NetworkCounter>(m, "NetworkCounter", "Counts the statistics of a space's networks.")
      .def(py::init<const py::object&, int32_t, int32_t>(), arg("tables"), arg("in_chans"),
           arg("num_classes"), "Fills the tables of parts, unless the space has too many.")
      .def("whole", &count_genes<int64_t>, arg("genes").noconvert(), "Genes to statistics (n, 7) int64.")
      .def("real", &count_genes<double>, arg("genes").noconvert(),
           "Genes to statistics (n, 7, or 8 with a cost) float64.")
      .def("add_cost", &add_cost, arg("cost").noconvert(),
           "Adds a last statistic: cost (parts,) float64 of every part, which is summed.")
      .def_property_readonly(
          "parts", &parts,
          "The parts that are tabled, (parts, 9) int32: kind (0 stem, 1 blocks, 2 head), kernel, "
          "expansion, channels in, channels out, stride, squeeze-excite, side, repeats; None where "
          "they are too many.");
}
