#pragma once

#include "optimizer/rmsprop.h"

namespace narsfast::cuda {

// Enqueues the step on `stream`, a cudaStream_t. Returns 0 or a cudaError_t.
int rmsprop(const RmspropArguments& arguments, void* stream);

}  // namespace narsfast::cuda
