#pragma once

#include "depthwise_se/cuda/access.cuh"

namespace narsfast::cuda {

// Activations are data: kernels wait for memory, and a branch that all threads take alike costs them nothing.

__device__ inline float activate(Activation activation, float z) {
  if (activation == Activation::kRelu) return z > 0 ? z : z * 0;  // NaN stays NaN
  if (activation == Activation::kHardSwish) return z * fminf(fmaxf(z + 3, 0.0f), 6.0f) * (1.0f / 6);
  return z;
}

// As torch has it at the kinks: hard-swish 0 at -3, 1 at 3.
__device__ inline float activation_slope(Activation activation, float z) {
  if (activation == Activation::kRelu) return z > 0 ? 1.0f : 0.0f;
  if (activation == Activation::kHardSwish) return z <= -3 ? 0.0f : z < 3 ? z * (1.0f / 3) + 0.5f : 1.0f;
  return 1;
}

__device__ inline float hard_sigmoid(float t) { return fminf(fmaxf(t + 3, 0.0f), 6.0f) * (1.0f / 6); }
// 0 at both kinks, as torch has it.
__device__ inline float hard_sigmoid_slope(float t) { return t > -3 && t < 3 ? 1.0f / 6 : 0.0f; }

// An Affine on the device.
struct DeviceAffine {
  const float* scale;
  const float* shift;
  Activation activation;

  DeviceAffine() : scale(nullptr), shift(nullptr), activation(Activation::kNone) {}
  explicit DeviceAffine(const Affine& affine)
      : scale(static_cast<const float*>(affine.scale)),
        shift(static_cast<const float*>(affine.shift)),
        activation(affine.scale == nullptr ? Activation::kNone : affine.activation) {}
};

// A DeviceAffine of the channels that one lane holds.
template <typename T>
struct LaneAffine {
  float scale[Lane<T>::kWidth];
  float shift[Lane<T>::kWidth];
  Activation activation;

  __device__ LaneAffine(const DeviceAffine& affine, const Lane<T>& lane) : activation(affine.activation) {
    lane.read_channels(affine.scale, 1, scale);
    lane.read_channels(affine.shift, 0, shift);
  }
  __device__ float z(int j, float value) const { return scale[j] * value + shift[j]; }
  __device__ float apply(int j, float value) const { return activate(activation, z(j, value)); }
};

}  // namespace narsfast::cuda
