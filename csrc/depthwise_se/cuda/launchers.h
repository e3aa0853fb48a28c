#pragma once

#include <cstddef>

#include "depthwise_se/arguments.h"

// The CUDA side of arguments.h. All pointers are of the device; `stream` is a cudaStream_t. Work is enqueued,
// nothing is allocated or waited for. Answers: 0, a cudaError_t, or kUnsupported where there is no kernel
// for the dtype (float64) or the window. The workspace of a call holds the bytes that the function beside it
// says.

namespace narsfast::cuda {

constexpr int kUnsupported = -1;

int convolve(const ConvolveArguments& arguments, void* stream);
size_t convolve_workspace(const ConvolveArguments& arguments);

int moments(const MomentsArguments& arguments, void* stream);
size_t moments_workspace(const MomentsArguments& arguments);

int normalise(const NormaliseArguments& arguments, void* stream);

int reduce(const ReduceArguments& arguments, void* stream);
size_t reduce_workspace(const ReduceArguments& arguments);

int norm_gradient(const NormGradientArguments& arguments, void* stream);

int convolve_gradient(const ConvolveGradientArguments& arguments, void* stream);
size_t convolve_gradient_workspace(const ConvolveGradientArguments& arguments);

int infer(const InferArguments& arguments, void* stream);
size_t infer_workspace(const InferArguments& arguments);

}  // namespace narsfast::cuda
