// The depthwise squeeze-excite kernels for Python: addresses and sizes, checked by the caller (narsfast/ops).
#include "bindings_depthwise.h"

#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <stdexcept>
#include <vector>

#include "depthwise_se/kernels.h"
#include "depthwise_se/launch.h"

namespace py = pybind11;

namespace {

using narsfast::Activation;
using narsfast::Dtype;

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

using Address = uintptr_t;
// weight, bias, mean, var, eps, activation
using NormValues = std::tuple<Address, Address, Address, Address, double, int>;
using ExciteValues = std::tuple<int64_t, int, Address, Address, Address, Address>;  // as in Excite
// What is not there at the end of a list is null.
Address at(const std::vector<Address>& list, size_t index) { return index < list.size() ? list[index] : 0; }

// y, d_out, gate, d_pooled, d_weight, d_bias, count
using GradientValues = std::tuple<Address, Address, Address, Address, Address, Address, double>;

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

narsfast::Norm norm(const NormValues& values) {
  const auto& [weight, bias, mean, var, eps, activation] = values;
  return {pointer(weight), pointer(bias), pointer(mean),
          pointer(var),    eps,           static_cast<Activation>(activation)};
}

narsfast::Excite excite(const ExciteValues& values) {
  const auto& [squeezed, activation, reduce_weight, reduce_bias, expand_weight, expand_bias] = values;
  return {squeezed,
          static_cast<Activation>(activation),
          pointer(reduce_weight),
          pointer(reduce_bias),
          pointer(expand_weight),
          pointer(expand_bias)};
}

narsfast::NormGradient norm_gradient(const GradientValues& values, const NormValues& norm_values) {
  const auto& [y, d_out, gate, d_pooled, d_weight, d_bias, count] = values;
  return {pointer(y),        pointer(d_out),    norm(norm_values), pointer(gate),
          pointer(d_pooled), pointer(d_weight), pointer(d_bias),   count};
}

using WindowValues = std::array<int64_t, 7>;  // images, height, width, channels, kernel, stride, padding

narsfast::Window window(const WindowValues& values) {
  const auto [images, height, width, channels, kernel, stride, padding] = values;
  if (kernel != 3 && kernel != 5 && kernel != 7) throw std::invalid_argument("kernel must be 3, 5 or 7");
  if (stride != 1 && stride != 2) throw std::invalid_argument("stride must be 1 or 2");
  const int64_t out_height = (height + 2 * padding - kernel) / stride + 1;
  const int64_t out_width = (width + 2 * padding - kernel) / stride + 1;
  if (padding < 0 || height + 2 * padding < kernel || width + 2 * padding < kernel) {
    throw std::invalid_argument("the padded map is smaller than the kernel");
  }
  return {images, height, width, channels, out_height, out_width, kernel, stride, padding};
}

using Shape = std::array<int64_t, 3>;  // images, pixels, channels

// None: the CPU. Otherwise a stream of the current CUDA device, and what gives memory there: bytes to
// address.
using Where = std::optional<std::tuple<Address, py::function>>;

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
    arguments.workspace = bytes == 0 ? nullptr : pointer(allocate(bytes).template cast<Address>());
  }
  const py::gil_scoped_release release;
  narsfast::launch(arguments, stream);
}

void convolve(int dtype, const WindowValues& shape, Address x, const NormValues& input, Address weight,
              Address y, Address mean, Address var, const Where& where) {
  const narsfast::ConvolveArguments arguments{static_cast<Dtype>(dtype),
                                              window(shape),
                                              pointer(x),
                                              norm(input),
                                              pointer(weight),
                                              pointer(y),
                                              pointer(mean),
                                              pointer(var),
                                              nullptr};
  run(&narsfast::DepthwiseKernels::convolve, arguments, where);
}

void convolve_gradient(int dtype, const WindowValues& shape, const GradientValues& gradient,
                       const NormValues& norm_values, Address x, const NormValues& input, Address weight,
                       const std::vector<Address>& out, const Where& where) {
  const narsfast::ConvolveGradientArguments arguments{static_cast<Dtype>(dtype),
                                                      window(shape),
                                                      norm_gradient(gradient, norm_values),
                                                      pointer(x),
                                                      norm(input),
                                                      pointer(weight),
                                                      pointer(at(out, 0)),
                                                      pointer(at(out, 1)),
                                                      pointer(at(out, 2)),
                                                      pointer(at(out, 3)),
                                                      nullptr};
  run(&narsfast::DepthwiseKernels::convolve_gradient, arguments, where);
}

void infer(int dtype, const WindowValues& shape, Address x, const NormValues& input, Address weight,
           const NormValues& norm_values, const ExciteValues& gate, Address out, const Where& where) {
  const narsfast::InferArguments arguments{
      static_cast<Dtype>(dtype), window(shape), pointer(x),   norm(input), pointer(weight),
      norm(norm_values),         excite(gate),  pointer(out), nullptr};
  run(&narsfast::DepthwiseKernels::infer, arguments, where);
}

void moments(int dtype, const Shape& shape, Address y, Address mean, Address var, const Where& where) {
  const narsfast::MomentsArguments arguments{static_cast<Dtype>(dtype),
                                             shape[0],
                                             shape[1],
                                             shape[2],
                                             pointer(y),
                                             pointer(mean),
                                             pointer(var),
                                             nullptr};
  run(&narsfast::DepthwiseKernels::moments, arguments, where);
}

void normalise(int dtype, const Shape& shape, Address y, const NormValues& norm_values,
               const ExciteValues& gating, Address out, const std::array<Address, 3>& state,
               const Where& where) {
  const narsfast::NormaliseArguments arguments{
      static_cast<Dtype>(dtype), shape[0],       shape[1],     shape[2],          pointer(y),
      norm(norm_values),         excite(gating), pointer(out), pointer(state[0]), pointer(state[1]),
      pointer(state[2])};
  run(&narsfast::DepthwiseKernels::normalise, arguments, where);
}

void reduce(int dtype, const Shape& shape, Address y, Address d_out, const NormValues& norm_values,
            const ExciteValues& gating, const std::array<Address, 3>& state, const std::vector<Address>& out,
            const Where& where) {
  const narsfast::ReduceArguments arguments{static_cast<Dtype>(dtype),
                                            shape[0],
                                            shape[1],
                                            shape[2],
                                            pointer(y),
                                            pointer(d_out),
                                            norm(norm_values),
                                            excite(gating),
                                            pointer(state[0]),
                                            pointer(state[1]),
                                            pointer(state[2]),
                                            pointer(at(out, 0)),
                                            pointer(at(out, 1)),
                                            pointer(at(out, 2)),
                                            pointer(at(out, 3)),
                                            pointer(at(out, 4)),
                                            pointer(at(out, 5)),
                                            pointer(at(out, 6)),
                                            nullptr};
  run(&narsfast::DepthwiseKernels::reduce, arguments, where);
}

void norm_gradient_map(int dtype, const Shape& shape, const GradientValues& gradient,
                       const NormValues& norm_values, Address d_y, const Where& where) {
  const narsfast::NormGradientArguments arguments{static_cast<Dtype>(dtype),
                                                  shape[0],
                                                  shape[1],
                                                  shape[2],
                                                  norm_gradient(gradient, norm_values),
                                                  pointer(d_y)};
  run(&narsfast::DepthwiseKernels::norm_gradient, arguments, where);
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
  m.def("depthwise_norm_gradient", &norm_gradient_map);
}
