#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

#include "bindings/view.h"

// Torch's tensors as the kernels take them: addresses and sizes, checked.

namespace narsfast_py {

struct MapShape {
  int64_t images, channels, height, width;
  bool operator==(const MapShape& other) const {
    return images == other.images && channels == other.channels && height == other.height &&
           width == other.width;
  }
};

// Maps are (n, c, h, w) in channels_last memory. Every other tensor (weights, per-channel and per-image
// vectors) is contiguous, and float32, or float64 where the map is float64.
class TensorReader {
 public:
  // like: the map that everything goes with; on_cuda: for the kernels of CUDA. Throws py::type_error for a
  // map's dtype that there are no kernels for.
  TensorReader(pybind11::handle like, bool on_cuda);

  narsfast::Dtype dtype() const { return view_.dtype; }
  MapShape shape() const;
  // Throw std::invalid_argument or, for a vector's dtype, py::type_error, with `name`, for a tensor that is
  // or lies otherwise.
  void* map(const char* name, pybind11::handle tensor, const MapShape& shape) const;
  void* vector(const char* name, pybind11::handle tensor, int64_t count) const;  // null for None
  // Bytes of an element of what vector() reads.
  int64_t vector_element() const { return dtype() == narsfast::Dtype::kFloat64 ? 8 : 4; }
  // Tensors beside the map `like`, whose shape is `of`, for kernels to fill.
  pybind11::object empty_map(const MapShape& of, const MapShape& shape) const;
  pybind11::object empty_vector(int64_t count) const;

 private:
  // dtype: null, or another one than the map's.
  pybind11::object new_empty(const pybind11::tuple& sizes, const pybind11::tuple& strides,
                             const pybind11::object* dtype) const;

  pybind11::handle like_;
  TensorView view_;
};

pybind11::object empty_like(pybind11::handle tensor);
// Elements along a dimension; from the last one on where it is negative.
int64_t size_along(pybind11::handle tensor, int dimension);
void* address(pybind11::handle tensor);

}  // namespace narsfast_py
