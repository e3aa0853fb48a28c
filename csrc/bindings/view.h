#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

#include "depthwise_se/arguments.h"

// Reads the memory layout of torch tensors. The module is built without torch, so that one build works with
// every version.

namespace narsfast::bindings {

struct TensorView {
  static constexpr int kMaxDimensions = 4;  // dimensions whose sizes and strides are kept
  void* data;
  bool supported;                     // whether any device has kernels for the dtype
  Dtype dtype;                        // where supported
  int32_t device_type, device_index;  // as DLPack numbers them
  int dimensions;
  int64_t sizes[kMaxDimensions], strides[kMaxDimensions];

  int64_t elements() const;
  bool same_device(const TensorView& other) const {
    return device_type == other.device_type && device_index == other.device_index;
  }
  // By torch's rules: tensors without elements, and dimensions of size 1, may have any strides.
  // channels_last() is for four dimensions, (n, c, h, w).
  bool contiguous() const;
  bool channels_last() const;
};

// Reads the tensor by DLPack's C exchange API where torch has it (2.10 and later), without running Python,
// which would take longer than the kernel of a small map; otherwise by its attributes.
TensorView view_of(pybind11::handle tensor);

// Reads the tensor by its attributes; exposed for tests.
TensorView view_by_attributes(pybind11::handle tensor);

}  // namespace narsfast::bindings
