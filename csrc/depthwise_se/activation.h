#pragma once

// Activations and their derivatives, on vectors. Everything has internal linkage.

#include "common/vector.h"
#include "depthwise_se/arguments.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// act(z). At the kinks, and for NaN, it and its derivative are torch's.
template <Activation kActivation, class Real>
NARSFAST_INLINE Vector<Real> activate(Vector<Real> z) {
  const Vector<Real> zero{};
  if constexpr (kActivation == Activation::kRelu) {
    return z < zero ? zero : z;
  } else if constexpr (kActivation == Activation::kHardSwish) {
    return z * minimum<Real>(maximum<Real>(z * Real(1.0 / 6) + Real(0.5), zero), zero + Real(1));
  } else {
    return z;
  }
}

// A factor for z that makes the activation cheaper where scaling z is free: for w = z / sqrt(6), hard-swish
// is w * min(max(w + sqrt(6) / 2, 0), sqrt(6)), where an addition takes the place of a multiply-add.
template <class Real>
constexpr Real kRootOf6 = Real(2.4494897427831780981972840747059);

template <class Real>
constexpr Real activation_scale(Activation activation) {
  return activation == Activation::kHardSwish ? 1 / kRootOf6<Real> : Real(1);
}

// act(z) from w = activation_scale * z.
template <Activation kActivation, class Real>
NARSFAST_INLINE Vector<Real> activate_scaled(Vector<Real> w) {
  if constexpr (kActivation == Activation::kHardSwish) {
    const Vector<Real> zero{};
    return w * minimum<Real>(maximum<Real>(w + kRootOf6<Real> / 2, zero), zero + kRootOf6<Real>);
  } else {
    return activate<kActivation, Real>(w);
  }
}

// act'(z).
template <Activation kActivation, class Real>
NARSFAST_INLINE Vector<Real> derivative(Vector<Real> z) {
  const Vector<Real> zero{};
  const Vector<Real> one = zero + Real(1);
  if constexpr (kActivation == Activation::kRelu) {
    return z <= zero ? zero : one;
  } else if constexpr (kActivation == Activation::kHardSwish) {
    const Vector<Real> rising = z > zero - Real(3) ? z * Real(1.0 / 3) + Real(0.5) : zero;
    return z < zero + Real(3) ? rising : one;
  } else {
    return one;
  }
}

// Calls body with the activation as a compile-time constant.
template <class Body>
NARSFAST_INLINE void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kRelu:
      body(std::integral_constant<Activation, Activation::kRelu>{});
      break;
    case Activation::kHardSwish:
      body(std::integral_constant<Activation, Activation::kHardSwish>{});
      break;
    default:
      body(std::integral_constant<Activation, Activation::kNone>{});
  }
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
