#include <stdexcept>
#include <string>

#include "depthwise_se/cuda/launchers.h"
#include "depthwise_se/launch.h"
#ifdef NARSFAST_EMU
#include "emu/runtime.h"
#define NARSFAST_CUDA_ARCHITECTURES "emulated"
#else
#include <cuda_runtime_api.h>
#endif

namespace narsfast {
namespace {

template <typename Arguments>
struct Launcher {
  int (*enqueue)(const Arguments&, void*);
  size_t (*workspace)(const Arguments&);  // null where the kernel needs none
};

constexpr Launcher<ConvolveArguments> launcher(const ConvolveArguments&) {
  return {cuda::convolve, cuda::convolve_workspace};
}
constexpr Launcher<MomentsArguments> launcher(const MomentsArguments&) {
  return {cuda::moments, cuda::moments_workspace};
}
constexpr Launcher<NormalizeArguments> launcher(const NormalizeArguments&) {
  return {cuda::normalize, nullptr};
}
constexpr Launcher<ReduceArguments> launcher(const ReduceArguments&) {
  return {cuda::reduce, cuda::reduce_workspace};
}
constexpr Launcher<NormGradientArguments> launcher(const NormGradientArguments&) {
  return {cuda::norm_gradient, nullptr};
}
constexpr Launcher<ConvolveGradientArguments> launcher(const ConvolveGradientArguments&) {
  return {cuda::convolve_gradient, cuda::convolve_gradient_workspace};
}
constexpr Launcher<InferArguments> launcher(const InferArguments&) {
  return {cuda::infer, cuda::infer_workspace};
}

}  // namespace

bool cuda_built() { return true; }

const char* cuda_architectures() { return NARSFAST_CUDA_ARCHITECTURES; }

bool has_device() {
  int count = 0;
  const bool found = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  cudaGetLastError();  // clears the error, so that a later launch does not report it
  return found;
}

template <typename Arguments>
size_t workspace(const Arguments& arguments) {
  const auto bytes = launcher(arguments).workspace;
  return bytes == nullptr ? 0 : bytes(arguments);
}

template <typename Arguments>
void launch(const Arguments& arguments, uintptr_t stream) {
  const int error = launcher(arguments).enqueue(arguments, reinterpret_cast<void*>(stream));
  if (error == cuda::kUnsupported) throw std::invalid_argument("no kernel for this dtype or window");
  if (error != 0) {
    throw std::runtime_error(std::string("the CUDA kernel was not launched: ") +
                             cudaGetErrorString(static_cast<cudaError_t>(error)));
  }
}

NARSFAST_INSTANTIATE_LAUNCHES

}  // namespace narsfast
