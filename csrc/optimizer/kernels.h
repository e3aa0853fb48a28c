#pragma once

#include "optimizer/rmsprop.h"

namespace narsfast {

// Functions compiled once per instruction set from one source.
struct OptimizerKernels {
  // The step of rmsprop() for one tensor; share = 1 - kept.
  void (*rmsprop)(const RmspropGroup& group, double share, const RmspropTensor& tensor);
};

const OptimizerKernels& optimizer_kernels(Isa isa);

}  // namespace narsfast
