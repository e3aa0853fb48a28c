#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "emu/block.h"
#include "emu/counters.h"

// The part of CUDA that the kernels use, for a C++ compiler.

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define threadIdx (::narsfast::emu::current().thread)
#define blockIdx (::narsfast::emu::current().block)
#define blockDim (::narsfast::emu::current().block_size)
#define gridDim (::narsfast::emu::current().grid_size)

inline void __syncthreads(int line = __builtin_LINE()) { narsfast::emu::wait_block(line); }
inline void __syncwarp(unsigned = ~0u, int line = __builtin_LINE()) { narsfast::emu::wait_warp(line); }

template <typename T>
T narsfast_emu_exchange(T value, int from, int line) {
  uint64_t bits = 0;
  static_assert(sizeof(T) <= sizeof(bits), "shuffles move up to 8 bytes");
  std::memcpy(&bits, &value, sizeof(T));
  bits = narsfast::emu::exchange(bits, from, line);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline int narsfast_emu_lane() { return narsfast::emu::current().number % narsfast::emu::kWarp; }

template <typename T>
T __shfl_sync(unsigned, T value, int lane, int = 32, int line = __builtin_LINE()) {
  return narsfast_emu_exchange(value, lane, line);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask, int = 32, int line = __builtin_LINE()) {
  return narsfast_emu_exchange(value, narsfast_emu_lane() ^ mask, line);
}
template <typename T>
T __shfl_down_sync(unsigned, T value, unsigned delta, int = 32, int line = __builtin_LINE()) {
  return narsfast_emu_exchange(value, narsfast_emu_lane() + static_cast<int>(delta), line);
}
