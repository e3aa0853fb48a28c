#pragma once

// Activations and gates with their derivatives, on vectors. At the kinks, and for NaN and infinity, values
// and derivatives are torch's. Everything has internal linkage.

#include "common/exponential.h"
#include "depthwise_se/arguments.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// min(max(z, 0), 6).
template <class Real>
NARSFAST_INLINE Vector<Real> clamp_to_6(Vector<Real> z) {
  const Vector<Real> zero{};
  return minimum<Real>(zero + Real(6), maximum<Real>(zero, z));  // in this order NaN stays NaN
}

// The logistic function of z and its derivative, from exp(-|z|): nothing overflows or cancels.
template <class Real>
struct Logistic {
  Vector<Real> value, slope;

  static NARSFAST_INLINE Logistic of(Vector<Real> z) {
    const Vector<Real> decay = exponential<Real>(minimum<Real>(z, -z));
    const Vector<Real> share = broadcast(Real(1)) / (decay + Real(1));
    const Vector<Real> rest = decay * share;
    return {z < Vector<Real>{} ? rest : share, rest * share};
  }
};

// act(z).
template <Activation kActivation, class Real>
NARSFAST_INLINE Vector<Real> activate(Vector<Real> z) {
  const Vector<Real> zero{};
  if constexpr (kActivation == Activation::kRelu) {
    return z < zero ? zero : z;
  } else if constexpr (kActivation == Activation::kRelu6) {
    return clamp_to_6<Real>(z);
  } else if constexpr (kActivation == Activation::kHardSwish) {
    return z * minimum<Real>(maximum<Real>(z * Real(1.0 / 6) + Real(0.5), zero), zero + Real(1));
  } else if constexpr (kActivation == Activation::kSilu) {
    return z * Logistic<Real>::of(z).value;
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
  } else if constexpr (kActivation == Activation::kRelu6) {
    return (z > zero) & (z < zero + Real(6)) ? one : zero;
  } else if constexpr (kActivation == Activation::kHardSwish) {
    const Vector<Real> rising = z > zero - Real(3) ? z * Real(1.0 / 3) + Real(0.5) : zero;
    return z < zero + Real(3) ? rising : one;
  } else if constexpr (kActivation == Activation::kSilu) {
    const Logistic<Real> logistic = Logistic<Real>::of(z);
    return logistic.value + z * logistic.slope;
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
    case Activation::kRelu6:
      body(std::integral_constant<Activation, Activation::kRelu6>{});
      break;
    case Activation::kSilu:
      body(std::integral_constant<Activation, Activation::kSilu>{});
      break;
    default:
      body(std::integral_constant<Activation, Activation::kNone>{});
  }
}

// The same functions for a tile, in place. Long ones are called and not inlined: tiles are compiled for every
// window. A copy is handed over, so that the tile itself may stay in registers.
constexpr bool is_long(Activation activation) { return activation == Activation::kSilu; }

template <class Real, bool kDerivative>
NARSFAST_NOINLINE void silu_of_each(Vector<Real>* z, int count) {
  for (int i = 0; i < count; ++i) {
    z[i] = kDerivative ? derivative<Activation::kSilu, Real>(z[i]) : activate<Activation::kSilu, Real>(z[i]);
  }
}

template <class Real, bool kDerivative, int kCount>
NARSFAST_INLINE void silu_of_tile(Vector<Real>* z) {
  Vector<Real> copy[kCount];
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) copy[i] = z[i];
  silu_of_each<Real, kDerivative>(copy, kCount);
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) z[i] = copy[i];
}

template <Activation kActivation, class Real, int kCount>
NARSFAST_INLINE void activate_scaled_tile(Vector<Real>* w) {
  if constexpr (is_long(kActivation)) return silu_of_tile<Real, false, kCount>(w);
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) w[i] = activate_scaled<kActivation, Real>(w[i]);
}

// How far a gate is open, and the derivative of that.
template <Gate kGate, class Real>
NARSFAST_INLINE Vector<Real> open_gate(Vector<Real> value) {
  if constexpr (kGate == Gate::kSigmoid) {
    return Logistic<Real>::of(value).value;
  } else {
    return clamp_to_6<Real>(value + Real(3)) * Real(1.0 / 6);
  }
}

template <Gate kGate, class Real>
NARSFAST_INLINE Vector<Real> gate_derivative(Vector<Real> value) {
  if constexpr (kGate == Gate::kSigmoid) {
    return Logistic<Real>::of(value).slope;
  } else {
    const Vector<Real> zero{};
    const auto inside = (value > zero - Real(3)) & (value < zero + Real(3));
    return inside ? zero + Real(1.0 / 6) : zero;
  }
}

// Calls body with the gate as a compile-time constant.
template <class Body>
NARSFAST_INLINE void with_gate(Gate gate, const Body& body) {
  if (gate == Gate::kSigmoid) {
    body(std::integral_constant<Gate, Gate::kSigmoid>{});
  } else {
    body(std::integral_constant<Gate, Gate::kHardSigmoid>{});
  }
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
