#pragma once

#include <cstddef>
#include <cstdint>

#include "depthwise_se/arguments.h"

// The CUDA kernels for C++ that knows no CUDA: there in every build, with launch_cuda.cpp or launch_none.cpp
// behind it. `Arguments` is each of the structs of arguments.h that end in this word.

namespace narsfast {

// Whether this build has CUDA kernels.
bool cuda_built();

// The devices that they are compiled for, as CMake names them ("75-real,80-real,120"); empty without kernels.
const char* cuda_architectures();

// Whether there is a device to run them on; false without a driver.
bool has_device();

// Bytes that launch() needs at arguments.workspace, which is not read here.
template <typename Arguments>
size_t workspace(const Arguments& arguments);

// Enqueues the kernel on `stream`, a cudaStream_t of the current device; waits for nothing and allocates
// nothing. All pointers are of the device. Throws std::invalid_argument where there is no kernel for the
// dtype or window, std::runtime_error with CUDA's words where it fails, or where this build has no kernels.
template <typename Arguments>
void launch(const Arguments& arguments, uintptr_t stream);

// Both templates for every struct, for the source that defines them.
#define NARSFAST_INSTANTIATE_LAUNCH(Arguments) \
  template size_t workspace(const Arguments&); \
  template void launch(const Arguments&, uintptr_t);
#define NARSFAST_INSTANTIATE_LAUNCHES                    \
  NARSFAST_INSTANTIATE_LAUNCH(ConvolveArguments)         \
  NARSFAST_INSTANTIATE_LAUNCH(MomentsArguments)          \
  NARSFAST_INSTANTIATE_LAUNCH(NormaliseArguments)        \
  NARSFAST_INSTANTIATE_LAUNCH(ReduceArguments)           \
  NARSFAST_INSTANTIATE_LAUNCH(NormGradientArguments)     \
  NARSFAST_INSTANTIATE_LAUNCH(ConvolveGradientArguments) \
  NARSFAST_INSTANTIATE_LAUNCH(InferArguments)

}  // namespace narsfast
