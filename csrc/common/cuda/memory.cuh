#pragma once

#include <cstdint>

#include "common/cuda/device.cuh"

// Access to global memory. Kernels use these functions and macros so that the emulator can count the bytes.

#ifdef NARSFAST_EMU
#define NARSFAST_SITE , int site = __builtin_LINE()
#define NARSFAST_COUNT(address, bytes, access, line) \
  ::narsfast::emu::count_access(address, bytes, ::narsfast::emu::Access::access, line)
#else
#define NARSFAST_SITE
#define NARSFAST_COUNT(address, bytes, access, line)
#endif

namespace narsfast::cuda {

// For parameters, statistics and partial sums; maps are accessed by Lane (depthwise_se/cuda/access.cuh).
__device__ inline float read(const float* address) {
  NARSFAST_COUNT(address, sizeof(float), kOther, 0);
  return *address;
}
__device__ inline void write(float* address, float value) {
  NARSFAST_COUNT(address, sizeof(float), kOther, 0);
  *address = value;
}

// 16 bytes, moved by one instruction.
struct alignas(16) Words {
  uint32_t word[4];
};
struct alignas(16) Quad {
  float value[4];
};

}  // namespace narsfast::cuda
