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

// parts (parts, 5), terms (terms, 2) and gates (gates, 3) have the columns of their structs.
PartArrays part_arrays(const SpaceTables& space, const Array<int32_t>& parts, const Array<int32_t>& terms,
                       const Array<int32_t>& gates, const Array<double>& entries, int32_t largest) {
  require(parts.ndim() == 2 && parts.shape(1) == 5, "parts must be (parts, 5) int32");
  require(terms.ndim() == 2 && terms.shape(1) == 2, "terms must be (terms, 2) int32");
  require(gates.ndim() == 2 && gates.shape(1) == 3, "gates must be (gates, 3) int32");
  require(entries.ndim() == 2 && largest >= -1 && largest < entries.shape(1),
          "entries must be (entries, statistics) float64, with a column of largest entries");
  PartArrays arrays;
  arrays.columns = static_cast<int32_t>(entries.shape(1));
  arrays.largest = largest;
  arrays.entries.assign(entries.data(), entries.data() + entries.size());
  const auto field = [&](int32_t column) { return column >= 0 && column < space.fields; };
  for (py::ssize_t i = 0; i < terms.shape(0); ++i) {
    const int32_t* term = terms.data(i, 0);
    require(field(term[0]) && term[1] >= 0,
            "a term is of a field that does not exist, or has a step below 0");
    arrays.terms.push_back({term[0], term[1]});
  }
  for (py::ssize_t i = 0; i < gates.shape(0); ++i) {
    const int32_t* gate = gates.data(i, 0);
    require(field(gate[0]), "a gate is of a field that does not exist");
    arrays.gates.push_back({gate[0], gate[1], gate[2]});
  }
  const auto inside = [](int32_t first, int32_t last, size_t size) {
    return first >= 0 && first <= last && static_cast<size_t>(last) <= size;
  };
  for (py::ssize_t i = 0; i < parts.shape(0); ++i) {
    const int32_t* part = parts.data(i, 0);
    require(inside(part[0], part[1], arrays.terms.size()) && inside(part[2], part[3], arrays.gates.size()),
            "a part has terms or gates that do not exist");
    int64_t last = part[4];
    for (int32_t t = part[0]; t < part[1]; ++t) {
      const PartArrays::Term& term = arrays.terms[static_cast<size_t>(t)];
      last += int64_t{space.sizes[term.column] - 1} * term.step;
    }
    require(part[4] >= 0 && last < entries.shape(0), "a part has too few entries");
    arrays.parts.push_back({part[0], part[1], part[2], part[3], part[4]});
  }
  return arrays;
}

Array<double> count_parts(PartCounter& counter, const Array<int16_t>& genes) {
  counter.space.check(genes);
  const auto columns = static_cast<py::ssize_t>(counter.source.columns());
  Array<double> statistics({genes.shape(0), columns});
  double* out = statistics.mutable_data();
  {
    py::gil_scoped_release release;
    counter.source.count(genes.data(), genes.shape(0), out, columns);
  }
  return statistics;
}

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
          "rows must be (n, rows, 12) int32");
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

PartCounter::PartCounter(const py::object& tables, const Array<int32_t>& parts, const Array<int32_t>& terms,
                         const Array<int32_t>& gates, const Array<double>& entries, int32_t largest)
    : space(tables),
      source(space.view.fields, part_arrays(space.view, parts, terms, gates, entries, largest)) {}

void bind_cost(py::module_& m) {
  using py::arg;
  m.def("lower", &lower, arg("tables"), arg("genes").noconvert(),
        "Lower genes to (header (n, 7) int32, rows (n, 2 * stages, 12) int32).");
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
  py::class_<PartCounter>(m, "PartCounter", "Sums the statistics of a network's parts, each of few genes.")
      .def(py::init<const py::object&, const Array<int32_t>&, const Array<int32_t>&, const Array<int32_t>&,
                    const Array<double>&, int32_t>(),
           arg("tables"), arg("parts").noconvert(), arg("terms").noconvert(), arg("gates").noconvert(),
           arg("entries").noconvert(), arg("largest"),
           "A part (parts, 5) int32 has its first and last term, first and last gate, and first entry. It is "
           "there "
           "where its gates (gates, 3) int32 hold, low <= gene of the column <= high, and reads the entry "
           "(entries, "
           "statistics) float64 at its first plus gene of the column * step over its terms (terms, 2) int32. "
           "Of the "
           "statistic `largest` (-1: none) the largest entry counts, of others the sum.")
      .def("count", &count_parts, arg("genes").noconvert(),
           "Count the statistics (n, columns) float64 of genes.");
}

}  // namespace narsfast::bindings
