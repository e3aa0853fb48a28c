#pragma once

#include "depthwise_se/cuda/activation.cuh"

namespace narsfast::cuda {

// NormGradient on the device. The vectors of one slab and image are in shared memory, (kVectors, 32): in
// registers they would take 48 per thread for 16-bit maps.
struct DeviceNormGradient {
  static constexpr int kVectors = 6;

  const void* y;
  const void* d_out;
  DeviceNorm norm;
  const float* gate;
  const float* d_pooled;
  Gate gate_kind;
  const float* d_weight;  // null, like d_bias, where mean and var are constants
  const float* d_bias;
  float share;  // 1 / count

  explicit DeviceNormGradient(const NormGradient& g)
      : y(g.y),
        d_out(g.d_out),
        norm(g.norm),
        gate(static_cast<const float*>(g.gate)),
        d_pooled(static_cast<const float*>(g.d_pooled)),
        gate_kind(g.gate == nullptr ? Gate::kHardSigmoid : g.gate_kind),
        d_weight(static_cast<const float*>(g.count > 0 ? g.d_weight : nullptr)),
        d_bias(static_cast<const float*>(g.count > 0 ? g.d_bias : nullptr)),
        share(g.count > 0 ? static_cast<float>(1 / g.count) : 0) {}

  // Computes the vectors: scale, shift, by_y and constant of d_y = scale * d_z + by_y * y + constant, gate,
  // and d_pooled / pixels. Each slot computes one. Callers synchronize the block between fill() and load().
  template <typename T>
  __device__ void fill(const Lane<T>& lane, int64_t image, int64_t pixels, float* shared) const {
    if (lane.slot >= kVectors) return;
    const int64_t row = image * lane.channels;
    const float* const vectors[kVectors] = {norm.weight,
                                            norm.bias,
                                            d_weight,
                                            d_weight,
                                            gate == nullptr ? nullptr : gate + row,
                                            d_pooled == nullptr ? nullptr : d_pooled + row};
    const float missing[kVectors] = {1, 0, 0, 0, 3, 0};
    NARSFAST_ROLL
    for (int j = 0; j < Lane<T>::kWidth; ++j) {
      float value = 0;
      if (lane.holds(j)) {
        const int64_t c = lane.channel(j);
        const auto at = [&](const float* vector, float fallback) {
          return vector == nullptr ? fallback : read(vector + c);
        };
        value = at(vectors[lane.slot], missing[lane.slot]);
        const float inverse = norm.inverse(c);
        const float scale = at(norm.weight, 1) * inverse;
        const float mean = at(norm.mean, 0);
        if (lane.slot == 0) value *= inverse;
        if (lane.slot == 1) value -= mean * scale;
        if (lane.slot == 2) value *= -scale * inverse * share;
        if (lane.slot == 3) value = (mean * inverse * value - at(d_bias, 0)) * scale * share;
        if (lane.slot == 4) value = open_gate(gate_kind, value);
        if (lane.slot == 5) value /= static_cast<float>(pixels);
      }
      shared[lane.slot * kSlab + lane.position(j)] = value;
    }
  }

  // Computes d_y of the pixel at `offset` of the maps.
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
      const float d_z = activation_slope(norm.activation, z) * (at[4 * kSlab] * gradient[j] + at[5 * kSlab]);
      d_y[j] = at[0] * d_z + at[2 * kSlab] * value[j] + at[3 * kSlab];
    }
  }
};

}  // namespace narsfast::cuda
