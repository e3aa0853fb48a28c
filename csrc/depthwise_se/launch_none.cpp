#include <stdexcept>

#include "depthwise_se/launch.h"

namespace narsfast {
namespace {

[[noreturn]] void refuse() {
  throw std::runtime_error("this build has no CUDA kernels; install with -C cmake.define.NARSFAST_CUDA=ON");
}

}  // namespace

bool cuda_built() { return false; }

const char* cuda_architectures() { return ""; }

bool has_device() { return false; }

template <typename Arguments>
size_t workspace(const Arguments&) {
  refuse();
}

template <typename Arguments>
void launch(const Arguments&, uintptr_t) {
  refuse();
}

NARSFAST_INSTANTIATE_LAUNCHES

}  // namespace narsfast
