#pragma once

#include <cstdint>

#include "depthwise_se/cuda/activation.cuh"

namespace narsfast::cuda {

// y = norm(conv(input(x))) with, for every image, strip and tile, count, mean and m2 of y: (3, partials,
// channels).
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

// Enqueues it; -1 where there is no kernel.
int enqueue_convolve(const Convolve& convolve, void* stream);
// Partials of one image, and of all.
int64_t image_partials(Dtype dtype, const Window& window);

}  // namespace narsfast::cuda
