#include "search/kernels.h"

namespace narsfast {

namespace baseline {
extern const SearchKernels kSearchKernels;
}
#ifdef NARSFAST_X86
namespace avx2 {
extern const SearchKernels kSearchKernels;
}
namespace avx512 {
extern const SearchKernels kSearchKernels;
}
#endif

const SearchKernels& search_kernels(Isa isa) {
  switch (isa) {
#ifdef NARSFAST_X86
    case Isa::kAvx2:
      return avx2::kSearchKernels;
    case Isa::kAvx512:
      return avx512::kSearchKernels;
#endif
    default:
      return baseline::kSearchKernels;
  }
}

}  // namespace narsfast
