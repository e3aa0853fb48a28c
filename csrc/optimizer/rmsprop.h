#pragma once

#include <cstdint>

#include "common/dispatch.h"

namespace narsfast {

// The constants of one parameter group; rate is the learning rate.
struct RmspropGroup {
  double rate, alpha, epsilon, momentum, decay;
};

// One weight: `count` float32 elements, in the same memory order in all arrays; `average` may be null.
struct RmspropTensor {
  float* weight;
  const float* gradient;
  float* square;
  float* velocity;
  float* average;
  int64_t count;
  int64_t group;
};

struct RmspropArguments {
  const RmspropGroup* groups;
  const RmspropTensor* tensors;
  int64_t count;  // tensors
  double ema_decay;
};

// One step of RMSProp in TensorFlow's form (epsilon inside the root, rate inside the momentum) and of the
// exponential moving averages of the weights, in one pass. For each element, in float32:
//   g = gradient + decay * weight;  square = alpha * square + (1 - alpha) * g * g
//   velocity = momentum * velocity + rate * g / sqrt(square + epsilon)
//   weight = weight - velocity;     average = average + (1 - ema_decay) * (weight - average)
// The results do not depend on the number of threads.
void rmsprop(Isa isa, const RmspropArguments& arguments);

}  // namespace narsfast
