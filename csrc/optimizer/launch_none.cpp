#include <stdexcept>

#include "optimizer/launch.h"

namespace narsfast {

void launch_rmsprop(const RmspropArguments&, uintptr_t) {
  throw std::runtime_error("this build has no CUDA kernels; install with -C cmake.define.NARSFAST_CUDA=ON");
}

}  // namespace narsfast
