#pragma once

#include "optimizer/rmsprop.h"

namespace narsfast {

// Functions of one instruction set, compiled from a source that all instruction sets share.
struct OptimizerKernels {
  // The step of rmsprop() for one tensor; ema_step = 1 - ema_decay.
  void (*rmsprop)(const RmspropGroup& group, double ema_step, const RmspropTensor& tensor);
};

const OptimizerKernels& optimizer_kernels(Isa isa);

}  // namespace narsfast
