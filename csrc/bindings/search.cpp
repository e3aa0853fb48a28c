// With the other bindings_ files all that knows Python: checks shapes, releases the GIL, and calls the plain
// C++ of the core.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/module.h"
#include "bindings/space.h"
#include "bindings/cost.h"
#include "common/dispatch.h"
#include "common/random.h"
#include "search/evolution.h"
#include "search/budgets.h"
#include "search/kernels.h"
#include "search/predictor.h"
#include "cost/sources.h"
#include "space/tables.h"

namespace py = pybind11;

namespace {

using narsfast_py::Array;
using narsfast_py::NetworkCounter;
using narsfast_py::require;
using narsfast_py::SpaceArrays;

// Layers of PredictorWeights, [(weights (M, inputs, outputs), bias (M, outputs)), ...]; `kept` owns the
// arrays.
std::vector<narsfast::LayerWeights> layers(const py::object& list, py::ssize_t members,
                                           std::vector<Array<float>>* kept) {
  std::vector<narsfast::LayerWeights> result;
  for (const py::handle item : list) {
    const auto pair = item.cast<std::pair<Array<float>, Array<float>>>();
    const Array<float>& weights = pair.first;
    const Array<float>& bias = pair.second;
    require(weights.ndim() == 3 && weights.shape(0) == members, "weights must be (members, inputs, outputs)");
    require(bias.ndim() == 2 && bias.shape(0) == members && bias.shape(1) == weights.shape(2),
            "a bias must be (members, outputs)");
    result.push_back({weights.shape(1), weights.shape(2), weights.data(), bias.data()});
    kept->insert(kept->end(), {weights, bias});
  }
  return result;
}

// A predictor of the core with what its inputs are checked against.
struct PredictorHandle {
  SpaceArrays space;
  narsfast::Predictor predictor;

  PredictorHandle(const py::object& tables, const py::object& weights)
      : space(tables), predictor(make(space, weights)) {}

  static narsfast::Predictor make(const SpaceArrays& space, const py::object& weights) {
    const auto head = weights.attr("head").cast<std::vector<std::pair<Array<float>, Array<float>>>>();
    require(!head.empty() && head[0].first.ndim() == 3,
            "the head needs layers, weights (M, inputs, outputs)");
    const Array<float> mean(weights.attr("statistic_mean"));
    const Array<float> std(weights.attr("statistic_std"));
    require(mean.size() == std.size(), "statistic_mean and statistic_std must have one length");
    std::vector<Array<float>> kept;
    narsfast::PredictorWeights view;
    view.members = static_cast<int32_t>(head[0].first.shape(0));
    view.statistics = static_cast<int32_t>(mean.size());
    view.statistic_mean = mean.data();
    view.statistic_std = std.data();
    view.encoder = layers(weights.attr("encoder"), view.members, &kept);
    view.head = layers(weights.attr("head"), view.members, &kept);
    view.output_mean = weights.attr("output_mean").cast<double>();
    view.output_scale = weights.attr("output_scale").cast<double>();
    view.deviation_scale = weights.attr("deviation_scale").cast<double>();
    view.deviation_floor = weights.attr("deviation_floor").cast<double>();
    return narsfast::Predictor(space.view, view, narsfast::choose_isa());
  }

  py::tuple score(const Array<int16_t>& genes, const Array<double>& statistics) const {
    space.check(genes);
    require(statistics.ndim() == 2 && statistics.shape(0) == genes.shape(0) &&
                statistics.shape(1) == predictor.statistics(),
            "statistics must be (n, statistics of the predictor)");
    Array<double> mean(genes.shape(0));
    Array<double> std(genes.shape(0));
    double* mean_out = mean.mutable_data();
    double* std_out = std.mutable_data();
    {
      py::gil_scoped_release release;
      predictor.score(genes.data(), statistics.data(), genes.shape(0), mean_out, std_out);
    }
    return py::make_tuple(mean, std);
  }
};

// Genes as Python sees them: a copy, since the callable may keep it.
Array<int16_t> genes_array(const int16_t* genes, int64_t count, int32_t fields) {
  return Array<int16_t>({static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(fields)}, genes);
}

class CallableSource : public narsfast::StatisticsSource {
 public:
  CallableSource(py::function function, int32_t fields, int32_t columns)
      : function_(std::move(function)), fields_(fields), columns_(columns) {}
  int32_t columns() const override { return columns_; }
  void count(const int16_t* genes, int64_t count, double* out, int64_t stride) override {
    py::gil_scoped_acquire acquire;
    const py::array_t<double, py::array::c_style | py::array::forcecast> values(
        function_(genes_array(genes, count, fields_)));
    require(values.ndim() == 2 && values.shape(0) == count && values.shape(1) == columns_,
            "statistics must be (n, one column a name)");
    for (int64_t i = 0; i < count; ++i) std::copy_n(values.data(i, 0), columns_, out + i * stride);
  }

 private:
  py::function function_;
  int32_t fields_;
  int32_t columns_;
};

class CallableScorer : public narsfast::Scorer {
 public:
  CallableScorer(py::function function, int32_t fields) : function_(std::move(function)), fields_(fields) {}
  void score(const int16_t* genes, const double*, int64_t count, double* scores) override {
    py::gil_scoped_acquire acquire;
    const py::array_t<double, py::array::c_style | py::array::forcecast> values(
        function_(genes_array(genes, count, fields_)));
    require(values.ndim() == 1 && values.shape(0) == count, "scores must be (n,)");
    std::copy_n(values.data(), count, scores);
  }

 private:
  py::function function_;
  int32_t fields_;
};

template <typename T>
Array<T> as_array(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
  return Array<T>(std::move(shape), values.data());
}

py::dict result_dict(const narsfast::EvolutionResult& result, py::ssize_t fields, py::ssize_t columns) {
  using py::arg;
  const auto size = static_cast<py::ssize_t>(result.size);
  return py::dict(
      arg("genes") = as_array(result.genes, {size, fields}), arg("scores") = as_array(result.scores, {size}),
      arg("std") = as_array(result.std, {size}),
      arg("statistics") = as_array(result.statistics, {size, columns}),
      arg("history") = as_array(result.history, {static_cast<py::ssize_t>(result.history.size())}),
      arg("bred") = result.bred, arg("scored") = result.scored);
}

// One evolution a budget. sources of the statistics, side by side: a NetworkCounter, additive tables (F, V,
// S) float64, a callable genes -> (n, the columns that are left). scorer: a Predictor (reading
// `predictor_columns` of the statistics) or a callable genes -> (n,). bounds: for each budget a list of
// (column, low, high). starts: for each budget genes (n, F).
py::list evolve(const py::object& tables, const py::list& sources, int32_t columns, const py::object& scorer,
                const std::vector<int32_t>& predictor_columns,
                const std::vector<std::vector<std::tuple<int32_t, double, double>>>& bounds,
                const std::vector<Array<int16_t>>& starts, const std::vector<int32_t>& objectives,
                uint64_t seed, int32_t keep, int32_t children, int32_t generations, double epsilon,
                int32_t patience, double crossover, double mutation) {
  const SpaceArrays space(tables);
  const int32_t fields = space.view.fields;
  require(bounds.size() == starts.size(), "one start for each budget is needed");
  const auto inside = [&](int32_t column) { return column >= 0 && column < columns; };
  require(std::all_of(predictor_columns.begin(), predictor_columns.end(), inside), "a column is unknown");
  require(std::all_of(objectives.begin(), objectives.end(), inside), "an objective is unknown");

  bool calls_python = false;
  int32_t counted = 0;
  std::vector<Array<double>> kept;
  std::vector<std::unique_ptr<narsfast::StatisticsSource>> owned;
  std::vector<narsfast::StatisticsSource*> views;
  for (const py::handle source : sources) {
    if (py::isinstance<NetworkCounter>(source)) {
      auto& counter = source.cast<NetworkCounter&>();
      require(counter.space.view.fields == fields, "the counter is of another space");
      views.push_back(&counter.source);
    } else if (py::isinstance<py::array>(source)) {
      const auto table = source.cast<Array<double>>();
      require(table.ndim() == 3 && table.shape(0) == fields && table.shape(1) == space.view.values,
              "an additive table must be (fields, values, statistics) float64");
      kept.push_back(table);
      owned.push_back(std::make_unique<narsfast::TableSource>(
          fields, space.view.values, static_cast<int32_t>(table.shape(2)), table.data()));
      views.push_back(owned.back().get());
    } else {
      calls_python = true;
      owned.push_back(
          std::make_unique<CallableSource>(source.cast<py::function>(), fields, columns - counted));
      views.push_back(owned.back().get());
    }
    counted += views.back()->columns();
  }
  require(counted == columns, "the sources have another number of statistics");

  const bool predicts = py::isinstance<PredictorHandle>(scorer);
  calls_python |= !predicts;
  if (predicts) {
    require(scorer.cast<const PredictorHandle&>().predictor.fields() == fields,
            "the predictor is of another space");
  }
  const narsfast::Predictor* predictor =
      predicts ? &scorer.cast<const PredictorHandle&>().predictor : nullptr;
  const auto make_scorer = [&]() -> std::unique_ptr<narsfast::Scorer> {
    if (predicts) {
      return std::make_unique<narsfast::PredictorScorer>(*predictor, predictor_columns, columns);
    }
    py::gil_scoped_acquire acquire;
    return std::make_unique<CallableScorer>(scorer.cast<py::function>(), fields);
  };

  narsfast::EvolutionOptions options;
  options.seed = seed;
  options.keep = keep;
  options.children = children;
  options.generations = generations;
  options.epsilon = epsilon;
  options.patience = patience;
  options.crossover = crossover;
  options.mutation = mutation;
  options.objectives = objectives;
  options.each_generation = [](int32_t) {
    py::gil_scoped_acquire acquire;  // lets Ctrl-C through
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  };
  std::vector<narsfast::BudgetStart> budgets;
  for (size_t b = 0; b < bounds.size(); ++b) {
    space.check(starts[b]);
    budgets.push_back({starts[b].data(), starts[b].shape(0), {}});
    for (const auto& [column, low, high] : bounds[b]) {
      require(inside(column), "a bound is on an unknown statistic");
      budgets.back().bounds.push_back({column, low, high});
    }
  }
  std::vector<narsfast::EvolutionResult> found;
  {
    py::gil_scoped_release release;
    found = narsfast::evolve_family(space.view, views, make_scorer, options, narsfast::choose_isa(), budgets,
                                    !calls_python);
  }
  py::list results;
  for (const narsfast::EvolutionResult& result : found) results.append(result_dict(result, fields, columns));
  return results;
}

Array<uint32_t> philox_words(uint64_t seed, uint32_t purpose, const Array<uint32_t>& counters) {
  require(counters.ndim() == 2 && counters.shape(1) == 4, "counters must be (n, 4) uint32");
  Array<uint32_t> words({counters.shape(0), py::ssize_t{4}});
  uint32_t* out = words.mutable_data();
  for (py::ssize_t i = 0; i < counters.shape(0); ++i) {
    const uint32_t* counter = counters.data(i, 0);
    const narsfast::PhiloxBlock block = narsfast::philox(narsfast::make_key(seed, purpose),
                                                         {{counter[0], counter[1], counter[2], counter[3]}});
    std::copy_n(block.word, 4, out + 4 * i);
  }
  return words;
}

// What evolution draws for one child, by the kernel of the chosen instruction set: (blocks, 4).
Array<uint32_t> kernel_words(uint64_t seed, uint32_t purpose, uint32_t child, uint32_t parent,
                             uint32_t generation, int32_t blocks) {
  require(blocks >= 1, "blocks must be at least 1");
  const int64_t stride = narsfast::padded(blocks);
  std::vector<uint32_t> words(static_cast<size_t>(4 * stride));
  narsfast::search_kernels(narsfast::choose_isa())
      .random_words(narsfast::make_key(seed, purpose), child, parent, generation, blocks, stride,
                    words.data());
  Array<uint32_t> out({static_cast<py::ssize_t>(blocks), py::ssize_t{4}});
  for (int32_t b = 0; b < blocks; ++b) {
    for (int w = 0; w < 4; ++w) out.mutable_at(b, w) = words[static_cast<size_t>(w * stride + b)];
  }
  return out;
}

void bind_search(py::module_& m) {
  using py::arg;
  m.def(
      "isa", [] { return narsfast::isa_name(narsfast::choose_isa()); },
      "The instruction set that kernels take now: the best, or what NARSFAST_ISA names.");
  m.def(
      "isas",
      [] {
        std::vector<std::string> names;
        for (const narsfast::Isa isa : narsfast::available_isas())
          names.emplace_back(narsfast::isa_name(isa));
        return names;
      },
      "Instruction sets that this build holds and this machine runs, slowest first.");
  m.def("philox", &philox_words, arg("seed"), arg("purpose"), arg("counters").noconvert(),
        "Words (n, 4) uint32 of counters (n, 4) uint32.");
  m.def("child_words", &kernel_words, arg("seed"), arg("purpose"), arg("child"), arg("parent"),
        arg("generation"), arg("blocks"), "Words (blocks, 4) uint32 that evolution draws for one child.");
  py::class_<PredictorHandle>(m, "Predictor", "Batched inference of all members of a predictor.")
      .def(py::init<const py::object&, const py::object&>(), arg("tables"), arg("weights"),
           "Packs the weights (narsfast.predictor.PredictorWeights) for the instruction set that is chosen "
           "now.")
      .def("score", &PredictorHandle::score, arg("genes").noconvert(), arg("statistics"),
           "Canonical genes (n, F) int16, statistics (n, S) -> mean and std over members, (n,) float64, "
           "percent.")
      .def_property_readonly(
          "isa", [](const PredictorHandle& handle) { return narsfast::isa_name(handle.predictor.isa()); },
          "The instruction set chosen when it was made.");
  m.def("evolve", &evolve, arg("tables"), arg("sources"), arg("columns"), arg("scorer"),
        arg("predictor_columns"), arg("bounds"), arg("starts"), py::kw_only(), arg("objectives"), arg("seed"),
        arg("keep"), arg("children"), arg("generations"), arg("epsilon"), arg("patience"), arg("crossover"),
        arg("mutation"), "Evolution of every budget: a list of dicts. See narsfast.search.evolve.");
}

}  // namespace

PYBIND11_MODULE(_native, m) {
  m.doc() = "Compiled parts of narsfast.";
  bind_statistics(m);
  bind_search(m);
  bind_depthwise(m);
  bind_optimizer(m);
}
