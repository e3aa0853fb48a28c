#pragma once

// d_y from d_out and y, for one vector of channels; the formula is at NormGradient in arguments.h.

#include "depthwise_se/activation.h"
#include "depthwise_se/norms.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real>
struct NormGradientVector {
  Vector<Real> scale, shift;
  Vector<Real> by_z, by_y, constant;       // d_y = by_z * d_z + by_y * y + constant
  Vector<Real> gate = broadcast(Real(1));  // of the current image
  Vector<Real> d_mean{};                   // of the current image

  static NormGradientVector of(const NormGradient& gradient, const Slab<Real>& slab, int64_t i) {
    const Folded<Real> norm = Folded<Real>::of(gradient.norm, slab, i);
    NormGradientVector vector;
    vector.scale = vector.by_z = norm.scale;
    vector.shift = norm.shift;
    vector.by_y = vector.constant = Vector<Real>{};
    if (gradient.count > 0) {
      const Vector<Real> each = norm.scale / static_cast<Real>(-gradient.count);
      vector.by_y = each * load_channels<Real>(gradient.d_weight, slab, i) * norm.inverse;
      vector.constant = each * load_channels<Real>(gradient.d_bias, slab, i) -
                        vector.by_y * load_channels<Real>(gradient.norm.mean, slab, i);
    }
    return vector;
  }

  // Sets the current image: its gate before gate_kind, and its d_pooled.
  void set_gate(Vector<Real> value, Vector<Real> d_pooled, int64_t pixels, Gate gate_kind) {
    with_gate(gate_kind, [&](auto kind) { gate = open_gate<kind.value, Real>(value); });
    d_mean = d_pooled / static_cast<Real>(pixels);
  }

  template <Activation kActivation, bool kGated>
  NARSFAST_INLINE Vector<Real> apply(Vector<Real> d_out, Vector<Real> y) const {
    const Vector<Real> d_a = kGated ? d_out * gate + d_mean : d_out;
    const Vector<Real> d_z = d_a * derivative<kActivation, Real>(y * scale + shift);
    return by_z * d_z + (by_y * y + constant);
  }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
