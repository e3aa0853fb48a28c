// The depthwise squeeze-excite kernels for Python. Each function takes what its operator does (narsfast/ops),
// then the tensors for the results, then where it runs.
#include "bindings_depthwise.h"

#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings_tensor.h"
#include "depthwise_se/kernels.h"
#include "depthwise_se/launch.h"

namespace py = pybind11;

namespace {

using narsfast::Activation;
using narsfast_py::address;
using narsfast_py::MapShape;
using narsfast_py::shape_of;
using narsfast_py::size_along;
using narsfast_py::TensorReader;
using Tensor = py::handle;                // None where the operator's is
using Tensors = std::vector<py::handle>;  // what is not there at the end is null

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
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (PyUnicode_CompareWithASCIIString(name.ptr(), kNames[i]) == 0) return static_cast<Activation>(i);
  }
  throw std::invalid_argument("an activation is " + py::repr(name).cast<std::string>() +
                              "; it must be 'none', 'relu' or 'hard_swish'");
}

narsfast::Norm norm_of(const TensorReader& read, int64_t channels, Tensor weight, Tensor bias, Tensor mean,
                       Tensor var, double eps, const py::str& act) {
  return {read.vector("weight", weight, channels),
          read.vector("bias", bias, channels),
          read.vector("mean", mean, channels),
          read.vector("var", var, channels),
          eps,
          activation(act)};
}

narsfast::Excite excite_of(const TensorReader& read, int64_t channels, Tensor reduce_weight,
                           Tensor reduce_bias, Tensor expand_weight, Tensor expand_bias, const py::str& act) {
  const int64_t squeezed = reduce_weight.is_none() ? 0 : size_along(reduce_weight, 0);
  return {squeezed,
          activation(act),
          read.vector("reduce_weight", reduce_weight, squeezed * channels),
          read.vector("reduce_bias", reduce_bias, squeezed),
          read.vector("expand_weight", expand_weight, channels * squeezed),
          read.vector("expand_bias", expand_bias, channels)};
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

void* address(const Tensors& list, size_t index) {
  return index < list.size() ? address(list[index]) : nullptr;
}

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

void convolve(Tensor x, Tensor kernel, Tensor in_weight, Tensor in_bias, Tensor in_mean, Tensor in_var,
              double in_eps, const py::str& in_act, int64_t stride, int64_t padding, const Tensors& out,
              const Where& where) {
  const TensorReader read(x, where.has_value());
  const MapShape shape = shape_of(x);
  const auto window = window_of(shape, kernel, stride, padding);
  run(&narsfast::DepthwiseKernels::convolve,
      narsfast::ConvolveArguments{
          read.dtype(), window, read.map("x", x, shape),
          norm_of(read, shape.channels, in_weight, in_bias, in_mean, in_var, in_eps, in_act),
          read.vector("kernel", kernel, taps_of(window)), address(out, 0), address(out, 1), address(out, 2),
          nullptr},
      where);
}

void moments(Tensor y, const Tensors& out, const Where& where) {
  const TensorReader read(y, where.has_value());
  const MapShape shape = shape_of(y);
  run(&narsfast::DepthwiseKernels::moments,
      narsfast::MomentsArguments{read.dtype(), shape.images, pixels_of(shape), shape.channels,
                                 read.map("y", y, shape), address(out, 0), address(out, 1), nullptr},
      where);
}

void normalise(Tensor y, Tensor weight, Tensor bias, Tensor mean, Tensor var, double eps, const py::str& act,
               Tensor reduce_weight, Tensor reduce_bias, Tensor expand_weight, Tensor expand_bias,
               const py::str& inner_act, const Tensors& out, const Where& where) {
  const TensorReader read(y, where.has_value());
  const MapShape shape = shape_of(y);
  const auto excite =
      excite_of(read, shape.channels, reduce_weight, reduce_bias, expand_weight, expand_bias, inner_act);
  const State state = state_of(read, out.size() > 1 ? out[1] : py::none(), shape, excite.squeezed);
  run(&narsfast::DepthwiseKernels::normalise,
      narsfast::NormaliseArguments{read.dtype(), shape.images, pixels_of(shape), shape.channels,
                                   read.map("y", y, shape),
                                   norm_of(read, shape.channels, weight, bias, mean, var, eps, act), excite,
                                   address(out, 0), state.pooled, state.hidden, state.gate},
      where);
}

void reduce(Tensor d_out, Tensor y, Tensor weight, Tensor bias, Tensor mean, Tensor var, double eps,
            const py::str& act, Tensor state, Tensor reduce_weight, Tensor reduce_bias, Tensor expand_weight,
            Tensor expand_bias, const py::str& inner_act, const Tensors& out, const Where& where) {
  const TensorReader read(y, where.has_value());
  const MapShape shape = shape_of(y);
  const auto excite =
      excite_of(read, shape.channels, reduce_weight, reduce_bias, expand_weight, expand_bias, inner_act);
  const State kept = state_of(read, state, shape, excite.squeezed);
  run(&narsfast::DepthwiseKernels::reduce,
      narsfast::ReduceArguments{
          read.dtype(), shape.images, pixels_of(shape), shape.channels, read.map("y", y, shape),
          read.map("d_out", d_out, shape), norm_of(read, shape.channels, weight, bias, mean, var, eps, act),
          excite, kept.pooled, kept.hidden, kept.gate, address(out, 0), address(out, 1), address(out, 2),
          address(out, 3), address(out, 4), address(out, 5), address(out, 6), nullptr},
      where);
}

void norm_gradient(Tensor d_out, Tensor y, Tensor weight, Tensor bias, Tensor mean, Tensor var, double eps,
                   const py::str& act, Tensor d_weight, Tensor d_bias, double count, Tensor out,
                   const Where& where) {
  const TensorReader read(y, where.has_value());
  const MapShape shape = shape_of(y);
  run(&narsfast::DepthwiseKernels::norm_gradient,
      narsfast::NormGradientArguments{read.dtype(),
                                      shape.images,
                                      pixels_of(shape),
                                      shape.channels,
                                      {read.map("y", y, shape), read.map("d_out", d_out, shape),
                                       norm_of(read, shape.channels, weight, bias, mean, var, eps, act),
                                       nullptr, nullptr, read.vector("d_weight", d_weight, shape.channels),
                                       read.vector("d_bias", d_bias, shape.channels), count},
                                      address(out)},
      where);
}

// Also through the statistics of the input's norm, where there is one and in_count is given.
void convolve_gradient(Tensor d_out, Tensor y, Tensor weight, Tensor bias, Tensor mean, Tensor var,
                       double eps, const py::str& act, Tensor state, Tensor d_pooled, Tensor d_weight,
                       Tensor d_bias, double count, Tensor x, Tensor kernel, Tensor in_weight, Tensor in_bias,
                       Tensor in_mean, Tensor in_var, double in_eps, const py::str& in_act,
                       std::optional<double> in_count, int64_t stride, int64_t padding, const Tensors& out,
                       const Where& where) {
  const TensorReader read(x, where.has_value());
  const MapShape shape = shape_of(x);
  const auto window = window_of(shape, kernel, stride, padding);
  const MapShape out_shape = output_of(window);
  const int64_t vectors = shape.images * shape.channels, channels = shape.channels;
  const int64_t squeezed =
      state.is_none() || shape.images == 0 ? 0 : (size_along(state, 0) - 2 * vectors) / shape.images;
  const auto input = norm_of(read, channels, in_weight, in_bias, in_mean, in_var, in_eps, in_act);
  const narsfast::ConvolveGradientArguments arguments{
      read.dtype(),
      window,
      {read.map("y", y, out_shape), read.map("d_out", d_out, out_shape),
       norm_of(read, channels, weight, bias, mean, var, eps, act),
       state_of(read, state, out_shape, squeezed).gate, read.vector("d_pooled", d_pooled, vectors),
       read.vector("d_weight", d_weight, channels), read.vector("d_bias", d_bias, channels), count},
      read.map("x", x, shape),
      input,
      read.vector("kernel", kernel, taps_of(window)),
      address(out, 0),
      address(out, 1),
      address(out, 2),
      address(out, 3),
      nullptr};
  run(&narsfast::DepthwiseKernels::convolve_gradient, arguments, where);
  if (input.weight == nullptr || !in_count) return;
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
}

void infer(Tensor x, Tensor kernel, Tensor in_weight, Tensor in_bias, Tensor in_mean, Tensor in_var,
           double in_eps, const py::str& in_act, Tensor weight, Tensor bias, Tensor mean, Tensor var,
           double eps, const py::str& act, Tensor reduce_weight, Tensor reduce_bias, Tensor expand_weight,
           Tensor expand_bias, const py::str& inner_act, int64_t stride, int64_t padding, Tensor out,
           const Where& where) {
  const TensorReader read(x, where.has_value());
  const MapShape shape = shape_of(x);
  const auto window = window_of(shape, kernel, stride, padding);
  run(&narsfast::DepthwiseKernels::infer,
      narsfast::InferArguments{
          read.dtype(), window, read.map("x", x, shape),
          norm_of(read, shape.channels, in_weight, in_bias, in_mean, in_var, in_eps, in_act),
          read.vector("kernel", kernel, taps_of(window)),
          norm_of(read, shape.channels, weight, bias, mean, var, eps, act),
          excite_of(read, shape.channels, reduce_weight, reduce_bias, expand_weight, expand_bias, inner_act),
          address(out), nullptr},
      where);
}

}  // namespace

void bind_depthwise(py::module_& m) {
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
