// The gradient of the normalisation with activation and squeeze-excite: one pass for all sums, one for the
// map. Compiled once per instruction set; it includes nothing that has inline functions with external
// linkage.
#include "depthwise_se/dense.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/norm_gradient.h"
#include "depthwise_se/pixels.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Sums over the pixels of an image, (images, channels) each. With them d_z needs no pass of its own:
// sum d_z = gate * slope + d_pooled / pixels * bare_slope, and likewise times (y - mean).
enum Sum { kSlope = 0, kSlopeY, kValue, kBareSlope, kBareSlopeY, kGatedSums };
constexpr int kPlainSums = 2;

template <class Real, class Storage, Activation kActivation, int kSums>
void sum_image(const ReduceArguments& arguments, int64_t n, Real* sums) {
  const int64_t offset = n * arguments.pixels * arguments.channels;
  const Storage* y = static_cast<const Storage*>(arguments.y) + offset;
  const Storage* d_out = static_cast<const Storage*>(arguments.d_out) + offset;
  const int64_t stride = arguments.images * arguments.channels;
  for (int64_t b = 0; b < count_blocks<Real>(arguments.channels); ++b) {
    const Block block = block_at<Real>(b, arguments.channels);
    const BlockAffine<Real> norm = load_affine<Real>(arguments.norm, block.first, arguments.channels);
    Vector<Real> mean[kVectors];
    load_block<Real>(arguments.mean, block.first, arguments.channels, mean);
    Vector<Real> total[kSums][kVectors];
    with_whole<Real>(block, [&](auto whole) {
      sum_pixels<Real, kSums>(arguments.pixels, total, [&](int64_t pixel, int v, Vector<Real>* sum) {
        const Vector<Real> value = load_pixel<Real, whole.value>(y, pixel, v, block);
        const Vector<Real> gradient = load_pixel<Real, whole.value>(d_out, pixel, v, block);
        const Vector<Real> z = value * norm.scale[v] + norm.shift[v];
        const Vector<Real> centred = value - mean[v];
        const Vector<Real> slope = derivative<kActivation, Real>(z);
        sum[kSlope] += gradient * slope;
        sum[kSlopeY] += gradient * slope * centred;
        if constexpr (kSums == kGatedSums) {
          sum[kValue] += gradient * activate<kActivation, Real>(z);
          sum[kBareSlope] += slope;
          sum[kBareSlopeY] += slope * centred;
        }
      });
    });
    for (int s = 0; s < kSums; ++s) {
      store_block<Real>(total[s], sums + s * stride + n * arguments.channels, block.first,
                        arguments.channels);
    }
  }
}

// out (columns,) = sum over rows of values (rows, columns), in order.
template <class Real>
void sum_rows(const Real* values, int64_t rows, int64_t columns, void* out) {
  for (int64_t c = 0; c < columns; c += kLanes<Real>) {
    Vector<Real> sum{};
    for (int64_t r = 0; r < rows; ++r) sum += load_some<Real>(values + r * columns + c, columns - c);
    store_some<Real>(static_cast<Real*>(out) + c, sum, columns - c);
  }
}

// Back through gate, expand, activation and reduce. sums: as sum_image left them; d_gate takes the place of
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
  map_values<Real>(d_gate, images * channels, d_gate, [&](Vector<Real> value, int64_t i) {
    return value * hard_sigmoid_derivative<Real>(load_some<Real>(gate + i, images * channels - i));
  });
  sum_rows<Real>(d_gate, images, channels, arguments.d_expand_bias);

  Buffer<Real> inner(images * squeezed);
  Buffer<Real> d_hidden(images * squeezed);
  multiply<Real>({d_gate, channels, 1}, static_cast<const Real*>(excite.expand_weight), images, squeezed,
                 channels, d_hidden.at);
  with_activation(excite.activation, [&](auto activation) {
    map_values<Real>(hidden, images * squeezed, inner.at,
                     [&](Vector<Real> value, int64_t) { return activate<activation.value, Real>(value); });
    map_values<Real>(d_hidden.at, images * squeezed, d_hidden.at, [&](Vector<Real> value, int64_t i) {
      return value * derivative<activation.value, Real>(load_some<Real>(hidden + i, images * squeezed - i));
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
  Buffer<Real> sums((gated ? int{kGatedSums} : kPlainSums) * stride);
  with_activation(arguments.norm.activation, [&](auto activation) {
    for_chunks(images, 1, static_cast<double>(arguments.pixels * channels) / 2, [&](int64_t n, int64_t) {
      if (gated) {
        sum_image<Real, Storage, activation.value, kGatedSums>(arguments, n, sums.at);
      } else {
        sum_image<Real, Storage, activation.value, kPlainSums>(arguments, n, sums.at);
      }
    });
  });
  if (gated) {
    excite_gradient<Real>(arguments, sums.at);
    const Real* gate = static_cast<const Real*>(arguments.gate);
    const Real* d_pooled = static_cast<const Real*>(arguments.d_pooled);
    for (const int sum : {kSlope, kSlopeY}) {
      const Real* bare = sums.at + (sum == kSlope ? kBareSlope : kBareSlopeY) * stride;
      map_values<Real>(sums.at + sum * stride, stride, sums.at + sum * stride,
                       [&](Vector<Real> value, int64_t i) {
                         const int64_t left = stride - i;
                         return value * hard_sigmoid<Real>(load_some<Real>(gate + i, left)) +
                                load_some<Real>(d_pooled + i, left) / static_cast<Real>(arguments.pixels) *
                                    load_some<Real>(bare + i, left);
                       });
    }
  }
  sum_rows<Real>(sums.at + kSlope * stride, images, channels, arguments.d_z_sum);
  sum_rows<Real>(sums.at + kSlopeY * stride, images, channels, arguments.d_z_y_sum);
}

template <class Real, class Storage>
void norm_gradient_typed(const NormGradientArguments& arguments) {
  const NormGradient& norm = arguments.norm;
  const int64_t channels = arguments.channels;
  const Real* scale = static_cast<const Real*>(norm.norm.scale);
  const Real* shift = static_cast<const Real*>(norm.norm.shift);
  const Real* by_z = static_cast<const Real*>(norm.by_z);
  const Real* by_y = static_cast<const Real*>(norm.by_y);
  const Real* constant = static_cast<const Real*>(norm.constant);
  const Real* gate = static_cast<const Real*>(norm.gate);
  const Real* d_pooled = static_cast<const Real*>(norm.d_pooled);
  with_activation(norm.norm.activation, [&](auto activation) {
    for_chunks(arguments.images * arguments.pixels, 64, static_cast<double>(channels) / 4,
               [&](int64_t begin, int64_t end) {
                 for (int64_t pixel = begin; pixel < end; ++pixel) {
                   const Storage* y = static_cast<const Storage*>(norm.y) + pixel * channels;
                   const Storage* d_out = static_cast<const Storage*>(norm.d_out) + pixel * channels;
                   Storage* d_y = static_cast<Storage*>(arguments.d_y) + pixel * channels;
                   const int64_t image = pixel / arguments.pixels * channels;
                   for_channels<Real>(channels, [&](int64_t c, int64_t count) {
                     NormGradientVector<Real> vector{};
                     vector.scale = load_some<Real>(scale + c, count);
                     vector.shift = load_some<Real>(shift + c, count);
                     vector.by_z = load_some<Real>(by_z + c, count);
                     vector.by_y = load_some<Real>(by_y + c, count);
                     vector.constant = load_some<Real>(constant + c, count);
                     if (gate != nullptr) {
                       vector.set_gate(load_some<Real>(gate + image + c, count),
                                       load_some<Real>(d_pooled + image + c, count), arguments.pixels);
                     }
                     const Vector<Real> gradient = load_some<Real>(d_out + c, count);
                     store_some<Real>(d_y + c,
                                      vector.template apply<activation.value>(
                                          gradient, load_some<Real>(y + c, count), gate != nullptr),
                                      count);
                   });
                 }
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
