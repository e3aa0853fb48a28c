// The depthwise squeeze-excite kernels for Python. Each function takes what its operator does (narsfast/ops),
// norms and squeeze-excites as tuples, then where it runs, and makes the tensors for its results.
#include "bindings/module.h"

#include <pybind11/stl.h>

#include <array>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>

#include "bindings/tensor.h"
#include "depthwise_se/kernels.h"
#include "depthwise_se/launch.h"

namespace py = pybind11;

namespace {

using narsfast::Activation;
using narsfast_py::address;
using narsfast_py::empty_like;
using narsfast_py::MapShape;
using narsfast_py::size_along;
using narsfast_py::TensorReader;
using Tensor = py::handle;  // or None, or a tuple of tensors and settings

template <class Arguments, class = void>
struct has_workspace : std::false_type {};
template <class Arguments>
struct has_workspace<Arguments, std::void_t<decltype(Arguments::workspace)>> : std::true_type {};

template <class Arguments, class = void>
struct has_window : std::false_type {};
template <class Arguments>
struct has_window<Arguments, std::void_t<decltype(Arguments::window)>> : std::true_type {};

template <class Arguments>
int64_t channels_of(const Arguments& arguments) {
  if constexpr (has_window<Arguments>::value) {
    return arguments.window.channels;
  } else {
    return arguments.channels;
  }
}

Activation activation(py::handle name) {
  constexpr std::array<const char*, 3> kNames = {"none", "relu", "hard_swish"};  // in Activation's order
  for (size_t i = 0; PyUnicode_Check(name.ptr()) && i < kNames.size(); ++i) {
    if (PyUnicode_CompareWithASCIIString(name.ptr(), kNames[i]) == 0) return static_cast<Activation>(i);
  }
  throw std::invalid_argument("an activation is " + py::repr(name).cast<std::string>() +
                              "; it must be 'none', 'relu' or 'hard_swish'");
}

// The first items of a tuple, which must have so many.
template <Py_ssize_t kCount>
class Items {
 public:
  Items(py::handle tuple, const char* what) : tuple_(tuple) {
    if (!PyTuple_Check(tuple.ptr()) || PyTuple_GET_SIZE(tuple.ptr()) < kCount) {
      throw py::type_error(std::string(what) + " must be a tuple of " + std::to_string(kCount) +
                           " items, not " + py::repr(tuple).cast<std::string>());
    }
  }
  py::handle operator[](Py_ssize_t index) const { return PyTuple_GET_ITEM(tuple_.ptr(), index); }

 private:
  py::handle tuple_;
};

// (weight, bias, mean, var, eps, act, ...); without a weight, or None: no norm.
narsfast::Norm norm_of(const TensorReader& read, int64_t channels, py::handle norm) {
  if (norm.is_none()) return {};
  const Items<6> items(norm, "a norm");
  return {read.vector("weight", items[0], channels),
          read.vector("bias", items[1], channels),
          read.vector("mean", items[2], channels),
          read.vector("var", items[3], channels),
          items[4].cast<double>(),
          activation(items[5])};
}

// (reduce_weight, reduce_bias, expand_weight, expand_bias, act); without weights, or None: no squeeze-excite.
narsfast::Excite excite_of(const TensorReader& read, int64_t channels, py::handle excite) {
  if (excite.is_none()) return {};
  const Items<5> items(excite, "a squeeze-excite");
  const int64_t squeezed = items[0].is_none() ? 0 : size_along(items[0], 0);
  return {squeezed,
          activation(items[4]),
          read.vector("reduce_weight", items[0], squeezed * channels),
          read.vector("reduce_bias", items[1], squeezed),
          read.vector("expand_weight", items[2], channels * squeezed),
          read.vector("expand_bias", items[3], channels)};
}

// What squeeze-excite keeps of its forward, one after the other.
struct State {
  void *pooled, *hidden, *gate;
};

State state_of(const TensorReader& read, Tensor state, const MapShape& map, int64_t squeezed) {
  const int64_t vectors = map.images * map.channels, between = map.images * squeezed;
  auto* at = static_cast<char*>(read.vector("state", state, 2 * vectors + between));
  if (at == nullptr) return {};
  return {at, at + vectors * read.vector_element(), at + (vectors + between) * read.vector_element()};
}

narsfast::Window window_of(const MapShape& x, Tensor kernel, int64_t stride, int64_t padding) {
  const int64_t size = size_along(kernel, -1);
  if (size != 3 && size != 5 && size != 7) throw std::invalid_argument("kernel must be 3, 5 or 7");
  if (stride != 1 && stride != 2) throw std::invalid_argument("stride must be 1 or 2");
  if (padding < 0 || x.height + 2 * padding < size || x.width + 2 * padding < size) {
    throw std::invalid_argument("the padded map is smaller than the kernel");
  }
  const auto out = [&](int64_t side) { return (side + 2 * padding - size) / stride + 1; };
  return {x.images, x.height, x.width, x.channels, out(x.height), out(x.width), size, stride, padding};
}

// The map of a convolution's output.
MapShape output_of(const narsfast::Window& window) {
  return {window.images, window.channels, window.out_height, window.out_width};
}

int64_t taps_of(const narsfast::Window& window) { return window.channels * window.kernel * window.kernel; }

int64_t pixels_of(const MapShape& shape) { return shape.height * shape.width; }

// Tensors for results, the last of which may be missing.
class Results {
 public:
  Results(std::initializer_list<py::object> first) {
    for (const py::object& tensor : first) add(tensor);
  }
  void add(const py::object& tensor) {
    addresses_[all_.size()] = address(tensor);
    all_.append(tensor);
  }
  // Null, or None, for a missing one.
  void* operator[](size_t index) const { return addresses_[index]; }
  py::object object(size_t index) const { return index < all_.size() ? py::object(all_[index]) : py::none(); }
  py::list list() const { return all_; }

 private:
  std::array<void*, 7> addresses_{};
  py::list all_;
};

// None: the CPU. Otherwise a stream of the current CUDA device, and what gives memory there: bytes to
// address.
using Where = std::optional<std::tuple<uintptr_t, py::function>>;

// Runs `kernel` of the CPU's instruction set, or its counterpart on a CUDA device.
template <class Arguments>
void run(void (*narsfast::DepthwiseKernels::*kernel)(const Arguments&), Arguments arguments,
         const Where& where) {
  if (!where) {
    const auto& kernels =
        narsfast::depthwise_kernels(narsfast::choose_isa(), arguments.dtype, channels_of(arguments));
    const py::gil_scoped_release release;
    (kernels.*kernel)(arguments);
    return;
  }
  const auto& [stream, allocate] = *where;
  if constexpr (has_workspace<Arguments>::value) {
    const size_t bytes = narsfast::workspace(arguments);
    arguments.workspace =
        bytes == 0 ? nullptr : reinterpret_cast<void*>(allocate(bytes).template cast<uintptr_t>());
  }
  const py::gil_scoped_release release;
  narsfast::launch(arguments, stream);
}

py::tuple moments(Tensor y, const Where& where) {
  const TensorReader read(y, where.has_value());
  const MapShape shape = read.shape();
  const py::object mean = read.empty_vector(shape.channels), var = read.empty_vector(shape.channels);
  run(&narsfast::DepthwiseKernels::moments,
      narsfast::MomentsArguments{read.dtype(), shape.images, pixels_of(shape), shape.channels,
                                 read.map("y", y, shape), address(mean), address(var), nullptr},
      where);
  return py::make_tuple(mean, var);
}

py::tuple convolve(Tensor x, Tensor kernel, Tensor before, int64_t stride, int64_t padding,
                   const Where& where) {
  const TensorReader read(x, where.has_value());
  const MapShape shape = read.shape();
  const auto window = window_of(shape, kernel, stride, padding);
  const py::object y = read.empty_map(shape, output_of(window));
  const py::object mean = read.empty_vector(shape.channels), var = read.empty_vector(shape.channels);
  run(&narsfast::DepthwiseKernels::convolve,
      narsfast::ConvolveArguments{
          read.dtype(), window, read.map("x", x, shape), norm_of(read, shape.channels, before),
          read.vector("kernel", kernel, taps_of(window)), address(y), address(mean), address(var), nullptr},
      where);
  return py::make_tuple(y, mean, var);
}

// The map; with squeeze-excite also what it keeps.
py::list normalise(Tensor y, Tensor norm, Tensor squeeze_excite, const Where& where) {
  const TensorReader read(y, where.has_value());
  const MapShape shape = read.shape();
  const auto excite = excite_of(read, shape.channels, squeeze_excite);
  Results results{read.empty_map(shape, shape)};
  if (excite.squeezed > 0) {
    results.add(read.empty_vector(shape.images * (2 * shape.channels + excite.squeezed)));
  }
  const State state = state_of(read, results.object(1), shape, excite.squeezed);
  run(&narsfast::DepthwiseKernels::normalise,
      narsfast::NormaliseArguments{read.dtype(), shape.images, pixels_of(shape), shape.channels,
                                   read.map("y", y, shape), norm_of(read, shape.channels, norm), excite,
                                   results[0], state.pooled, state.hidden, state.gate},
      where);
  return results.list();
}

// Gradients: of the norm's weight and bias; with squeeze-excite also of the pooled map, flat, and its
// weights.
py::list reduce(Tensor d_out, Tensor y, Tensor norm, Tensor state, Tensor squeeze_excite,
                const Where& where) {
  const TensorReader read(y, where.has_value());
  const MapShape shape = read.shape();
  const auto excite = excite_of(read, shape.channels, squeeze_excite);
  const State kept = state_of(read, state, shape, excite.squeezed);
  Results results{read.empty_vector(shape.channels), read.empty_vector(shape.channels)};
  if (excite.squeezed > 0) {
    results.add(read.empty_vector(shape.images * shape.channels));
    const Items<4> weights(squeeze_excite, "a squeeze-excite");
    for (int i = 0; i < 4; ++i) results.add(empty_like(weights[i]));
  }
  run(&narsfast::DepthwiseKernels::reduce,
      narsfast::ReduceArguments{read.dtype(), shape.images, pixels_of(shape), shape.channels,
                                read.map("y", y, shape), read.map("d_out", d_out, shape),
                                norm_of(read, shape.channels, norm), excite, kept.pooled, kept.hidden,
                                kept.gate, results[0], results[1], results[2], results[3], results[4],
                                results[5], results[6], nullptr},
      where);
  return results.list();
}

py::object norm_gradient(Tensor d_out, Tensor y, Tensor norm, Tensor d_weight, Tensor d_bias, double count,
                         const Where& where) {
  const TensorReader read(y, where.has_value());
  const MapShape shape = read.shape();
  const py::object d_y = read.empty_map(shape, shape);
  run(&narsfast::DepthwiseKernels::norm_gradient,
      narsfast::NormGradientArguments{
          read.dtype(),
          shape.images,
          pixels_of(shape),
          shape.channels,
          {read.map("y", y, shape), read.map("d_out", d_out, shape), norm_of(read, shape.channels, norm),
           nullptr, nullptr, read.vector("d_weight", d_weight, shape.channels),
           read.vector("d_bias", d_bias, shape.channels), count},
          address(d_y)},
      where);
  return d_y;
}

// Gradients: of x and the kernel, then of the input norm's weight and bias, if there is one. With an input
// norm and in_count None, the first is that of the normalised x; else it is through that norm's statistics.
py::list convolve_gradient(Tensor d_out, Tensor y, Tensor norm, Tensor state, Tensor d_pooled,
                           Tensor d_weight, Tensor d_bias, double count, Tensor x, Tensor kernel,
                           Tensor before, std::optional<double> in_count, int64_t stride, int64_t padding,
                           const Where& where) {
  const TensorReader read(x, where.has_value());
  const MapShape shape = read.shape();
  const auto window = window_of(shape, kernel, stride, padding);
  const MapShape out_shape = output_of(window);
  const int64_t vectors = shape.images * shape.channels, channels = shape.channels;
  const int64_t squeezed =
      state.is_none() || shape.images == 0 ? 0 : (size_along(state, 0) - 2 * vectors) / shape.images;
  const auto input = norm_of(read, channels, before);
  Results results{read.empty_map(shape, shape), empty_like(kernel)};
  if (input.weight != nullptr) {
    results.add(read.empty_vector(channels));
    results.add(read.empty_vector(channels));
  }
  const narsfast::ConvolveGradientArguments arguments{
      read.dtype(),
      window,
      {read.map("y", y, out_shape), read.map("d_out", d_out, out_shape), norm_of(read, channels, norm),
       state_of(read, state, out_shape, squeezed).gate, read.vector("d_pooled", d_pooled, vectors),
       read.vector("d_weight", d_weight, channels), read.vector("d_bias", d_bias, channels), count},
      read.map("x", x, shape),
      input,
      read.vector("kernel", kernel, taps_of(window)),
      results[0],
      results[1],
      results[2],
      results[3],
      nullptr};
  run(&narsfast::DepthwiseKernels::convolve_gradient, arguments, where);
  if (input.weight == nullptr || !in_count) return results.list();
  narsfast::Norm linear = input;  // its activation is behind already
  linear.activation = Activation::kNone;
  run(&narsfast::DepthwiseKernels::norm_gradient,
      narsfast::NormGradientArguments{read.dtype(),
                                      shape.images,
                                      pixels_of(shape),
                                      channels,
                                      {arguments.x, arguments.d_x, linear, nullptr, nullptr,
                                       arguments.d_input_weight, arguments.d_input_bias, *in_count},
                                      arguments.d_x},
      where);
  return results.list();
}

py::object infer(Tensor x, Tensor kernel, Tensor before, Tensor norm, Tensor squeeze_excite, int64_t stride,
                 int64_t padding, const Where& where) {
  const TensorReader read(x, where.has_value());
  const MapShape shape = read.shape();
  const auto window = window_of(shape, kernel, stride, padding);
  const py::object out = read.empty_map(shape, output_of(window));
  run(&narsfast::DepthwiseKernels::infer,
      narsfast::InferArguments{
          read.dtype(), window, read.map("x", x, shape), norm_of(read, shape.channels, before),
          read.vector("kernel", kernel, taps_of(window)), norm_of(read, shape.channels, norm),
          excite_of(read, shape.channels, squeeze_excite), address(out), nullptr},
      where);
  return out;
}

}  // namespace

void bind_depthwise(py::module_& m) {
  m.def(
      "views",
      [](Tensor tensor) {
        const auto plain = [](const narsfast_py::TensorView& view) {
          const size_t dimensions = static_cast<size_t>(view.dimensions);
          py::tuple sizes(dimensions), strides(dimensions);
          for (size_t i = 0; i < dimensions; ++i) {
            sizes[i] = view.sizes[i];
            strides[i] = view.strides[i];
          }
          return py::make_tuple(reinterpret_cast<uintptr_t>(view.data), view.known,
                                static_cast<int>(view.dtype), sizes, strides, view.contiguous(),
                                view.dimensions == 4 && view.channels_last());
        };
        return py::make_tuple(plain(narsfast_py::view_of(tensor)),
                              plain(narsfast_py::view_by_attributes(tensor)));
      },
      "A tensor as both ways of reading it see it: (address, known, dtype, sizes, strides, contiguous, "
      "channels_last).");
  m.def("cuda_built", &narsfast::cuda_built, "Whether this build has CUDA kernels.");
  m.def("cuda_architectures", &narsfast::cuda_architectures,
        "The devices that they are compiled for, as CMake names them, with commas between; empty without "
        "kernels.");
  m.def("has_cuda", &narsfast::has_device, "Whether there is a device for them; False without a driver.");
  m.def("depthwise_convolve", &convolve);
  m.def("depthwise_convolve_gradient", &convolve_gradient);
  m.def("depthwise_infer", &infer);
  m.def("depthwise_moments", &moments);
  m.def("depthwise_normalise", &normalise);
  m.def("depthwise_reduce", &reduce);
  m.def("depthwise_norm_gradient", &norm_gradient);
}
