#pragma once

// The kernels of one instruction set, each defined in its own source.

#include "depthwise_se/activation.h"
#include "depthwise_se/kernels.h"

namespace narsfast {
namespace NARSFAST_ISA {

void convolve(const ConvolveArguments& arguments);
void convolve_gradient(const ConvolveGradientArguments& arguments);
void infer(const InferArguments& arguments);
void moments(const MomentsArguments& arguments);
void normalize(const NormalizeArguments& arguments);
void reduce(const ReduceArguments& arguments);
void norm_gradient(const NormGradientArguments& arguments);

namespace {

// Calls body(accumulator, element) with a value of each type. Only the baseline has double.
template <class Body>
NARSFAST_INLINE void with_types(Dtype dtype, const Body& body) {
  switch (dtype) {
    case Dtype::kBfloat16:
      body(float{}, Bfloat16{});
      break;
#ifdef NARSFAST_FLOAT64
    case Dtype::kFloat64:
      body(double{}, double{});
      break;
#endif
    default:
      body(float{}, float{});
  }
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
