#pragma once

#include <cstddef>
#include <cstdint>

// One source for nvcc and, in the tests, for a C++ compiler that runs it on the CPU. What differs is here and
// in access.cuh and dtype.cuh.

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
#define NARSFAST_ROLL _Pragma("unroll 1")  // where unrolling would only take registers
#endif

namespace narsfast::cuda {

constexpr int kThreads = 256;            // of every block
constexpr int kSharedBytes = 48 * 1024;  // what every device grants without being asked

// Enqueues kernel(arguments...) with kThreads a block; nothing where there are no blocks.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, size_t shared_bytes, void* stream,
            const Arguments&... arguments) {
  if (blocks == 0) return;
#ifdef NARSFAST_EMU
  (void)stream;
  emu::counters().launches++;
  emu::launch({static_cast<unsigned>(blocks)}, {kThreads}, shared_bytes, [&] { kernel(arguments...); });
#else
  // clang-format off: it would part the >>>
  kernel<<<static_cast<unsigned>(blocks), kThreads, shared_bytes, static_cast<cudaStream_t>(stream)>>>(
      arguments...);
  // clang-format on
#endif
}

// The error of the launches so far, as a number of cudaError_t; 0 is success.
inline int launch_error() {
#ifdef NARSFAST_EMU
  return 0;
#else
  return static_cast<int>(cudaGetLastError());
#endif
}

__host__ __device__ inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace narsfast::cuda
