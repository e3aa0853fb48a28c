#pragma once

#include <cstdint>

#include "optimizer/rmsprop.h"

namespace narsfast {

// Enqueues rmsprop() on `stream`, a cudaStream_t of the current CUDA device, without waiting or allocating.
// The arrays of the tensors are on the device, the tables of arguments on the host. Part of every build;
// throws std::runtime_error with CUDA's message where the launch fails, or where this build has no CUDA
// kernels.
void launch_rmsprop(const RmspropArguments& arguments, uintptr_t stream);

}  // namespace narsfast
