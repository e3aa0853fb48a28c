// Compiled once per instruction set; it includes nothing that has inline functions with external linkage.
#include "depthwise_se/vector.h"
#include "optimizer/kernels.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// A group's constants in all lanes.
struct Constants {
  Vector<float> rate, alpha, beta, epsilon, momentum, decay, share;

  Constants(const RmspropGroup& group, double share)
      : rate(lanes(group.rate)),
        alpha(lanes(group.alpha)),
        beta(lanes(1 - group.alpha)),
        epsilon(lanes(group.epsilon)),
        momentum(lanes(group.momentum)),
        decay(lanes(group.decay)),
        share(lanes(share)) {}

  static NARSFAST_INLINE Vector<float> lanes(double value) { return broadcast(static_cast<float>(value)); }
};

// A whole vector, or the first `count` lanes of one.
struct Whole {
  NARSFAST_INLINE Vector<float> load(const float* at) const { return narsfast::NARSFAST_ISA::load(at); }
  NARSFAST_INLINE void store(float* at, Vector<float> value) const {
    narsfast::NARSFAST_ISA::store(at, value);
  }
};
struct Some {
  int64_t count;
  NARSFAST_INLINE Vector<float> load(const float* at) const { return load_some<float>(at, count); }
  NARSFAST_INLINE void store(float* at, Vector<float> value) const { store_some<float>(at, value, count); }
};

template <bool kDecay, bool kAverage, class Lanes>
NARSFAST_INLINE void step_lanes(const Constants& c, const RmspropTensor& t, int64_t i, const Lanes& lanes) {
  const Vector<float> weight = lanes.load(t.weight + i);
  Vector<float> gradient = lanes.load(t.gradient + i);
  if constexpr (kDecay) gradient += c.decay * weight;
  const Vector<float> square = c.alpha * lanes.load(t.square + i) + c.beta * gradient * gradient;
  const Vector<float> velocity =
      c.momentum * lanes.load(t.velocity + i) + c.rate * gradient / square_root<float>(square + c.epsilon);
  lanes.store(t.square + i, square);
  lanes.store(t.velocity + i, velocity);
  lanes.store(t.weight + i, weight - velocity);
  if constexpr (kAverage) {
    const Vector<float> average = lanes.load(t.average + i);
    lanes.store(t.average + i, average + c.share * (weight - velocity - average));
  }
}

// Cache lines are asked for this many elements ahead, since five streams are more than hardware follows well.
constexpr int64_t kAhead = 128;

template <bool kDecay, bool kAverage>
NARSFAST_APART void step(const Constants& c, const RmspropTensor& t) {
  constexpr int64_t kLine = kVectors * kLanes<float>;
  int64_t i = 0;
  for (; i + kLine <= t.count; i += kLine) {
    __builtin_prefetch(t.weight + i + kAhead, 1);
    __builtin_prefetch(t.gradient + i + kAhead);
    __builtin_prefetch(t.square + i + kAhead, 1);
    __builtin_prefetch(t.velocity + i + kAhead, 1);
    if constexpr (kAverage) __builtin_prefetch(t.average + i + kAhead, 1);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      step_lanes<kDecay, kAverage>(c, t, i + v * kLanes<float>, Whole{});
    }
  }
  for (; i < t.count; i += kLanes<float>) step_lanes<kDecay, kAverage>(c, t, i, Some{t.count - i});
}

void rmsprop(const RmspropGroup& group, double share, const RmspropTensor& tensor) {
  const Constants constants(group, share);
  // Without decay an infinite weight stays: 0 times it would be no number.
  if (group.decay != 0) {
    tensor.average != nullptr ? step<true, true>(constants, tensor) : step<true, false>(constants, tensor);
  } else {
    tensor.average != nullptr ? step<false, true>(constants, tensor) : step<false, false>(constants, tensor);
  }
}

}  // namespace

extern const OptimizerKernels kOptimizerKernels;
const OptimizerKernels kOptimizerKernels = {rmsprop};

}  // namespace NARSFAST_ISA
}  // namespace narsfast
