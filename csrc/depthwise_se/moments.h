#pragma once

// Mean and variance in one pass, without cancellation: sums are shifted by a value near the mean and combined
// by the rule of Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm", 1979).

#include "depthwise_se/slab.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Running mean and m2 of one vector of channels.
template <class Real>
struct Moments {
  Vector<Real> mean{};
  Vector<Real> m2{};  // sum of squared deviations
  Real count = 0;
  Vector<Real> origin{}, sum{}, squares{};  // sums of the values since the last join, shifted by origin

  NARSFAST_INLINE void join(Vector<Real> other_mean, Vector<Real> other_m2, Real other_count) {
    const Real total = count + other_count;
    const Real share = other_count / total;
    const Vector<Real> delta = other_mean - mean;
    mean += delta * share;
    m2 += other_m2 + delta * delta * (count * share);
    count = total;
  }

  // Joins the `number` values in the sums, and shifts later values by the mean so far.
  NARSFAST_INLINE void join_sums(Real number) {
    const Vector<Real> offset = sum / number;
    const Vector<Real> rest = squares - sum * offset;
    join(origin + offset, maximum<Real>(rest, Vector<Real>{}), number);
    origin = mean;
    sum = squares = Vector<Real>{};
  }
};

// Joins the moments of the groups, (groups, channels) each, in order.
template <class Real>
void join_groups(const Real* means, const Real* m2s, const Real* counts, int64_t groups, int64_t channels,
                 void* mean, void* var) {
  const Slab<Real> map(channels);
  for (int64_t i = 0; i < map.vectors; ++i) {
    Moments<Real> all;
    for (int64_t g = 0; g < groups; ++g) {
      if (counts[g] == 0) continue;
      all.join(load_channels<Real>(means + g * channels, map, i),
               load_channels<Real>(m2s + g * channels, map, i), counts[g]);
    }
    store_channels<Real>(mean, map, i, all.mean);
    store_channels<Real>(var, map, i, all.count > 0 ? all.m2 / all.count : Vector<Real>{});
  }
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
