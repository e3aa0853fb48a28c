#pragma once

#include "common/dispatch.h"
#include "depthwise_se/arguments.h"

namespace narsfast {

// Functions compiled once per instruction set from one source. On the CPU `workspace` is not used, and dtype
// is kFloat32, kBfloat16 or kFloat64.
struct DepthwiseKernels {
  void (*convolve)(const ConvolveArguments&);
  void (*convolve_gradient)(const ConvolveGradientArguments&);
  void (*infer)(const InferArguments&);
  void (*moments)(const MomentsArguments&);
  void (*normalise)(const NormaliseArguments&);
  void (*reduce)(const ReduceArguments&);
  void (*norm_gradient)(const NormGradientArguments&);
};

// The fastest for a map on a machine that has `isa`. Those for kFloat64 are the baseline's.
const DepthwiseKernels& depthwise_kernels(Isa isa, Dtype dtype, int64_t channels);

}  // namespace narsfast
