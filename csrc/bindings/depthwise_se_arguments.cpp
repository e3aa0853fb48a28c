#include "bindings/depthwise_se_arguments.h"

#include <algorithm>
#include <stdexcept>

namespace py = pybind11;

namespace narsfast::bindings {
namespace {

// In the order of Activation and Gate.
constexpr std::array<const char*, 5> kActivations = {"none", "relu", "hard_swish", "relu6", "silu"};
constexpr std::array<const char*, 2> kGates = {"hard_sigmoid", "sigmoid"};

// The index of a name; -1 where it is none of them.
template <size_t kCount>
int index_of(py::handle name, const std::array<const char*, kCount>& names) {
  for (size_t i = 0; PyUnicode_Check(name.ptr()) && i < kCount; ++i) {
    if (PyUnicode_CompareWithASCIIString(name.ptr(), names[i]) == 0) return static_cast<int>(i);
  }
  return -1;
}

Activation activation_of(py::handle name) {
  const int index = index_of(name, kActivations);
  if (index >= 0) return static_cast<Activation>(index);
  throw std::invalid_argument("an activation is " + py::repr(name).cast<std::string>() +
                              "; it must be 'none', 'relu', 'relu6', 'hard_swish' or 'silu'");
}

Gate gate_of(py::handle name) {
  const int index = index_of(name, kGates);
  if (index >= 0) return static_cast<Gate>(index);
  throw std::invalid_argument("a gate is " + py::repr(name).cast<std::string>() +
                              "; it must be 'hard_sigmoid' or 'sigmoid'");
}

using Names = std::array<const char*, 4>;
constexpr Names kNorm = {"weight", "bias", "mean", "var"};
constexpr Names kInputNorm = {"input_weight", "input_bias", "input_mean", "input_var"};
constexpr Names kExcite = {"reduce_weight", "reduce_bias", "expand_weight", "expand_bias"};

// Whether the first items are tensors, not None. Throws std::invalid_argument where only some of them are.
template <Py_ssize_t kCount>
bool all_given(const Items<kCount>& items, const Names& names) {
  const char *given = nullptr, *missing = nullptr;
  for (size_t i = 0; i < names.size(); ++i) {
    (items[static_cast<Py_ssize_t>(i)].is_none() ? missing : given) = names[i];
  }
  if (given != nullptr && missing != nullptr) {
    throw std::invalid_argument(std::string(missing) + " is None, but " + given + " is not; give all of " +
                                names[0] + ", " + names[1] + ", " + names[2] + " and " + names[3] +
                                ", or none of them");
  }
  return given != nullptr;
}

Norm norm_with_names(const TensorReader& read, int64_t channels, Args norm, const Names& names) {
  const Items<6> items(norm, "NormArgs");
  return {read.vector(names[0], items[0], channels),
          read.vector(names[1], items[1], channels),
          read.vector(names[2], items[2], channels),
          read.vector(names[3], items[3], channels),
          items[4].cast<double>(),
          activation_of(items[5])};
}

void require_no_state(Tensor state) {
  if (state.is_none()) return;
  throw std::invalid_argument("state of shape " + shape_text(state) +
                              " is given without squeeze-excite; it must be None");
}

}  // namespace

Norm norm_of(const TensorReader& read, int64_t channels, Args norm) {
  return norm_with_names(read, channels, norm, kNorm);
}

Norm input_norm_of(const TensorReader& read, int64_t channels, Args norm) {
  if (norm.is_none() || !all_given(Items<6>(norm, "NormArgs"), kInputNorm)) return {};
  return norm_with_names(read, channels, norm, kInputNorm);
}

Excite excite_of(const TensorReader& read, int64_t channels, Args excite) {
  if (excite.is_none()) return {};
  const Items<6> items(excite, "ExciteArgs");
  if (!all_given(items, kExcite)) return {};
  const TensorView reduce = view_of(items[0]);
  const int64_t squeezed = reduce.dimensions < 2 ? 0 : reduce.sizes[0];
  if (squeezed < 1) {
    throw std::invalid_argument("reduce_weight of shape " + shape_text(items[0]) +
                                " must be (squeezed, channels), with at least 1 squeezed channel");
  }
  return {squeezed,
          activation_of(items[4]),
          gate_of(items[5]),
          read.vector(kExcite[0], items[0], squeezed * channels),
          read.vector(kExcite[1], items[1], squeezed),
          read.vector(kExcite[2], items[2], channels * squeezed),
          read.vector(kExcite[3], items[3], channels)};
}

NormGradient norm_gradient_of(const TensorReader& read, const MapShape& shape, Tensor d_out, Tensor y,
                              Args norm, Args sums) {
  const Items<3> items(sums, "NormSums");
  return {read.map("y", y, shape),
          read.map("d_out", d_out, shape),
          norm_of(read, shape.channels, norm),
          nullptr,
          nullptr,
          Gate::kHardSigmoid,
          read.vector("d_weight", items[0], shape.channels),
          read.vector("d_bias", items[1], shape.channels),
          items[2].cast<double>()};
}

ExciteState state_of(const TensorReader& read, Tensor state, const MapShape& map, int64_t squeezed) {
  if (squeezed == 0) {
    require_no_state(state);
    return {};
  }
  const int64_t vectors = map.images * map.channels, hidden = map.images * squeezed;
  auto* at = static_cast<char*>(read.vector("state", state, 2 * vectors + hidden));
  return {at, at + vectors * read.vector_element_size(),
          at + (vectors + hidden) * read.vector_element_size()};
}

void add_gate(const TensorReader& read, Tensor state, Tensor d_pooled, py::handle gate_kind, int64_t images,
              NormGradient* norm, int64_t channels) {
  if (d_pooled.is_none()) return require_no_state(state);
  const int64_t vectors = images * channels, count = view_of_given("state", state).elements();
  if (count < 2 * vectors + images || (images > 0 && count % images != 0)) {
    throw std::invalid_argument(
        "state of shape " + shape_text(state) + " must have 2 * channels + squeezed elements for each of " +
        std::to_string(images) + " images of " + std::to_string(channels) + " channels");
  }
  norm->gate =
      static_cast<char*>(read.vector("state", state, count)) + (count - vectors) * read.vector_element_size();
  norm->gate_kind = gate_of(gate_kind);
  norm->d_pooled = read.vector("d_pooled", d_pooled, vectors);
}

Window window_of(const MapShape& x, Tensor kernel, Args window) {
  constexpr int64_t kMaxPadding = 1 << 20;  // sums of sides and paddings stay far below overflow
  const Items<5> items(window, "WindowArgs");
  const auto stride = items[0].cast<int64_t>();
  std::array<int64_t, 4> pads;  // top, bottom, left, right
  for (size_t i = 0; i < pads.size(); ++i) pads[i] = items[static_cast<Py_ssize_t>(i) + 1].cast<int64_t>();
  const TensorView taps = view_of_given("kernel", kernel);
  const int64_t size = taps.dimensions == 4 ? taps.sizes[3] : 0;
  if (taps.dimensions != 4 || taps.sizes[0] != x.channels || taps.sizes[1] != 1 || taps.sizes[2] != size) {
    throw std::invalid_argument("kernel of shape " + shape_text(kernel) + " must be (" +
                                std::to_string(x.channels) + ", 1, k, k), as the map has " +
                                std::to_string(x.channels) + " channels");
  }
  if (size != 3 && size != 5 && size != 7) throw std::invalid_argument("kernel must be 3, 5 or 7");
  if (stride != 1 && stride != 2) throw std::invalid_argument("stride must be 1 or 2");
  for (const int64_t padding : pads) {
    if (padding >= 0 && padding <= kMaxPadding) continue;
    throw std::invalid_argument("padding is " + std::to_string(padding) +
                                "; it must be at least 0 and at most " + std::to_string(kMaxPadding));
  }
  const int64_t height = x.height + pads[0] + pads[1], width = x.width + pads[2] + pads[3];
  if (height < size || width < size) {
    throw std::invalid_argument("the padded map is smaller than the kernel");
  }
  const int64_t out_height = (height - size) / stride + 1, out_width = (width - size) / stride + 1;
  int64_t elements = x.channels;
  for (const int64_t factor : {out_height, out_width, std::max<int64_t>(x.images, 1)}) {
    if (__builtin_mul_overflow(elements, factor, &elements)) {
      throw std::invalid_argument("the output of the convolution has more than 2^63 elements");
    }
  }
  return {x.images, x.height, x.width, x.channels, out_height, out_width, size, stride, pads[0], pads[2]};
}

}  // namespace narsfast::bindings
