// The depthwise squeeze-excite kernels for Python: addresses and sizes, checked by the caller (narsfast/ops).
#include "bindings_depthwise.h"

#include <pybind11/stl.h>

#include <array>
#include <stdexcept>
#include <vector>

#include "depthwise_se/kernels.h"

namespace py = pybind11;

namespace {

using narsfast::Activation;
using narsfast::Dtype;

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

const narsfast::DepthwiseKernels& kernels(int dtype) {
  return narsfast::depthwise_kernels(narsfast::choose_isa(), static_cast<Dtype>(dtype));
}

void convolve(int dtype, const WindowValues& shape, Address x, const NormValues& input, Address weight,
              Address y, Address mean, Address var) {
  const narsfast::ConvolveArguments arguments{static_cast<Dtype>(dtype),
                                              window(shape),
                                              pointer(x),
                                              norm(input),
                                              pointer(weight),
                                              pointer(y),
                                              pointer(mean),
                                              pointer(var),
                                              nullptr};
  const py::gil_scoped_release release;
  kernels(dtype).convolve(arguments);
}

void convolve_gradient(int dtype, const WindowValues& shape, const GradientValues& gradient,
                       const NormValues& norm_values, Address x, const NormValues& input, Address weight,
                       const std::vector<Address>& out) {
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
  const py::gil_scoped_release release;
  kernels(dtype).convolve_gradient(arguments);
}

void infer(int dtype, const WindowValues& shape, Address x, const NormValues& input, Address weight,
           const NormValues& norm_values, const ExciteValues& gate, Address out) {
  const narsfast::InferArguments arguments{
      static_cast<Dtype>(dtype), window(shape), pointer(x),   norm(input), pointer(weight),
      norm(norm_values),         excite(gate),  pointer(out), nullptr};
  const py::gil_scoped_release release;
  kernels(dtype).infer(arguments);
}

void moments(int dtype, const Shape& shape, Address y, Address mean, Address var) {
  const narsfast::MomentsArguments arguments{static_cast<Dtype>(dtype),
                                             shape[0],
                                             shape[1],
                                             shape[2],
                                             pointer(y),
                                             pointer(mean),
                                             pointer(var),
                                             nullptr};
  const py::gil_scoped_release release;
  kernels(dtype).moments(arguments);
}

void normalise(int dtype, const Shape& shape, Address y, const NormValues& norm_values,
               const ExciteValues& gating, Address out, const std::array<Address, 3>& state) {
  const narsfast::NormaliseArguments arguments{
      static_cast<Dtype>(dtype), shape[0],       shape[1],     shape[2],          pointer(y),
      norm(norm_values),         excite(gating), pointer(out), pointer(state[0]), pointer(state[1]),
      pointer(state[2])};
  const py::gil_scoped_release release;
  kernels(dtype).normalise(arguments);
}

void reduce(int dtype, const Shape& shape, Address y, Address d_out, const NormValues& norm_values,
            const ExciteValues& gating, const std::array<Address, 3>& state,
            const std::vector<Address>& out) {
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
  const py::gil_scoped_release release;
  kernels(dtype).reduce(arguments);
}

void norm_gradient_map(int dtype, const Shape& shape, const GradientValues& gradient,
                       const NormValues& norm_values, Address d_y) {
  const narsfast::NormGradientArguments arguments{static_cast<Dtype>(dtype),
                                                  shape[0],
                                                  shape[1],
                                                  shape[2],
                                                  norm_gradient(gradient, norm_values),
                                                  pointer(d_y)};
  const py::gil_scoped_release release;
  kernels(dtype).norm_gradient(arguments);
}

}  // namespace

void bind_depthwise(py::module_& m) {
  m.def("depthwise_convolve", &convolve);
  m.def("depthwise_convolve_gradient", &convolve_gradient);
  m.def("depthwise_infer", &infer);
  m.def("depthwise_moments", &moments);
  m.def("depthwise_normalise", &normalise);
  m.def("depthwise_reduce", &reduce);
  m.def("depthwise_norm_gradient", &norm_gradient_map);
}
