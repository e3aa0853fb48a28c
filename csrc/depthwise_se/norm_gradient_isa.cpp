// The gradient of the normalization with activation and squeeze-excite: one pass over the maps for all sums,
// one for the gradient of the map. Compiled once per instruction set, so it includes no inline functions with
// external linkage.
#include "depthwise_se/dense.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/norm_gradient.h"
#include "depthwise_se/norms.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Sums over the pixels of an image, (images, channels) each. The sum of d_z follows from them without another
// pass: gate * slope + d_pooled / pixels * bare_slope, and likewise the sum of d_z * (y - mean).
enum Sum { kSlope = 0, kSlopeY, kValue, kBareSlope, kBareSlopeY, kGatedSums };
constexpr int kPlainSums = 2;

template <class Real, class Storage, Activation kActivation, int kSums>
void sum_image(const ReduceArguments& arguments, const FoldedNorm<Real>& norms, int64_t n, Real* sums) {
  const int64_t channels = arguments.channels;
  const Slab<Real> map(channels);
  const int64_t offset = n * arguments.pixels * channels;
  const Storage* y = static_cast<const Storage*>(arguments.y) + offset;
  const Storage* d_out = static_cast<const Storage*>(arguments.d_out) + offset;
  struct Sums {
    Vector<Real> of[kSums];
  };
  Buffer<Sums> totals(map.vectors);
  for (int64_t i = 0; i < map.vectors; ++i) totals.at[i] = Sums{};
  for_tiles<Real>(arguments.pixels, map, [&](int64_t i, auto lanes, int64_t begin, int64_t end) {
    const Folded<Real> norm = norms.vectors.at[i];
    const Vector<Real> mean = load_channels<Real>(arguments.norm.mean, map, i);
    Sums sum{};
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      const int64_t at = pixel * channels + i * kLanes<Real>;
      const Vector<Real> value = lanes.load(y + at);
      const Vector<Real> gradient = lanes.load(d_out + at);
      const Vector<Real> z = value * norm.scale + norm.shift;
      const Vector<Real> centered = value - mean;
      const Vector<Real> slope = derivative<kActivation, Real>(z);
      const Vector<Real> sloped = gradient * slope;
      sum.of[kSlope] += sloped;
      sum.of[kSlopeY] += sloped * centered;
      if constexpr (kSums == kGatedSums) {
        sum.of[kValue] += gradient * activate<kActivation, Real>(z);
        sum.of[kBareSlope] += slope;
        sum.of[kBareSlopeY] += slope * centered;
      }
    }
    for (int s = 0; s < kSums; ++s) totals.at[i].of[s] += sum.of[s];
  });
  for (int64_t i = 0; i < map.vectors; ++i) {
    for (int s = 0; s < kSums; ++s) {
      store_channels<Real>(sums + (s * arguments.images + n) * channels, map, i, totals.at[i].of[s]);
    }
  }
}

// out (columns,) = sum over rows of values (rows, columns), in order.
template <class Real>
void sum_rows(const Real* values, int64_t rows, int64_t columns, void* out) {
  for (int64_t c = 0; c < columns; c += kLanes<Real>) {
    Vector<Real> sum{};
    for (int64_t r = 0; r < rows; ++r) sum += load_partial<Real>(values + r * columns + c, columns - c);
    store_partial<Real>(static_cast<Real*>(out) + c, sum, columns - c);
  }
}

// The gradient through gate, expand, activation and reduce. sums: the results of sum_image; d_gate replaces
// kValue.
template <class Real>
void excite_gradient(const ReduceArguments& arguments, Real* sums) {
  const Excite& excite = arguments.excite;
  const int64_t images = arguments.images;
  const int64_t channels = arguments.channels;
  const int64_t squeezed = excite.squeezed;
  const Real* gate = static_cast<const Real*>(arguments.gate);
  const Real* hidden = static_cast<const Real*>(arguments.hidden);
  Real* d_gate = sums + kValue * images * channels;
  with_gate(excite.gate_kind, [&](auto kind) {
    transform_values<Real>(d_gate, images * channels, d_gate, [&](Vector<Real> value, int64_t i) {
      return value * gate_derivative<kind.value, Real>(load_partial<Real>(gate + i, images * channels - i));
    });
  });
  sum_rows<Real>(d_gate, images, channels, arguments.d_expand_bias);

  Buffer<Real> inner(images * squeezed);
  Buffer<Real> d_hidden(images * squeezed);
  multiply<Real>({d_gate, channels, 1}, static_cast<const Real*>(excite.expand_weight), images, squeezed,
                 channels, d_hidden.at);
  with_activation(excite.activation, [&](auto activation) {
    transform_values<Real>(hidden, images * squeezed, inner.at, [&](Vector<Real> value, int64_t) {
      return activate<activation.value, Real>(value);
    });
    transform_values<Real>(d_hidden.at, images * squeezed, d_hidden.at, [&](Vector<Real> value, int64_t i) {
      return value *
             derivative<activation.value, Real>(load_partial<Real>(hidden + i, images * squeezed - i));
    });
  });
  multiply<Real>({d_gate, 1, channels}, inner.at, channels, squeezed, images,
                 static_cast<Real*>(arguments.d_expand_weight));
  sum_rows<Real>(d_hidden.at, images, squeezed, arguments.d_reduce_bias);
  multiply<Real>({d_hidden.at, 1, squeezed}, static_cast<const Real*>(arguments.pooled), squeezed, channels,
                 images, static_cast<Real*>(arguments.d_reduce_weight));
  multiply<Real>({d_hidden.at, squeezed, 1}, static_cast<const Real*>(excite.reduce_weight), images, channels,
                 squeezed, static_cast<Real*>(arguments.d_pooled));
}

template <class Real, class Storage>
void reduce_typed(const ReduceArguments& arguments) {
  const int64_t images = arguments.images;
  const int64_t channels = arguments.channels;
  const int64_t stride = images * channels;
  const bool gated = arguments.excite.squeezed > 0;
  const FoldedNorm<Real> norms(arguments.norm, channels);
  Buffer<Real> sums((gated ? int{kGatedSums} : kPlainSums) * stride);
  with_activation(arguments.norm.activation, [&](auto activation) {
    for_chunks(images, 1, static_cast<double>(arguments.pixels * channels) / 2, [&](int64_t n, int64_t) {
      if (gated) {
        sum_image<Real, Storage, activation.value, kGatedSums>(arguments, norms, n, sums.at);
      } else {
        sum_image<Real, Storage, activation.value, kPlainSums>(arguments, norms, n, sums.at);
      }
    });
  });
  if (gated) {
    excite_gradient<Real>(arguments, sums.at);
    Buffer<Real> opened(stride);
    open_gates<Real>(arguments.excite.gate_kind, static_cast<const Real*>(arguments.gate), stride, opened.at);
    const Real* d_pooled = static_cast<const Real*>(arguments.d_pooled);
    for (const int sum : {kSlope, kSlopeY}) {
      const Real* bare = sums.at + (sum == kSlope ? kBareSlope : kBareSlopeY) * stride;
      transform_values<Real>(
          sums.at + sum * stride, stride, sums.at + sum * stride, [&](Vector<Real> value, int64_t i) {
            const int64_t left = stride - i;
            return value * load_partial<Real>(opened.at + i, left) + load_partial<Real>(d_pooled + i, left) /
                                                                         static_cast<Real>(arguments.pixels) *
                                                                         load_partial<Real>(bare + i, left);
          });
    }
  }
  sum_rows<Real>(sums.at + kSlope * stride, images, channels, arguments.d_bias);
  Real* d_weight = static_cast<Real*>(arguments.d_weight);
  sum_rows<Real>(sums.at + kSlopeY * stride, images, channels, d_weight);
  transform_values<Real>(d_weight, channels, d_weight, [&](Vector<Real> value, int64_t i) {
    return value * norms.vectors.at[i / kLanes<Real>].inverse;
  });
}

template <class Real, class Storage>
void norm_gradient_typed(const NormGradientArguments& arguments) {
  const NormGradient& norm = arguments.norm;
  const int64_t channels = arguments.channels;
  const Slab<Real> map(channels);
  Buffer<NormGradientVector<Real>> vectors(map.vectors);
  for (int64_t i = 0; i < map.vectors; ++i) vectors.at[i] = NormGradientVector<Real>::of(norm, map, i);
  with_activation(norm.norm.activation, [&](auto activation) {
    for_chunks(arguments.images * arguments.pixels, 64, static_cast<double>(channels) / 4,
               [&](int64_t begin, int64_t end) {
                 const Storage* y = static_cast<const Storage*>(norm.y) + begin * channels;
                 const Storage* d_out = static_cast<const Storage*>(norm.d_out) + begin * channels;
                 Storage* d_y = static_cast<Storage*>(arguments.d_y) + begin * channels;
                 for_tiles<Real>(end - begin, map, [&](int64_t i, auto lanes, int64_t first, int64_t last) {
                   const NormGradientVector<Real> vector = vectors.at[i];
                   for (int64_t pixel = first; pixel < last; ++pixel) {
                     const int64_t at = pixel * channels + i * kLanes<Real>;
                     lanes.store(d_y + at, vector.template apply<activation.value, false>(
                                               lanes.load(d_out + at), lanes.load(y + at)));
                   }
                 });
               });
  });
}

}  // namespace

void reduce(const ReduceArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { reduce_typed<decltype(real), decltype(storage)>(arguments); });
}

void norm_gradient(const NormGradientArguments& arguments) {
  with_types(arguments.dtype, [&](auto real, auto storage) {
    norm_gradient_typed<decltype(real), decltype(storage)>(arguments);
  });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
