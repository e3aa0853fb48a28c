// Compiled once per instruction set, so it includes no inline functions with external linkage.
#include "common/vector.h"
#include "optimizer/kernels.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// A group's constants in all lanes.
struct Constants {
  Vector<float> rate, alpha, beta, epsilon, momentum, decay, ema_step;

  Constants(const RmspropGroup& group, double ema_step_value)
      : rate(lanes(group.rate)),
        alpha(lanes(group.alpha)),
        beta(lanes(1 - group.alpha)),
        epsilon(lanes(group.epsilon)),
        momentum(lanes(group.momentum)),
        decay(lanes(group.decay)),
        ema_step(lanes(ema_step_value)) {}

  static NARSFAST_INLINE Vector<float> lanes(double value) { return broadcast(static_cast<float>(value)); }
};

// Access to a full vector, or to its first `count` lanes.
struct FullVector {
  NARSFAST_INLINE Vector<float> load(const float* at) const { return narsfast::NARSFAST_ISA::load(at); }
  NARSFAST_INLINE void store(float* at, Vector<float> value) const {
    narsfast::NARSFAST_ISA::store(at, value);
  }
};
struct PartialVector {
  int64_t count;
  NARSFAST_INLINE Vector<float> load(const float* at) const { return load_partial<float>(at, count); }
  NARSFAST_INLINE void store(float* at, Vector<float> value) const { store_partial<float>(at, value, count); }
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
    lanes.store(t.average + i, average + c.ema_step * (weight - velocity - average));
  }
}

// Elements between an access and its prefetch; the hardware prefetcher does not follow five streams well.
constexpr int64_t kPrefetchDistance = 128;

template <bool kDecay, bool kAverage>
NARSFAST_NOINLINE void step(const Constants& c, const RmspropTensor& t) {
  constexpr int64_t kLine = kVectorsPerLine * kLanes<float>;
  int64_t i = 0;
  for (; i + kLine <= t.count; i += kLine) {
    __builtin_prefetch(t.weight + i + kPrefetchDistance, 1);
    __builtin_prefetch(t.gradient + i + kPrefetchDistance);
    __builtin_prefetch(t.square + i + kPrefetchDistance, 1);
    __builtin_prefetch(t.velocity + i + kPrefetchDistance, 1);
    if constexpr (kAverage) __builtin_prefetch(t.average + i + kPrefetchDistance, 1);
#pragma GCC unroll 4
    for (int v = 0; v < kVectorsPerLine; ++v) {
      step_lanes<kDecay, kAverage>(c, t, i + v * kLanes<float>, FullVector{});
    }
  }
  for (; i < t.count; i += kLanes<float>) step_lanes<kDecay, kAverage>(c, t, i, PartialVector{t.count - i});
}

void rmsprop(const RmspropGroup& group, double ema_step, const RmspropTensor& tensor) {
  const Constants constants(group, ema_step);
  // Without decay the term is left out, since 0 times an infinite weight would be NaN.
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
