#pragma once

#include <cstddef>
#include <cstdint>

#include "depthwise_se/arguments.h"

// Launches the CUDA kernels from plain C++. Part of every build, implemented by launch_cuda.cpp or
// launch_none.cpp. `Arguments` stands for each struct of arguments.h whose name ends in it.

namespace narsfast {

// Whether this build has CUDA kernels.
bool cuda_built();

// The CUDA architectures of this build, as CMake names them ("75-real,80-real,120"); empty without kernels.
const char* cuda_architectures();

// Whether there is a CUDA device; false without a driver.
bool has_device();

// The bytes that launch() needs at arguments.workspace, which is not read here.
template <typename Arguments>
size_t workspace(const Arguments& arguments);

// Enqueues the kernel on `stream`, a cudaStream_t of the current device, without waiting or allocating. All
// pointers are device pointers. Throws std::invalid_argument where there is no kernel for the dtype or
// window; std::runtime_error with CUDA's message where the launch fails, or where this build has no CUDA
// kernels.
template <typename Arguments>
void launch(const Arguments& arguments, uintptr_t stream);

// Instantiates both templates for every struct, in the source that defines them.
#define NARSFAST_INSTANTIATE_LAUNCH(Arguments) \
  template size_t workspace(const Arguments&); \
  template void launch(const Arguments&, uintptr_t);
#define NARSFAST_INSTANTIATE_LAUNCHES                    \
  NARSFAST_INSTANTIATE_LAUNCH(ConvolveArguments)         \
  NARSFAST_INSTANTIATE_LAUNCH(MomentsArguments)          \
  NARSFAST_INSTANTIATE_LAUNCH(NormalizeArguments)        \
  NARSFAST_INSTANTIATE_LAUNCH(ReduceArguments)           \
  NARSFAST_INSTANTIATE_LAUNCH(NormGradientArguments)     \
  NARSFAST_INSTANTIATE_LAUNCH(ConvolveGradientArguments) \
  NARSFAST_INSTANTIATE_LAUNCH(InferArguments)

}  // namespace narsfast
