#include <stdexcept>
#include <string>

#include "optimizer/cuda/launchers.h"
#include "optimizer/launch.h"
#ifdef NARSFAST_EMU
#include "emu/runtime.h"
#else
#include <cuda_runtime_api.h>
#endif

namespace narsfast {

void launch_rmsprop(const RmspropArguments& arguments, uintptr_t stream) {
  const int error = cuda::rmsprop(arguments, reinterpret_cast<void*>(stream));
  if (error != 0) {
    throw std::runtime_error(std::string("the CUDA kernel was not launched: ") +
                             cudaGetErrorString(static_cast<cudaError_t>(error)));
  }
}

}  // namespace narsfast
