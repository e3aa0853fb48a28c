#include "depthwise_se/kernels.h"

namespace narsfast {

#define NARSFAST_DECLARE(isa)                                                                       \
  namespace isa {                                                                                   \
  void convolve(const ConvolveArguments&);                                                          \
  void convolve_gradient(const ConvolveGradientArguments&);                                         \
  void infer(const InferArguments&);                                                                \
  void moments(const MomentsArguments&);                                                            \
  void normalize(const NormalizeArguments&);                                                        \
  void reduce(const ReduceArguments&);                                                              \
  void norm_gradient(const NormGradientArguments&);                                                 \
  static const DepthwiseKernels kKernels = {convolve, convolve_gradient, infer, moments, normalize, \
                                            reduce,   norm_gradient};                               \
  }

NARSFAST_DECLARE(baseline)
#ifdef NARSFAST_X86
NARSFAST_DECLARE(avx2)
NARSFAST_DECLARE(avx512)
#endif
#undef NARSFAST_DECLARE

const DepthwiseKernels& depthwise_kernels(Isa isa, Dtype dtype, int64_t channels) {
  if (dtype == Dtype::kFloat64) return baseline::kKernels;
  switch (isa) {
#ifdef NARSFAST_X86
    case Isa::kAvx2:
      return avx2::kKernels;
    case Isa::kAvx512:
      // With 8 channels, half of a 512-bit vector would be empty.
      return channels <= 8 ? avx2::kKernels : avx512::kKernels;
#endif
    default:
      return baseline::kKernels;
  }
}

}  // namespace narsfast
