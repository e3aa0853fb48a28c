// The depthwise squeeze-excite kernels for Python: addresses and sizes, checked by the caller (narsfast/ops).
#include "bindings_depthwise.h"

#include <pybind11/stl.h>

#include <array>
#include <stdexcept>

#include "depthwise_se/kernels.h"

namespace py = pybind11;

namespace {

using narsfast::Activation;
using narsfast::Dtype;

using Address = uintptr_t;
using AffineValues = std::tuple<Address, Address, int>;  // scale, shift, activation
using ExciteValues = std::tuple<int64_t, int, Address, Address, Address, Address>;  // as in Excite
using NormGradientValues = std::array<Address, 7>;  // y, d_out, gate, d_pooled, by_z, by_y, constant

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

narsfast::Affine affine(const AffineValues& values) {
  return {pointer(std::get<0>(values)), pointer(std::get<1>(values)),
          static_cast<Activation>(std::get<2>(values))};
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

narsfast::NormGradient norm_gradient(const NormGradientValues& values, const AffineValues& norm) {
  return {pointer(values[0]), pointer(values[1]), affine(norm),       pointer(values[2]),
          pointer(values[3]), pointer(values[4]), pointer(values[5]), pointer(values[6])};
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

const narsfast::DepthwiseKernels& kernels() { return narsfast::depthwise_kernels(narsfast::choose_isa()); }

void convolve(int dtype, const WindowValues& shape, Address x, const AffineValues& input, Address weight,
              Address y, Address mean, Address m2) {
  const narsfast::ConvolveArguments arguments{static_cast<Dtype>(dtype),
                                              window(shape),
                                              pointer(x),
                                              affine(input),
                                              pointer(weight),
                                              pointer(y),
                                              pointer(mean),
                                              pointer(m2),
                                              nullptr};
  const py::gil_scoped_release release;
  kernels().convolve(arguments);
}

void convolve_gradient(int dtype, const WindowValues& shape, const NormGradientValues& gradient,
                       const AffineValues& norm, Address x, const AffineValues& input, Address input_mean,
                       Address weight, Address d_x, Address d_weight, Address d_input_sum,
                       Address d_input_x_sum) {
  const narsfast::ConvolveGradientArguments arguments{static_cast<Dtype>(dtype),
                                                      window(shape),
                                                      norm_gradient(gradient, norm),
                                                      pointer(x),
                                                      affine(input),
                                                      pointer(input_mean),
                                                      pointer(weight),
                                                      pointer(d_x),
                                                      pointer(d_weight),
                                                      pointer(d_input_sum),
                                                      pointer(d_input_x_sum),
                                                      nullptr};
  const py::gil_scoped_release release;
  kernels().convolve_gradient(arguments);
}

void infer(int dtype, const WindowValues& shape, Address x, const AffineValues& input, Address weight,
           const AffineValues& norm, const ExciteValues& gate, Address out) {
  const narsfast::InferArguments arguments{static_cast<Dtype>(dtype),
                                           window(shape),
                                           pointer(x),
                                           affine(input),
                                           pointer(weight),
                                           affine(norm),
                                           excite(gate),
                                           pointer(out),
                                           nullptr};
  const py::gil_scoped_release release;
  kernels().infer(arguments);
}

void moments(int dtype, const Shape& shape, Address y, Address mean, Address m2) {
  const narsfast::MomentsArguments arguments{static_cast<Dtype>(dtype),
                                             shape[0],
                                             shape[1],
                                             shape[2],
                                             pointer(y),
                                             pointer(mean),
                                             pointer(m2),
                                             nullptr};
  const py::gil_scoped_release release;
  kernels().moments(arguments);
}

void normalise(int dtype, const Shape& shape, Address y, const AffineValues& norm, const ExciteValues& gating,
               Address out, Address pooled, Address hidden, Address gate) {
  const narsfast::NormaliseArguments arguments{static_cast<Dtype>(dtype),
                                               shape[0],
                                               shape[1],
                                               shape[2],
                                               pointer(y),
                                               affine(norm),
                                               excite(gating),
                                               pointer(out),
                                               pointer(pooled),
                                               pointer(hidden),
                                               pointer(gate)};
  const py::gil_scoped_release release;
  kernels().normalise(arguments);
}

void reduce(int dtype, const Shape& shape, Address y, Address d_out, const AffineValues& norm, Address mean,
            const ExciteValues& gating, const std::array<Address, 3>& saved,
            const std::array<Address, 7>& out) {
  const narsfast::ReduceArguments arguments{static_cast<Dtype>(dtype),
                                            shape[0],
                                            shape[1],
                                            shape[2],
                                            pointer(y),
                                            pointer(d_out),
                                            affine(norm),
                                            pointer(mean),
                                            excite(gating),
                                            pointer(saved[0]),
                                            pointer(saved[1]),
                                            pointer(saved[2]),
                                            pointer(out[0]),
                                            pointer(out[1]),
                                            pointer(out[2]),
                                            pointer(out[3]),
                                            pointer(out[4]),
                                            pointer(out[5]),
                                            pointer(out[6]),
                                            nullptr};
  const py::gil_scoped_release release;
  kernels().reduce(arguments);
}

void norm_gradient_map(int dtype, const Shape& shape, const NormGradientValues& gradient,
                       const AffineValues& norm, Address d_y) {
  const narsfast::NormGradientArguments arguments{
      static_cast<Dtype>(dtype), shape[0], shape[1], shape[2], norm_gradient(gradient, norm), pointer(d_y)};
  const py::gil_scoped_release release;
  kernels().norm_gradient(arguments);
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
