#pragma once

// d_y from d_out and y, for one vector of channels (NormGradient in arguments.h has the formula).

#include "depthwise_se/dense.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real>
struct NormGradientVector {
  Vector<Real> scale, shift, by_z, by_y, constant;
  Vector<Real> gate, d_mean;  // of one image

  NARSFAST_INLINE void set_gate(Vector<Real> before_sigmoid, Vector<Real> d_pooled, int64_t pixels) {
    gate = hard_sigmoid<Real>(before_sigmoid);
    d_mean = d_pooled / static_cast<Real>(pixels);
  }

  template <Activation kActivation>
  NARSFAST_INLINE Vector<Real> apply(Vector<Real> d_out, Vector<Real> y, bool gated) const {
    const Vector<Real> d_a = gated ? d_out * gate + d_mean : d_out;
    const Vector<Real> d_z = d_a * derivative<kActivation, Real>(y * scale + shift);
    return by_z * d_z + by_y * y + constant;
  }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
