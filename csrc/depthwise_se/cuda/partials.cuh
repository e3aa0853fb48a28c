#pragma once

#include "common/cuda/device.cuh"

namespace narsfast::cuda {

// Each block writes partial results; a second kernel combines them in a fixed order. Without atomics, results
// are reproducible bit for bit.

// partials (3, count, channels): count, mean and m2 of every partial -> mean and var (channels,), both 0
// where all counts are 0.
void join_moments(const float* partials, int64_t count, int64_t channels, float* mean, float* var,
                  void* stream);
inline size_t moments_bytes(int64_t count, int64_t channels) {
  return sizeof(float) * 3 * static_cast<size_t>(count * channels);
}

}  // namespace narsfast::cuda
