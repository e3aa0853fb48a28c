#pragma once

#include "depthwise_se/cuda/activation.cuh"

namespace narsfast::cuda {

// NormGradient on the device. Its vectors of one slab and image stand in shared memory as [kVectors][32]:
// held by each thread they would cost 56 registers at 16 bits.
struct DeviceNormGradient {
  static constexpr int kVectors = 7;

  const void* y;
  const void* d_out;
  DeviceNorm norm;
  const float* gate;
  const float* d_pooled;
  const float* d_weight;  // null where mean and var are constants, as d_bias
  const float* d_bias;
  float share;  // 1 / count

  explicit DeviceNormGradient(const NormGradient& g)
      : y(g.y),
        d_out(g.d_out),
        norm(g.norm),
        gate(static_cast<const float*>(g.gate)),
        d_pooled(static_cast<const float*>(g.d_pooled)),
        d_weight(static_cast<const float*>(g.count > 0 ? g.d_weight : nullptr)),
        d_bias(static_cast<const float*>(g.count > 0 ? g.d_bias : nullptr)),
        share(g.count > 0 ? static_cast<float>(1 / g.count) : 0) {}

  // The vectors: scale, shift, mean; what d_y takes of y - mean, and without it; gate, and d_pooled / pixels.
  // All slots read the same, so that no warp parts; each leaves one. Callers wait for all threads between
  // this and load().
  template <typename T>
  __device__ void fill(const Lane<T>& lane, int64_t image, int64_t pixels, float* shared) const {
    if (lane.slot >= kVectors) return;
    const auto at = [&](const float* vector, int64_t index, float missing) {
      return vector == nullptr ? missing : read(vector + index);
    };
    float values[Lane<T>::kWidth] = {};
    for (int j = 0; j < Lane<T>::kWidth; ++j) {
      if (!lane.holds(j)) continue;
      const int64_t c = lane.channel(j);
      const int64_t of_image = image * lane.channels + c;
      const float mean = at(norm.mean, c, 0);
      const float inverse = norm.inverse(c);
      const float scale = at(norm.weight, c, 1) * inverse;
      const float all[kVectors] = {scale,
                                   at(norm.bias, c, 0) - mean * scale,
                                   mean,
                                   -scale * inverse * share * at(d_weight, c, 0),
                                   -scale * share * at(d_bias, c, 0),
                                   hard_sigmoid(at(gate, of_image, 3)),
                                   at(d_pooled, of_image, 0) / static_cast<float>(pixels)};
      NARSFAST_UNROLL
      for (int v = 0; v < kVectors; ++v)
        if (lane.slot == v) values[j] = all[v];
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
      d_y[j] = at[0] * d_z + at[3 * kSlab] * (value[j] - at[2 * kSlab]) + at[4 * kSlab];
    }
  }
};

}  // namespace narsfast::cuda
