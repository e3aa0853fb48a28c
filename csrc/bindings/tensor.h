#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "bindings/view.h"

// Reads and checks the tensors that kernels get, and makes tensors for their results.

namespace narsfast::bindings {

struct MapShape {
  int64_t images, channels, height, width;
  bool operator==(const MapShape& other) const {
    return images == other.images && channels == other.channels && height == other.height &&
           width == other.width;
  }
};

// Maps are (n, c, h, w) in channels_last memory. All other tensors (weights, per-channel and per-image
// vectors) are contiguous, and float32, or float64 where the map is float64.
class TensorReader {
 public:
  // like: the map whose dtype and device the other tensors must have; on_cuda: whether CUDA kernels are
  // called. Throws py::type_error where there are no kernels for the map's dtype.
  TensorReader(pybind11::handle like, bool on_cuda);

  Dtype dtype() const { return view_.dtype; }
  MapShape shape() const;
  // The address of a map or vector. Throws std::invalid_argument, or py::type_error for a vector's dtype,
  // where the tensor is None, or its device, dtype, shape or strides are wrong; the message starts with
  // `name`.
  void* map(const char* name, pybind11::handle tensor, const MapShape& shape) const;
  void* vector(const char* name, pybind11::handle tensor, int64_t count) const;
  // Bytes per element of a vector.
  int64_t vector_element_size() const { return dtype() == Dtype::kFloat64 ? 8 : 4; }
  // Tensors on the device of `like`, for kernels to fill. like_shape: shape().
  pybind11::object empty_map(const MapShape& like_shape, const MapShape& shape) const;
  pybind11::object empty_vector(int64_t count) const;

 private:
  // dtype: null for the dtype of `like`.
  pybind11::object new_empty(const pybind11::tuple& sizes, const pybind11::tuple& strides,
                             const pybind11::object* dtype) const;

  TensorView view_of_other(const char* name, pybind11::handle tensor) const;

  pybind11::handle like_;
  TensorView view_;
};

pybind11::object empty_like(pybind11::handle tensor);
// The layout of a tensor that must not be None; throws std::invalid_argument, starting with `name`.
TensorView view_of_given(const char* name, pybind11::handle tensor);
// The shape of a tensor, as Python prints a tuple.
std::string shape_text(pybind11::handle tensor);
void* address(pybind11::handle tensor);

}  // namespace narsfast::bindings
