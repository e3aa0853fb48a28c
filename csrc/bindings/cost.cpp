// Rows and statistics for Python.
#include "bindings/cost.h"

#include "bindings/module.h"
#include "cost/rows.h"
#include "cost/statistics.h"

namespace py = pybind11;

namespace narsfast::bindings {

NetworkCounter::NetworkCounter(const py::object& tables, int32_t in_channels, int32_t classes)
    : space(tables), source(space.networks(), in_channels, classes) {}

namespace {

void check_rows(const int32_t* rows, int64_t count) {
  for (int64_t i = 0; i < count; ++i, rows += kRowColumns) {
    if (rows[kRepeats] <= 0) continue;
    require(rows[kKind] >= 0 && rows[kKind] < kBlockKinds, "the kind of a row is unknown");
    const bool wide = rows[kHidden] > 0 || rows[kExpansion] > 0 || rows[kKind] == kPlainConv;
    require(wide && rows[kStride] > 0,
            "a row needs an expansion or hidden width, and a stride, of at least 1");
    require(rows[kSe] == 0 || rows[kSeWidth] > 0 || rows[kSeWidth] <= -4,
            "the rule for the inner width of a squeeze-excite is unknown");
  }
}

py::tuple lower(const py::object& tables, const Array<int16_t>& genes) {
  const SpaceArrays space(tables);
  const SpaceTables& view = space.networks();
  space.check(genes);
  const py::ssize_t count = genes.shape(0);
  Array<int32_t> header({count, py::ssize_t{kHeaderColumns}});
  Array<int32_t> rows({count, py::ssize_t{rows_per_candidate(view)}, py::ssize_t{kRowColumns}});
  int32_t* header_out = header.mutable_data();
  int32_t* rows_out = rows.mutable_data();
  {
    py::gil_scoped_release release;
    lower_genes(view, genes.data(), count, header_out, rows_out);
  }
  return py::make_tuple(header, rows);
}

Array<int64_t> count(const Array<int32_t>& header, const Array<int32_t>& rows, int32_t in_channels,
                     int32_t classes) {
  require(header.ndim() == 2 && header.shape(1) == kHeaderColumns, "header must be (n, 7) int32");
  require(rows.ndim() == 3 && rows.shape(0) == header.shape(0) && rows.shape(2) == kRowColumns,
          "rows must be (n, rows, 11) int32");
  check_rows(rows.data(), rows.shape(0) * rows.shape(1));
  Array<int64_t> statistics({header.shape(0), py::ssize_t{kStatistics}});
  int64_t* out = statistics.mutable_data();
  bool fit = false;
  {
    py::gil_scoped_release release;
    fit = count_rows(header.data(), rows.data(), header.shape(0), static_cast<int32_t>(rows.shape(1)),
                     in_channels, classes, out);
  }
  if (!fit) throw std::overflow_error(kTooLarge);
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
  const PartTables* tables = counter.source.parts();
  if (tables == nullptr) return py::none();
  return Array<int32_t>({static_cast<py::ssize_t>(tables->parts()), py::ssize_t{kPartColumns}},
                        tables->part(0));
}

void add_cost(NetworkCounter& counter, const Array<double>& cost) {
  require(counter.source.parts() != nullptr, "the space has too many parts for tables");
  require(cost.ndim() == 1 && cost.shape(0) == counter.source.parts()->parts(),
          "cost must be (parts,) float64");
  counter.source.add_cost(cost.data());
}

}  // namespace

void bind_cost(py::module_& m) {
  using py::arg;
  m.def("lower", &lower, arg("tables"), arg("genes").noconvert(),
        "Lower genes to (header (n, 7) int32, rows (n, 2 * stages, 11) int32).");
  m.def("count", &count, arg("header").noconvert(), arg("rows").noconvert(), arg("in_chans"),
        arg("num_classes"), "Count the statistics (n, 7) int64 of rows.");
  py::class_<NetworkCounter>(m, "NetworkCounter", "Counts the statistics of a space's networks.")
      .def(py::init<const py::object&, int32_t, int32_t>(), arg("tables"), arg("in_chans"),
           arg("num_classes"), "Build the tables of parts, unless the space has too many.")
      .def("count_int64", &count_genes<int64_t>, arg("genes").noconvert(),
           "Count the statistics (n, 7) int64 of genes.")
      .def("count_float64", &count_genes<double>, arg("genes").noconvert(),
           "Count the statistics of genes, (n, 7) or with a cost (n, 8) float64.")
      .def("add_cost", &add_cost, arg("cost").noconvert(),
           "Add one more statistic, the sum of cost (parts,) float64 over a network's parts.")
      .def_property_readonly(
          "parts", &parts,
          "The parts in the tables, (parts, 13) int32: kind (0 stem, 1 blocks, 2 head), kernel, expansion, "
          "input channels, output channels, stride, squeeze-excite, side of the input in pixels, activation, "
          "kind of "
          "block, kernel before the expansion, rule for the inner width of squeeze-excite, repeats; None "
          "where there "
          "are too many.");
}

}  // namespace narsfast::bindings
