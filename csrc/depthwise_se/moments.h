#pragma once

// Mean and sum of squared deviations, in one pass and without cancellation: sums about a value near the mean,
// joined by the rule of Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm", 1979).

#include "depthwise_se/vector.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real>
struct Moments {
  Vector<Real> mean{};
  Vector<Real> m2{};
  Real count = 0;

  NARSFAST_INLINE void join(Vector<Real> other_mean, Vector<Real> other_m2, Real other_count) {
    const Real total = count + other_count;
    const Real share = other_count / total;
    const Vector<Real> delta = other_mean - mean;
    mean += delta * share;
    m2 += other_m2 + delta * delta * (count * share);
    count = total;
  }

  // `values` vectors that lie `step` elements apart.
  NARSFAST_INLINE void add(const Real* values, int64_t number) {
    const Vector<Real> origin = load(values + number / 2 * kLanes<Real>);
    // Several sums at a time: one would wait for itself.
    constexpr int kChains = 4;
    Vector<Real> sums[kChains] = {};
    Vector<Real> squares[kChains] = {};
    int64_t i = 0;
    for (; i + kChains <= number; i += kChains) {
#pragma GCC unroll 4
      for (int chain = 0; chain < kChains; ++chain) {
        const Vector<Real> offset = load(values + (i + chain) * kLanes<Real>) - origin;
        sums[chain] += offset;
        squares[chain] += offset * offset;
      }
    }
    for (; i < number; ++i) {
      const Vector<Real> offset = load(values + i * kLanes<Real>) - origin;
      sums[0] += offset;
      squares[0] += offset * offset;
    }
    const Vector<Real> sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    const Vector<Real> square = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    join_sums(origin, sum, square, static_cast<Real>(number));
  }

  NARSFAST_INLINE void join_sums(Vector<Real> origin, Vector<Real> sum, Vector<Real> squares, Real number) {
    const Vector<Real> offset = sum / number;
    const Vector<Real> rest = squares - sum * offset;
    join(origin + offset, maximum(rest, Vector<Real>{}), number);
  }
};

// Joins the moments of groups, (groups, channels) each, in order.
template <class Real>
void join_groups(const Real* means, const Real* m2s, const Real* counts, int64_t groups, int64_t channels,
                 void* mean, void* m2) {
  for (int64_t c = 0; c < channels; c += kLanes<Real>) {
    Moments<Real> all;
    for (int64_t g = 0; g < groups; ++g) {
      if (counts[g] == 0) continue;
      all.join(load_some<Real>(means + g * channels + c, channels - c),
               load_some<Real>(m2s + g * channels + c, channels - c), counts[g]);
    }
    store_some<Real>(static_cast<Real*>(mean) + c, all.mean, channels - c);
    store_some<Real>(static_cast<Real*>(m2) + c, all.m2, channels - c);
  }
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
