#pragma once

#include "depthwise_se/cuda/activation.cuh"

namespace narsfast::cuda {

// out = gate_kind(gate) * norm(y), without a gate where it is null; out may be y.
struct Apply {
  Dtype dtype;
  int64_t images, pixels, channels;
  const void* y;
  DeviceNorm norm;
  const float* gate;  // (images, channels)
  Gate gate_kind;
  void* out;
};

int apply(const Apply& apply, void* stream);

}  // namespace narsfast::cuda
