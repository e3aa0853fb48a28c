#pragma once

#include "depthwise_se/cuda/activation.cuh"

namespace narsfast::cuda {

// NormGradient on the device. Its vectors of one slab and image stand in shared memory as [kVectors][32]:
// held by each thread they would cost 56 registers at 16 bits.
struct DeviceNormGradient {
  static constexpr int kVectors = 7;

  const void* y;
  const void* d_out;
  DeviceAffine norm;
  const float* gate;
  const float* d_pooled;
  const float* by_z;
  const float* by_y;
  const float* constant;

  explicit DeviceNormGradient(const NormGradient& g)
      : y(g.y),
        d_out(g.d_out),
        norm(g.norm),
        gate(static_cast<const float*>(g.gate)),
        d_pooled(static_cast<const float*>(g.d_pooled)),
        by_z(static_cast<const float*>(g.by_z)),
        by_y(static_cast<const float*>(g.by_y)),
        constant(static_cast<const float*>(g.constant)) {}

  // Callers wait for all threads between this and load().
  template <typename T>
  __device__ void fill(const Lane<T>& lane, int64_t image, int64_t pixels, float* shared) const {
    if (lane.slot >= kVectors) return;
    const int64_t row = image * lane.channels;
    const float* const vectors[kVectors] = {norm.scale,
                                            norm.shift,
                                            by_z,
                                            by_y,
                                            constant,
                                            gate == nullptr ? nullptr : gate + row,
                                            d_pooled == nullptr ? nullptr : d_pooled + row};
    const float missing[kVectors] = {1, 0, 1, 0, 0, 3, 0};
    float values[Lane<T>::kWidth];
    lane.read_channels(vectors[lane.slot], missing[lane.slot], values);
    for (int j = 0; j < Lane<T>::kWidth; ++j) {
      if (lane.slot == 5) values[j] = hard_sigmoid(values[j]);
      if (lane.slot == 6) values[j] /= static_cast<float>(pixels);
    }
    lane.put(shared + lane.slot * kSlab, values);
  }

  // d_y of the pixel at `offset` of the maps.
  template <typename T>
  __device__ void load(const Lane<T>& lane, const float* shared, int64_t offset,
                       float (&d_y)[Lane<T>::kWidth]) const {
    constexpr int kWidth = Lane<T>::kWidth;
    float value[kWidth];
    float gradient[kWidth];
    lane.load(static_cast<const T*>(y) + offset, value);
    lane.load(static_cast<const T*>(d_out) + offset, gradient);
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) {
      const float* at = shared + lane.position(j);
      const float z = at[0] * value[j] + at[kSlab];
      const float d_z = activation_slope(norm.activation, z) * (at[5 * kSlab] * gradient[j] + at[6 * kSlab]);
      d_y[j] = at[2 * kSlab] * d_z + at[3 * kSlab] * value[j] + at[4 * kSlab];
    }
  }
};

}  // namespace narsfast::cuda
