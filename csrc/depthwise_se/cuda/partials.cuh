#pragma once

#include "depthwise_se/cuda/device.cuh"

namespace narsfast::cuda {

// What blocks leave for a second kernel, which joins it in a fixed order: no atomics, so that results repeat
// bit for bit.

// partials (3, count, channels): count, mean and m2 of every partial -> mean and var (channels,),
// both 0 where the counts are.
void join_moments(const float* partials, int64_t count, int64_t channels, float* mean, float* var,
                  void* stream);
inline size_t moments_bytes(int64_t count, int64_t channels) {
  return sizeof(float) * 3 * static_cast<size_t>(count * channels);
}

}  // namespace narsfast::cuda
