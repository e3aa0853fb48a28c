// Batch statistics of a map, and its normalisation with activation and squeeze-excite. Compiled once per
// instruction set; it includes nothing that has inline functions with external linkage.
#include "depthwise_se/dense.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/moments.h"
#include "depthwise_se/pixels.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real, class Storage>
void moments_typed(const MomentsArguments& arguments) {
  const int64_t channels = arguments.channels;
  const int64_t blocks = count_blocks<Real>(channels);
  const int64_t total = arguments.images * arguments.pixels;
  const int64_t chunks = (total + kPixelChunk - 1) / kPixelChunk;
  const int64_t groups = count_groups(chunks);
  Buffer<Real> means(groups * channels);
  Buffer<Real> m2s(groups * channels);
  Buffer<Real> counts(groups);
  const Storage* y = static_cast<const Storage*>(arguments.y);
  for_chunks(groups, 1, static_cast<double>(total * channels / groups) / 4, [&](int64_t group, int64_t) {
    const int64_t begin = chunks * group / groups * kPixelChunk;
    const int64_t stop = chunks * (group + 1) / groups * kPixelChunk;
    const int64_t end = stop < total ? stop : total;
    counts.at[group] = static_cast<Real>(end - begin);
    Moments<Real>* all = static_cast<Moments<Real>*>(
        thread_scratch(static_cast<size_t>(blocks * kVectors) * sizeof(Moments<Real>)));
    for (int64_t i = 0; i < blocks * kVectors; ++i) all[i] = Moments<Real>();
    for (int64_t first = begin; first < end; first += kPixelChunk) {
      const int64_t pixels = first + kPixelChunk < end ? kPixelChunk : end - first;
      const Storage* image = y + first * channels;
      for (int64_t b = 0; b < blocks; ++b) {
        const Block block = block_at<Real>(b, channels);
        with_whole<Real>(block, [&](auto whole) {
          Vector<Real> origin[kVectors];
          for (int v = 0; v < kVectors; ++v) {
            origin[v] = load_pixel<Real, whole.value>(image, pixels / 2, v, block);
          }
          Vector<Real> sums[2][kVectors];
          sum_pixels<Real, 2>(pixels, sums, [&](int64_t pixel, int v, Vector<Real>* sum) {
            const Vector<Real> offset = load_pixel<Real, whole.value>(image, pixel, v, block) - origin[v];
            sum[0] += offset;
            sum[1] += offset * offset;
          });
          for (int v = 0; v < kVectors; ++v) {
            all[b * kVectors + v].join_sums(origin[v], sums[0][v], sums[1][v], static_cast<Real>(pixels));
          }
        });
      }
    }
    for (int64_t i = 0; i * kLanes<Real> < channels; ++i) {
      const int64_t c = i * kLanes<Real>;
      store_some<Real>(means.at + group * channels + c, all[i].mean, channels - c);
      store_some<Real>(m2s.at + group * channels + c, all[i].m2, channels - c);
    }
  });
  join_groups<Real>(means.at, m2s.at, counts.at, groups, channels, arguments.mean, arguments.m2);
}

template <class Real, class Storage>
void pool_image(const NormaliseArguments& arguments, int64_t n, Real* pooled) {
  const Storage* y = static_cast<const Storage*>(arguments.y) + n * arguments.pixels * arguments.channels;
  for (int64_t b = 0; b < count_blocks<Real>(arguments.channels); ++b) {
    const Block block = block_at<Real>(b, arguments.channels);
    const BlockAffine<Real> norm = load_affine<Real>(arguments.norm, block.first, arguments.channels);
    Vector<Real> sums[1][kVectors];
    with_activation(norm.activation, [&](auto activation) {
      with_whole<Real>(block, [&](auto whole) {
        sum_pixels<Real, 1>(arguments.pixels, sums, [&](int64_t pixel, int v, Vector<Real>* sum) {
          const Vector<Real> value = load_pixel<Real, whole.value>(y, pixel, v, block);
          sum[0] += activate<activation.value, Real>(value * norm.scale[v] + norm.shift[v]);
        });
      });
    });
    for (int v = 0; v < kVectors; ++v) sums[0][v] = sums[0][v] / static_cast<Real>(arguments.pixels);
    store_block<Real>(sums[0], pooled, block.first, arguments.channels);
  }
}

// Pixels [begin, end) of the whole map; factor: (channels,), null = 1.
template <class Real, class Storage, Activation kActivation>
void normalise_pixels(const NormaliseArguments& arguments, int64_t begin, int64_t end, const Real* factor) {
  const Real* scale = static_cast<const Real*>(arguments.norm.scale);
  const Real* shift = static_cast<const Real*>(arguments.norm.shift);
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    const Storage* from = static_cast<const Storage*>(arguments.y) + pixel * arguments.channels;
    Storage* to = static_cast<Storage*>(arguments.out) + pixel * arguments.channels;
    for_channels<Real>(arguments.channels, [&](int64_t c, int64_t count) {
      const Vector<Real> z = load_some<Real>(from + c, count) * load_some<Real>(scale + c, count) +
                             load_some<Real>(shift + c, count);
      Vector<Real> value = activate<kActivation, Real>(z);
      if (factor != nullptr) value *= load_some<Real>(factor + c, count);
      store_some<Real>(to + c, value, count);
    });
  }
}

template <class Real, class Storage>
void normalise_typed(const NormaliseArguments& arguments) {
  const int64_t channels = arguments.channels;
  const int64_t pixels = arguments.pixels;
  with_activation(arguments.norm.activation, [&](auto activation) {
    if (arguments.excite.squeezed == 0) {
      for_chunks(arguments.images * pixels, 64, static_cast<double>(channels) / 4,
                 [&](int64_t begin, int64_t end) {
                   normalise_pixels<Real, Storage, activation.value>(arguments, begin, end, nullptr);
                 });
      return;
    }
    // Images together, so that the small products have rows, but few enough that their maps stay in the
    // cache.
    constexpr int64_t kCached = 1 << 16;
    const int64_t fitting = kCached / (pixels * channels + 1);
    const int64_t together = fitting < 1 ? 1 : fitting > 16 ? 16 : fitting;
    const int64_t squeezed = arguments.excite.squeezed;
    for_chunks(arguments.images, together, static_cast<double>(channels * (pixels + squeezed)) / 2,
               [&](int64_t begin, int64_t end) {
                 Real* pooled = static_cast<Real*>(arguments.pooled) + begin * channels;
                 Real* gate = static_cast<Real*>(arguments.gate) + begin * channels;
                 for (int64_t n = begin; n < end; ++n) {
                   pool_image<Real, Storage>(arguments, n, pooled + (n - begin) * channels);
                 }
                 Real* inner = static_cast<Real*>(
                     thread_scratch(static_cast<size_t>(squeezed * (end - begin) + channels) * sizeof(Real)));
                 Real* factor = inner + squeezed * (end - begin);
                 excite_images<Real>(arguments.excite, end - begin, channels, pooled,
                                     static_cast<Real*>(arguments.hidden) + begin * squeezed, inner, gate);
                 for (int64_t n = begin; n < end; ++n) {
                   map_values<Real>(gate + (n - begin) * channels, channels, factor,
                                    [](Vector<Real> value, int64_t) { return hard_sigmoid<Real>(value); });
                   normalise_pixels<Real, Storage, activation.value>(arguments, n * pixels, (n + 1) * pixels,
                                                                     factor);
                 }
               });
  });
}

}  // namespace

void moments(const MomentsArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { moments_typed<decltype(real), decltype(storage)>(arguments); });
}

void normalise(const NormaliseArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { normalise_typed<decltype(real), decltype(storage)>(arguments); });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
