// Predictor inference and evolution for Python.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/cost.h"
#include "bindings/module.h"
#include "bindings/space.h"
#include "common/dispatch.h"
#include "common/random.h"
#include "search/budgets.h"
#include "search/evolution.h"
#include "search/kernels.h"
#include "search/predictor.h"
#include "search/process.h"
#include "search/scorer.h"
#include "search/surrogate.h"
#include "space/tables.h"

namespace py = pybind11;

namespace narsfast::bindings {
namespace {

// The layers of PredictorWeights, [(weights (M, inputs, outputs), bias (M, outputs)), ...]. `arrays` keeps
// their memory alive.
std::vector<LayerWeights> layers(const py::object& list, py::ssize_t members,
                                 std::vector<Array<float>>* arrays) {
  std::vector<LayerWeights> result;
  for (const py::handle item : list) {
    const auto pair = item.cast<std::pair<Array<float>, Array<float>>>();
    const Array<float>& weights = pair.first;
    const Array<float>& bias = pair.second;
    require(weights.ndim() == 3 && weights.shape(0) == members, "weights must be (members, inputs, outputs)");
    require(bias.ndim() == 2 && bias.shape(0) == members && bias.shape(1) == weights.shape(2),
            "a bias must be (members, outputs)");
    result.push_back({weights.shape(1), weights.shape(2), weights.data(), bias.data()});
    arrays->insert(arrays->end(), {weights, bias});
  }
  return result;
}

// A surrogate of the core, and the space that its inputs are checked against.
struct SurrogateHandle {
  SpaceArrays space;
  Isa isa;
  std::shared_ptr<const Surrogate> surrogate;

  SurrogateHandle(SpaceArrays arrays, Isa chosen) : space(std::move(arrays)), isa(chosen) {}

  py::tuple score(const Array<int16_t>& genes, const Array<double>& statistics) const {
    space.check(genes);
    require(statistics.ndim() == 2 && statistics.shape(0) == genes.shape(0) &&
                statistics.shape(1) == surrogate->statistics(),
            "statistics must be (n, statistics of the predictor)");
    Array<double> mean(genes.shape(0));
    Array<double> std(genes.shape(0));
    double* mean_out = mean.mutable_data();
    double* std_out = std.mutable_data();
    {
      py::gil_scoped_release release;
      surrogate->score(genes.data(), statistics.data(), genes.shape(0), mean_out, std_out);
    }
    return py::make_tuple(mean, std);
  }
};

struct PredictorHandle : SurrogateHandle {
  PredictorHandle(const py::object& tables, const py::object& weights)
      : SurrogateHandle(SpaceArrays(tables), choose_isa()) {
    const auto head = weights.attr("head").cast<std::vector<std::pair<Array<float>, Array<float>>>>();
    require(!head.empty() && head[0].first.ndim() == 3,
            "the head needs layers, weights (M, inputs, outputs)");
    const Array<float> mean(weights.attr("statistic_mean"));
    const Array<float> std(weights.attr("statistic_std"));
    require(mean.size() == std.size(), "statistic_mean and statistic_std must have one length");
    std::vector<Array<float>> arrays;
    PredictorWeights view;
    view.members = static_cast<int32_t>(head[0].first.shape(0));
    view.statistics = static_cast<int32_t>(mean.size());
    view.statistic_mean = mean.data();
    view.statistic_std = std.data();
    view.encoder = layers(weights.attr("encoder"), view.members, &arrays);
    view.head = layers(weights.attr("head"), view.members, &arrays);
    view.output_mean = weights.attr("output_mean").cast<double>();
    view.output_scale = weights.attr("output_scale").cast<double>();
    view.deviation_scale = weights.attr("deviation_scale").cast<double>();
    view.deviation_floor = weights.attr("deviation_floor").cast<double>();
    surrogate = std::make_shared<Predictor>(space.view, view, isa);
  }
};

// An array of ProcessWeights with this shape.
template <typename T>
Array<T> shaped(const py::object& weights, const char* name, std::vector<py::ssize_t> shape) {
  Array<T> array(weights.attr(name));
  const bool fits = array.ndim() == static_cast<py::ssize_t>(shape.size()) &&
                    std::equal(shape.begin(), shape.end(), array.shape());
  require(fits, "an array of the process has another shape");
  return array;
}

struct ProcessHandle : SurrogateHandle {
  ProcessHandle(const py::object& tables, const py::object& weights)
      : SurrogateHandle(SpaceArrays(tables), choose_isa()) {
    const Array<double> alpha(weights.attr("weights"));
    const Array<float> mean(weights.attr("statistic_mean"));
    const Array<float> distances(weights.attr("distances"));
    require(alpha.ndim() == 1 && mean.ndim() == 1 && distances.ndim() == 2,
            "weights must be (n,), statistic_mean (S,) and distances (R, n)");
    const py::ssize_t labels = alpha.size();
    const py::ssize_t columns = mean.size();
    require(distances.shape(1) == labels, "distances must be (R, n)");
    const auto std = shaped<float>(weights, "statistic_std", {columns});
    const Array<double> sums(weights.attr("sums"));
    require(sums.ndim() == 2 && sums.shape(0) == distances.shape(0), "sums must be (R, T)");
    const py::ssize_t all = columns + sums.shape(1);
    const auto slopes = shaped<double>(weights, "slopes", {all});
    const auto slope_variances = shaped<double>(weights, "slope_variances", {all});
    const auto linear = shaped<float>(weights, "linear", {all, labels});
    const auto whitening = shaped<float>(weights, "whitening", {labels, labels});
    const auto variances = shaped<double>(weights, "variances", {2});
    ProcessWeights view;
    view.labels = labels;
    view.rows = distances.shape(0);
    view.statistics = static_cast<int32_t>(columns);
    view.statistic_mean = mean.data();
    view.statistic_std = std.data();
    view.distances = distances.data();
    view.sum_columns = static_cast<int32_t>(sums.shape(1));
    view.sums = sums.data();
    std::copy_n(variances.data(), 2, view.variances);
    view.weights = alpha.data();
    view.intercept = weights.attr("intercept").cast<double>();
    view.slopes = slopes.data();
    view.intercept_variance = weights.attr("intercept_variance").cast<double>();
    view.slope_variances = slope_variances.data();
    view.linear = linear.data();
    view.whitening = whitening.data();
    view.output_mean = weights.attr("output_mean").cast<double>();
    view.output_scale = weights.attr("output_scale").cast<double>();
    surrogate = std::make_shared<Process>(space.view, view, isa);
  }
};

struct MixtureHandle : SurrogateHandle {
  MixtureHandle(const std::vector<SurrogateHandle>& parts, const std::vector<double>& shares)
      : SurrogateHandle(first(parts)) {
    std::vector<std::shared_ptr<const Surrogate>> surrogates;
    for (const SurrogateHandle& part : parts) {
      require(part.space.same(space), "the surrogates of a mixture must be of one space");
      surrogates.push_back(part.surrogate);
    }
    surrogate = std::make_shared<Mixture>(std::move(surrogates), shares, space.view.fields);
  }

  static const SurrogateHandle& first(const std::vector<SurrogateHandle>& parts) {
    require(!parts.empty(), "a mixture needs surrogates");
    return parts[0];
  }
};

// Genes for a Python callable: a copy, since the callable may keep it.
Array<int16_t> genes_array(const int16_t* genes, int64_t count, int32_t fields) {
  return Array<int16_t>({static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(fields)}, genes);
}

class CallableSource : public StatisticsSource {
 public:
  CallableSource(py::function function, int32_t fields, int32_t columns)
      : function_(std::move(function)), fields_(fields), columns_(columns) {}
  int32_t columns() const override { return columns_; }
  void count(const int16_t* genes, int64_t count, double* out, int64_t stride) override {
    py::gil_scoped_acquire acquire;
    const py::array_t<double, py::array::c_style | py::array::forcecast> values(
        function_(genes_array(genes, count, fields_)));
    require(values.ndim() == 2 && values.shape(0) == count && values.shape(1) == columns_,
            "statistics must be (n, one column per name)");
    for (int64_t i = 0; i < count; ++i) std::copy_n(values.data(i, 0), columns_, out + i * stride);
  }

 private:
  py::function function_;
  int32_t fields_;
  int32_t columns_;
};

// Made and destroyed without the GIL: it holds no reference, and the function must outlive it.
class CallableScorer : public Scorer {
 public:
  CallableScorer(py::handle function, int32_t fields) : function_(function), fields_(fields) {}
  void score(const int16_t* genes, const double*, int64_t count, double* scores) override {
    py::gil_scoped_acquire acquire;
    const py::array_t<double, py::array::c_style | py::array::forcecast> values(
        function_(genes_array(genes, count, fields_)));
    require(values.ndim() == 1 && values.shape(0) == count, "scores must be (n,)");
    std::copy_n(values.data(), count, scores);
  }

 private:
  py::handle function_;
  int32_t fields_;
};

// The sources of the statistics, side by side, and what keeps them alive.
struct Sources {
  std::vector<StatisticsSource*> views;
  bool calls_python = false;

  Sources(const py::list& sources, const SpaceArrays& space, int32_t num_statistics) {
    const int32_t fields = space.view.fields;
    int32_t columns = 0;
    for (const py::handle source : sources) {
      if (py::isinstance<NetworkCounter>(source)) {
        auto& counter = source.cast<NetworkCounter&>();
        require(counter.space.same(space), "the counter is of another space");
        views.push_back(&counter.source);
      } else if (py::isinstance<PartCounter>(source)) {
        auto& counter = source.cast<PartCounter&>();
        require(counter.space.same(space), "the counter is of another space");
        views.push_back(&counter.source);
      } else if (py::isinstance<py::array>(source)) {
        const auto table = source.cast<Array<double>>();
        require(table.ndim() == 3 && table.shape(0) == fields && table.shape(1) == space.view.values,
                "an additive table must be (fields, values, statistics) float64");
        tables_.push_back(table);
        add(std::make_unique<TableSource>(fields, space.view.values, static_cast<int32_t>(table.shape(2)),
                                          table.data()));
      } else {
        calls_python = true;
        add(std::make_unique<CallableSource>(source.cast<py::function>(), fields, num_statistics - columns));
      }
      columns += views.back()->columns();
    }
    require(columns == num_statistics, "the sources have another number of statistics");
  }

 private:
  void add(std::unique_ptr<StatisticsSource> source) {
    views.push_back(source.get());
    owned_.push_back(std::move(source));
  }

  std::vector<Array<double>> tables_;
  std::vector<std::unique_ptr<StatisticsSource>> owned_;
};

template <typename T>
Array<T> as_array(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
  return Array<T>(std::move(shape), values.data());
}

py::dict result_dict(const EvolutionResult& result, py::ssize_t fields, py::ssize_t num_statistics) {
  using py::arg;
  const auto size = static_cast<py::ssize_t>(result.size);
  return py::dict(
      arg("genes") = as_array(result.genes, {size, fields}), arg("scores") = as_array(result.scores, {size}),
      arg("std") = as_array(result.std, {size}),
      arg("statistics") = as_array(result.statistics, {size, num_statistics}),
      arg("history") = as_array(result.history, {static_cast<py::ssize_t>(result.history.size())}),
      arg("num_offspring") = result.num_offspring, arg("num_evaluated") = result.num_evaluated);
}

// sources: a NetworkCounter, a PartCounter, an additive table (F, V, statistics) float64, or a callable of
// genes that returns the remaining statistics (n, ...), each. scorer: a Predictor, which reads
// `predictor_columns` of the statistics, or a callable of genes that returns (n,). bounds: for each budget a
// list of (column, low, high). starts: for each budget genes (n, F).
py::list evolve(const py::object& tables, const py::list& sources, int32_t num_statistics,
                const py::object& scorer, const std::vector<int32_t>& predictor_columns, double caution,
                const std::vector<std::vector<std::tuple<int32_t, double, double>>>& bounds,
                const std::vector<Array<int16_t>>& starts, const std::vector<int32_t>& objectives,
                uint64_t seed, int32_t population_size, int32_t children, int32_t generations, double epsilon,
                int32_t patience, double crossover, double mutation) {
  const SpaceArrays space(tables);
  const int32_t fields = space.view.fields;
  require(bounds.size() == starts.size(), "each budget needs a start");
  const auto exists = [&](int32_t column) { return column >= 0 && column < num_statistics; };
  require(std::all_of(predictor_columns.begin(), predictor_columns.end(), exists), "a column is unknown");
  require(std::all_of(objectives.begin(), objectives.end(), exists), "an objective is unknown");
  const Sources statistics(sources, space, num_statistics);

  const Surrogate* surrogate = nullptr;
  if (py::isinstance<SurrogateHandle>(scorer)) {
    const auto& handle = scorer.cast<const SurrogateHandle&>();
    require(handle.space.same(space), "the predictor is of another space");
    surrogate = handle.surrogate.get();
  } else {
    require(PyCallable_Check(scorer.ptr()) != 0, "the scorer must be a predictor or a callable of genes");
  }
  const auto make_scorer = [&]() -> std::unique_ptr<Scorer> {
    if (surrogate != nullptr) {
      return std::make_unique<SurrogateScorer>(*surrogate, predictor_columns, num_statistics, caution);
    }
    return std::make_unique<CallableScorer>(scorer, fields);
  };

  EvolutionOptions options;
  options.seed = seed;
  options.population_size = population_size;
  options.children = children;
  options.generations = generations;
  options.epsilon = epsilon;
  options.patience = patience;
  options.crossover = crossover;
  options.mutation = mutation;
  options.objectives = objectives;
  options.each_generation = [](int32_t) {
    py::gil_scoped_acquire acquire;  // lets Ctrl-C end the search
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  };
  std::vector<BudgetStart> budgets;
  for (size_t b = 0; b < bounds.size(); ++b) {
    space.check(starts[b]);
    budgets.push_back({starts[b].data(), starts[b].shape(0), {}});
    for (const auto& [column, low, high] : bounds[b]) {
      require(exists(column), "a bound is on an unknown statistic");
      budgets.back().bounds.push_back({column, low, high});
    }
  }
  const bool parallel = surrogate != nullptr && !statistics.calls_python;
  std::vector<EvolutionResult> found;
  {
    py::gil_scoped_release release;
    found =
        evolve_budgets(space.view, statistics.views, make_scorer, options, choose_isa(), budgets, parallel);
  }
  py::list results;
  for (const EvolutionResult& result : found) results.append(result_dict(result, fields, num_statistics));
  return results;
}

// The words that evolution draws for one child, by the kernel of the chosen instruction set; for tests.
Array<uint32_t> child_words(uint64_t seed, uint32_t purpose, uint32_t child, uint32_t parent,
                            uint32_t generation, int32_t blocks) {
  require(blocks >= 1, "blocks must be at least 1");
  const int64_t stride = padded(blocks);
  std::vector<uint32_t> words(static_cast<size_t>(4 * stride));
  search_kernels(choose_isa())
      .random_words(make_key(seed, purpose), child, parent, generation, blocks, stride, words.data());
  Array<uint32_t> out({static_cast<py::ssize_t>(blocks), py::ssize_t{4}});
  for (int32_t b = 0; b < blocks; ++b) {
    for (int w = 0; w < 4; ++w) out.mutable_at(b, w) = words[static_cast<size_t>(w * stride + b)];
  }
  return out;
}

}  // namespace

void bind_search(py::module_& m) {
  using py::arg;
  m.def("child_words", &child_words, arg("seed"), arg("purpose"), arg("child"), arg("parent"),
        arg("generation"), arg("blocks"),
        "Return the random words (blocks, 4) uint32 that evolution draws for one child.");
  py::class_<SurrogateHandle>(m, "Surrogate", "Batched inference of what predicts accuracies.")
      .def("score", &SurrogateHandle::score, arg("genes").noconvert(), arg("statistics"),
           "Score canonical genes (n, F) int16 with statistics (n, S): mean and standard deviation, (n,) "
           "float64, in percent.")
      .def_property_readonly(
          "isa", [](const SurrogateHandle& handle) { return isa_name(handle.isa); },
          "The instruction set for which it was made.");
  py::class_<PredictorHandle, SurrogateHandle>(m, "Predictor",
                                               "Batched inference of all members of a predictor.")
      .def(py::init<const py::object&, const py::object&>(), arg("tables"), arg("weights"),
           "Pack the weights (narsfast.predictor.PredictorWeights) for the instruction set that is chosen "
           "now.");
  py::class_<ProcessHandle, SurrogateHandle>(m, "Process", "Batched inference of a Gaussian process.")
      .def(py::init<const py::object&, const py::object&>(), arg("tables"), arg("weights"),
           "Pack the weights (narsfast.predictor.ProcessWeights) for the instruction set that is chosen "
           "now.");
  py::class_<MixtureHandle, SurrogateHandle>(m, "Mixture", "A mixture of surrogates of one space.")
      .def(py::init<const std::vector<SurrogateHandle>&, const std::vector<double>&>(), arg("parts"),
           arg("shares"), "Mix surrogates with shares that sum to 1.");
  m.def("evolve", &evolve, arg("tables"), arg("sources"), arg("num_statistics"), arg("scorer"),
        arg("predictor_columns"), arg("caution"), arg("bounds"), arg("starts"), py::kw_only(),
        arg("objectives"), arg("seed"), arg("population_size"), arg("children"), arg("generations"),
        arg("epsilon"), arg("patience"), arg("crossover"), arg("mutation"),
        "Evolve the candidates of every budget; return one dict per budget. See narsfast.search.evolve.");
}

}  // namespace narsfast::bindings
