#pragma once

#include <cstdint>
#include <cstring>

#include "common/cuda/device.cuh"
#include "depthwise_se/cuda/launchers.h"
#ifndef NARSFAST_EMU
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace narsfast::cuda {

// The element types of maps; all arithmetic is in float. Conversions round to nearest even, as the hardware
// does.
#ifdef NARSFAST_EMU

struct Bfloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

inline float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline uint32_t float_to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float to_float(Bfloat16 value) { return bits_to_float(static_cast<uint32_t>(value.bits) << 16); }
inline float to_float(Float16 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000) << 16;
  const uint32_t magnitude = value.bits & 0x7fff;
  if (magnitude >= 0x7c00) return bits_to_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  // The multiplication rebiases the exponent, and also normalizes denormals.
  return bits_to_float(sign | float_to_bits(bits_to_float(magnitude << 13) * bits_to_float(0x77800000)));
}

inline void from_float(float value, Bfloat16* out) {
  const uint32_t bits = float_to_bits(value);
  const bool nan = value != value;
  out->bits = static_cast<uint16_t>(nan ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline void from_float(float value, Float16* out) {
  const uint32_t sign = float_to_bits(value) >> 16 & 0x8000;
  const uint32_t bits = float_to_bits(value) & 0x7fffffff;
  uint32_t half;
  if (bits > 0x7f800000) {
    half = 0x7e00;
  } else if (bits >= 0x477ff000) {  // rounds to infinity
    half = 0x7c00;
  } else if (bits < 0x38800000) {  // denormal: the addition rounds to units of 2^-24
    half = float_to_bits(bits_to_float(bits) + 0.5f) - 0x3f000000;
  } else {
    half = (bits + 0xfff + (bits >> 13 & 1) - 0x38000000) >> 13;
  }
  out->bits = static_cast<uint16_t>(sign | half);
}

#else

using Bfloat16 = __nv_bfloat16;
using Float16 = __half;

__device__ inline float to_float(Bfloat16 value) { return __bfloat162float(value); }
__device__ inline float to_float(Float16 value) { return __half2float(value); }
__device__ inline void from_float(float value, Bfloat16* out) { *out = __float2bfloat16_rn(value); }
__device__ inline void from_float(float value, Float16* out) { *out = __float2half_rn(value); }

#endif

__device__ inline float to_float(float value) { return value; }
__device__ inline void from_float(float value, float* out) { *out = value; }

// Calls run with a value of the element type of `dtype`; kUnsupported where there is none.
template <typename Run>
int dispatch_dtype(Dtype dtype, const Run& run) {
  switch (dtype) {
    case Dtype::kFloat32:
      return run(float{});
    case Dtype::kBfloat16:
      return run(Bfloat16{});
    case Dtype::kFloat16:
      return run(Float16{});
    default:
      return kUnsupported;
  }
}

}  // namespace narsfast::cuda
