#pragma once

#include <cstddef>
#include <cstdint>

// Kernels are compiled by nvcc and, for the tests, by a C++ compiler that runs them on the CPU. The
// differences are in this header, memory.cuh and depthwise_se/cuda/dtype.cuh.

#ifdef NARSFAST_EMU
#include "emu/cuda.h"
#define NARSFAST_SHARED(type, name) type* name = reinterpret_cast<type*>(::narsfast::emu::shared_memory())
#define NARSFAST_UNROLL
#define NARSFAST_ROLL
#else
#include <cuda_runtime.h>
#define NARSFAST_SHARED(type, name)                       \
  extern __shared__ __align__(16) char narsfast_shared[]; \
  type* name = reinterpret_cast<type*>(narsfast_shared)
#define NARSFAST_UNROLL _Pragma("unroll")
#define NARSFAST_ROLL _Pragma("unroll 1")  // where unrolling would only cost registers
#endif

namespace narsfast::cuda {

constexpr int kThreads = 256;            // per block, in every kernel
constexpr int kSharedBytes = 48 * 1024;  // shared memory that every device allows by default

// Enqueues kernel(arguments...) with kThreads threads per block; does nothing if there are no blocks.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, size_t shared_bytes, void* stream,
            const Arguments&... arguments) {
  if (blocks == 0) return;
#ifdef NARSFAST_EMU
  (void)stream;
  emu::counters().launches++;
  emu::launch({static_cast<unsigned>(blocks)}, {kThreads}, shared_bytes, [&] { kernel(arguments...); });
#else
  // clang-format off: it would split the >>>
  kernel<<<static_cast<unsigned>(blocks), kThreads, shared_bytes, static_cast<cudaStream_t>(stream)>>>(
      arguments...);
  // clang-format on
#endif
}

// The first error of the launches since the last call, as a cudaError_t; 0 means success.
inline int launch_error() {
#ifdef NARSFAST_EMU
  return 0;
#else
  return static_cast<int>(cudaGetLastError());
#endif
}

// a / b, to two units in the last place; 0 where b is above 2^126. The exact division has a call for special
// values, around which kernels would have to keep their registers.
__device__ inline float divide(float a, float b) {
#ifdef NARSFAST_EMU
  return a / b;
#else
  return __fdividef(a, b);
#endif
}

__host__ __device__ inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace narsfast::cuda
