#pragma once

#include <cstddef>

#include "depthwise_se/arguments.h"

// The CUDA launchers of the kernels of arguments.h. All pointers are device pointers; `stream` is a
// cudaStream_t. Launchers enqueue work and return: they neither allocate nor wait. They return 0, a
// cudaError_t, or kUnsupported where there is no kernel for the dtype (float64) or the window. A call's
// workspace needs as many bytes as its *_workspace function returns.

namespace narsfast::cuda {

constexpr int kUnsupported = -1;

int convolve(const ConvolveArguments& arguments, void* stream);
size_t convolve_workspace(const ConvolveArguments& arguments);

int moments(const MomentsArguments& arguments, void* stream);
size_t moments_workspace(const MomentsArguments& arguments);

int normalize(const NormalizeArguments& arguments, void* stream);

int reduce(const ReduceArguments& arguments, void* stream);
size_t reduce_workspace(const ReduceArguments& arguments);

int norm_gradient(const NormGradientArguments& arguments, void* stream);

int convolve_gradient(const ConvolveGradientArguments& arguments, void* stream);
size_t convolve_gradient_workspace(const ConvolveGradientArguments& arguments);

int infer(const InferArguments& arguments, void* stream);
size_t infer_workspace(const InferArguments& arguments);

}  // namespace narsfast::cuda
