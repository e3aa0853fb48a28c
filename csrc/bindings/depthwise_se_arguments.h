#pragma once

#include <array>
#include <string>

#include "bindings/tensor.h"
#include "depthwise_se/arguments.h"

// Reads and checks the named tuples of narsfast/ops/_arguments.py. Throws py::type_error where one is no such
// tuple, std::invalid_argument where its items do not fit the map; tensors are checked by TensorReader.

namespace narsfast::bindings {

using Tensor = pybind11::handle;  // a tensor, or None where it is optional
using Args = pybind11::handle;    // a named tuple, or None where it is optional

// A tuple of at least kCount items, of which the first kCount are read.
template <Py_ssize_t kCount>
class Items {
 public:
  Items(pybind11::handle tuple, const char* type) : tuple_(tuple) {
    if (!PyTuple_Check(tuple.ptr()) || PyTuple_GET_SIZE(tuple.ptr()) < kCount) {
      throw pybind11::type_error(std::string(type) + " must be a tuple of " + std::to_string(kCount) +
                                 " items, not " + pybind11::repr(tuple).cast<std::string>());
    }
  }
  pybind11::handle operator[](Py_ssize_t index) const { return PyTuple_GET_ITEM(tuple_.ptr(), index); }

 private:
  pybind11::handle tuple_;
};

// NormArgs: weight, bias, mean, var, eps, act.
Norm norm_of(const TensorReader& read, int64_t channels, Args norm);
// NormArgs; None, or without tensors: the identity.
Norm input_norm_of(const TensorReader& read, int64_t channels, Args norm);
// ExciteArgs: reduce_weight, reduce_bias, expand_weight, expand_bias, act, gate. None, or without tensors: no
// squeeze-excite.
Excite excite_of(const TensorReader& read, int64_t channels, Args excite);
// NormSums: d_weight, d_bias, num_values. Without a gate.
NormGradient norm_gradient_of(const TensorReader& read, const MapShape& shape, Tensor d_out, Tensor y,
                              Args norm, Args sums);

// What squeeze-excite saves for its gradient, in one vector.
struct ExciteState {
  void *pooled, *hidden, *gate;
};
ExciteState state_of(const TensorReader& read, Tensor state, const MapShape& map, int64_t squeezed);
// Adds the gate, which is the last of the state and of this kind, and d_pooled; both are None without
// squeeze-excite.
void add_gate(const TensorReader& read, Tensor state, Tensor d_pooled, pybind11::handle gate_kind,
              int64_t images, NormGradient* norm, int64_t channels);

// WindowArgs: stride, top, bottom, left, right.
Window window_of(const MapShape& x, Tensor kernel, Args window);

}  // namespace narsfast::bindings
