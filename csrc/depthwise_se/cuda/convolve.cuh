#pragma once

#include <cstdint>

#include "depthwise_se/cuda/activation.cuh"

namespace narsfast::cuda {

// y = norm(conv(input(x))), and partials (3, partials, channels): count, mean and m2 of y for every image,
// strip and tile.
struct Convolve {
  Dtype dtype;
  Window window;
  const void* x;
  DeviceNorm input;
  const float* weight;
  DeviceNorm norm;
  void* y;
  float* partials;
};

// Enqueues the kernel; kUnsupported where there is none for the dtype or window.
int enqueue_convolve(const Convolve& convolve, void* stream);
// The number of partials per image.
int64_t image_partials(Dtype dtype, const Window& window);

}  // namespace narsfast::cuda
