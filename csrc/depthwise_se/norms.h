#pragma once

// Norms folded into one multiplication and one addition, for vectors of channels.

#include "depthwise_se/arguments.h"
#include "depthwise_se/slab.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// z = scale * y + shift. Lanes past the last channel are 0.
template <class Real>
struct Folded {
  Vector<Real> scale, shift, inverse;  // inverse = 1 / sqrt(var + eps)

  static Folded of(const Norm& norm, const Slab<Real>& slab, int64_t i) {
    const Vector<Real> one = broadcast(Real(1));
    const Vector<Real> var = load_channels<Real>(norm.var, slab, i);
    const Vector<Real> inverse = one / square_root<Real>(var + static_cast<Real>(norm.eps));
    const Vector<Real> scale = load_channels<Real>(norm.weight, slab, i) * inverse;
    const Vector<Real> shift =
        load_channels<Real>(norm.bias, slab, i) - load_channels<Real>(norm.mean, slab, i) * scale;
    return {scale, shift, inverse};
  }
};

// A norm and its activation, for all channels of a map.
template <class Real>
struct FoldedNorm {
  bool active;
  Activation activation;
  Buffer<Folded<Real>> vectors;

  // The result of the norm is multiplied by `factor`.
  FoldedNorm(const Norm& norm, int64_t channels, Real factor = 1)
      : active(norm.weight != nullptr),
        activation(norm.activation),
        vectors(active ? count_vectors<Real>(channels) : 0) {
    if (!active) return;
    const Slab<Real> all(channels);
    for (int64_t i = 0; i < all.vectors; ++i) {
      vectors.at[i] = Folded<Real>::of(norm, all, i);
      vectors.at[i].scale *= factor;
      vectors.at[i].shift *= factor;
    }
  }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
