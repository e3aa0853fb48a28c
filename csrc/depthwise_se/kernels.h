#pragma once

#include "common/dispatch.h"
#include "depthwise_se/arguments.h"

namespace narsfast {

// The kernels of one instruction set, compiled from sources that all instruction sets share. The CPU does not
// use `workspace`, and its dtypes are kFloat32, kBfloat16 and kFloat64.
struct DepthwiseKernels {
  void (*convolve)(const ConvolveArguments&);
  void (*convolve_gradient)(const ConvolveGradientArguments&);
  void (*infer)(const InferArguments&);
  void (*moments)(const MomentsArguments&);
  void (*normalize)(const NormalizeArguments&);
  void (*reduce)(const ReduceArguments&);
  void (*norm_gradient)(const NormGradientArguments&);
};

// The fastest kernels for a map on a machine that supports `isa`; kFloat64 has kernels in the baseline alone.
const DepthwiseKernels& depthwise_kernels(Isa isa, Dtype dtype, int64_t channels);

}  // namespace narsfast
