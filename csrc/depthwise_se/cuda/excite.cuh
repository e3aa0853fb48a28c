#pragma once

#include "depthwise_se/cuda/activation.cuh"

namespace narsfast::cuda {

// Excite on the device.
struct DeviceExcite {
  int64_t channels, squeezed;
  Activation activation;
  Gate gate_kind;
  const float* reduce_weight;
  const float* reduce_bias;
  const float* expand_weight;
  const float* expand_bias;

  DeviceExcite(const Excite& e, int64_t channels)
      : channels(channels),
        squeezed(e.squeezed),
        activation(e.activation),
        gate_kind(e.gate_kind),
        reduce_weight(static_cast<const float*>(e.reduce_weight)),
        reduce_bias(static_cast<const float*>(e.reduce_bias)),
        expand_weight(static_cast<const float*>(e.expand_weight)),
        expand_bias(static_cast<const float*>(e.expand_bias)) {}
};

// The sum over the lanes of a warp, in every lane.
__device__ inline float warp_sum(float value) {
  for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(~0u, value, mask);
  return value;
}

// Computes hidden (images, squeezed) and gate (images, channels), before its activation and before gate_kind,
// from pooled (images, channels).
void excite(const DeviceExcite& excite, int64_t images, const float* pooled, float* hidden, float* gate,
            void* stream);

}  // namespace narsfast::cuda
