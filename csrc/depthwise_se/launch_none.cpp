#include <stdexcept>

#include "depthwise_se/launch.h"

namespace narsfast {
namespace {

[[noreturn]] void refuse() {
  throw std::runtime_error("this build has no CUDA kernels; install with -C cmake.define.NARSFAST_CUDA=ON");
}

}  // namespace

bool cuda_built() { return false; }

bool has_device() { return false; }

template <typename Arguments>
size_t workspace(const Arguments&) {
  refuse();
}

template <typename Arguments>
void launch(const Arguments&, uintptr_t) {
  refuse();
}

template size_t workspace(const ConvolveArguments&);
template void launch(const ConvolveArguments&, uintptr_t);
template size_t workspace(const MomentsArguments&);
template void launch(const MomentsArguments&, uintptr_t);
template size_t workspace(const NormaliseArguments&);
template void launch(const NormaliseArguments&, uintptr_t);
template size_t workspace(const ReduceArguments&);
template void launch(const ReduceArguments&, uintptr_t);
template size_t workspace(const NormGradientArguments&);
template void launch(const NormGradientArguments&, uintptr_t);
template size_t workspace(const ConvolveGradientArguments&);
template void launch(const ConvolveGradientArguments&, uintptr_t);
template size_t workspace(const InferArguments&);
template void launch(const InferArguments&, uintptr_t);

}  // namespace narsfast
