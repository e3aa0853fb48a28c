#pragma once

#include "depthwise_se/cuda/access.cuh"

namespace narsfast::cuda {

// The activation is a run-time value: kernels are bound by memory, and a branch that all threads take the
// same way costs nothing.

// The logistic function and its derivative, from exp(-|z|): nothing overflows or cancels.
struct Logistic {
  float value, slope;
  __device__ explicit Logistic(float z) {
    const float decay = expf(-fabsf(z));
    const float share = divide(1, 1 + decay);
    const float rest = decay * share;
    value = z < 0 ? rest : share;
    slope = rest * share;
  }
};

__device__ inline float activate(Activation activation, float z) {
  if (activation == Activation::kRelu) return z < 0 ? 0 : z;  // NaN stays NaN
  if (activation == Activation::kHardSwish) return z * fminf(fmaxf(z + 3, 0.0f), 6.0f) * (1.0f / 6);
  if (activation == Activation::kRelu6) return z < 0 ? 0 : z > 6 ? 6 : z;
  if (activation == Activation::kSilu) return divide(z, 1 + expf(-z));
  return z;
}

// The same for each value, in place: with a loop for each activation, convolutions need fewer registers.
template <int kCount>
__device__ void activate(Activation activation, float (&values)[kCount]) {
  const auto each = [&](Activation constant) {
    NARSFAST_UNROLL
    for (int j = 0; j < kCount; ++j) values[j] = activate(constant, values[j]);
  };
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      return each(Activation::kRelu);
    case Activation::kHardSwish:
      return each(Activation::kHardSwish);
    case Activation::kRelu6:
      return each(Activation::kRelu6);
    case Activation::kSilu:
      return each(Activation::kSilu);
  }
}

// The derivative; at the kinks it is torch's: for hard-swish 0 at -3 and 1 at 3, for relu6 0 at 0 and 6.
__device__ inline float activation_slope(Activation activation, float z) {
  if (activation == Activation::kRelu) return z > 0 ? 1.0f : 0.0f;
  if (activation == Activation::kHardSwish) return z <= -3 ? 0.0f : z < 3 ? z * (1.0f / 3) + 0.5f : 1.0f;
  if (activation == Activation::kRelu6) return z > 0 && z < 6 ? 1.0f : 0.0f;
  if (activation == Activation::kSilu) {
    const Logistic logistic(z);
    return logistic.value + z * logistic.slope;
  }
  return 1;
}

// How far a gate is open. A hard sigmoid of 3 is 1, which stands for no gate.
__device__ inline float open_gate(Gate gate_kind, float t) {
  if (gate_kind == Gate::kSigmoid) return divide(1, 1 + expf(-t));
  const float above = t + 3;
  return (above < 0 ? 0 : above > 6 ? 6 : above) * (1.0f / 6);
}
// The derivative; for the hard sigmoid 0 at both kinks, as in torch.
__device__ inline float gate_slope(Gate gate_kind, float t) {
  if (gate_kind == Gate::kSigmoid) return Logistic(t).slope;
  return t > -3 && t < 3 ? 1.0f / 6 : 0.0f;
}

// A Norm on the device. Where weight is null, all vectors are null and the norm is the identity.
struct DeviceNorm {
  const float* weight = nullptr;
  const float* bias = nullptr;
  const float* mean = nullptr;
  const float* var = nullptr;
  float eps = 0;
  Activation activation = Activation::kNone;

  DeviceNorm() = default;
  explicit DeviceNorm(const Norm& norm) {
    if (norm.weight == nullptr) return;
    weight = static_cast<const float*>(norm.weight);
    bias = static_cast<const float*>(norm.bias);
    mean = static_cast<const float*>(norm.mean);
    var = static_cast<const float*>(norm.var);
    eps = static_cast<float>(norm.eps);
    activation = norm.activation;
  }
  // 1 / sqrt(var + eps) of a channel.
  __device__ float inverse(int64_t channel) const {
    return 1.0f / sqrtf((var == nullptr ? 1.0f : read(var + channel)) + eps);
  }
};

// A DeviceNorm for the channels of one lane, folded: z = scale * value + shift.
template <typename T>
struct LaneNorm {
  float scale[Lane<T>::kWidth];
  float shift[Lane<T>::kWidth];
  Activation activation;

  __device__ LaneNorm(const DeviceNorm& norm, const Lane<T>& lane) : activation(norm.activation) {
    NARSFAST_UNROLL
    for (int j = 0; j < Lane<T>::kWidth; ++j) {
      scale[j] = 1;
      shift[j] = 0;
    }
    if (norm.weight == nullptr) return;  // checked once: a check per channel costs registers
    NARSFAST_UNROLL
    for (int j = 0; j < Lane<T>::kWidth; ++j) {
      if (!lane.holds(j)) continue;
      const int64_t c = lane.channel(j);
      scale[j] = read(norm.weight + c) * norm.inverse(c);
      shift[j] = read(norm.bias + c) - read(norm.mean + c) * scale[j];
    }
  }
  __device__ float z(int j, float value) const { return scale[j] * value + shift[j]; }
  __device__ float apply(int j, float value) const { return activate(activation, z(j, value)); }
  // The same for all of the lane's channels.
  __device__ void apply(float (&values)[Lane<T>::kWidth]) const {
    NARSFAST_UNROLL
    for (int j = 0; j < Lane<T>::kWidth; ++j) values[j] = z(j, values[j]);
    activate(activation, values);
  }
};

}  // namespace narsfast::cuda
