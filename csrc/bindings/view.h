#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

#include "depthwise_se/arguments.h"

// What one of torch's tensors looks like in memory. The module is built without torch, so that one build
// serves every version.

namespace narsfast_py {

struct TensorView {
  static constexpr int kMost = 4;  // dimensions whose sizes and strides are kept
  void* data;
  bool known;  // whether there are kernels of any device for its dtype
  narsfast::Dtype dtype;
  int dimensions;
  int64_t sizes[kMost], strides[kMost];

  int64_t elements() const;
  // As torch sees it: what has no elements, or sizes of 1, may have any strides. channels_last: (n, c, h, w)
  // with the channels of a pixel side by side.
  bool contiguous() const;
  bool channels_last() const;
};

// By DLPack's exchange of C functions where this torch has it (2.10 and later): no Python is run, which
// would take longer than a small map. Otherwise by the tensor's own attributes.
TensorView view_of(pybind11::handle tensor);

// The second of the two ways, for tests.
TensorView view_by_attributes(pybind11::handle tensor);

}  // namespace narsfast_py
