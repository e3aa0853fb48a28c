#pragma once

#include <cstdint>

#include "optimizer/rmsprop.h"

namespace narsfast {

// rmsprop() on a CUDA device, enqueued on `stream`, a cudaStream_t of the current device; waits for nothing
// and allocates nothing. The tensors' arrays are of the device, the tables of arguments are not. There in
// every build; throws std::runtime_error with CUDA's words where it fails, or where this build has no
// kernels.
void launch_rmsprop(const RmspropArguments& arguments, uintptr_t stream);

}  // namespace narsfast
