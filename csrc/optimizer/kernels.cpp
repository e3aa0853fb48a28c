#include "optimizer/kernels.h"

namespace narsfast {

namespace baseline {
extern const OptimizerKernels kOptimizerKernels;
}
#ifdef NARSFAST_X86
namespace avx2 {
extern const OptimizerKernels kOptimizerKernels;
}
namespace avx512 {
extern const OptimizerKernels kOptimizerKernels;
}
#endif

const OptimizerKernels& optimizer_kernels(Isa isa) {
  switch (isa) {
#ifdef NARSFAST_X86
    case Isa::kAvx2:
      return avx2::kOptimizerKernels;
    case Isa::kAvx512:
      return avx512::kOptimizerKernels;
#endif
    default:
      return baseline::kOptimizerKernels;
  }
}

}  // namespace narsfast
