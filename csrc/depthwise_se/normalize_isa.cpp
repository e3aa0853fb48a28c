// The batch statistics of a map, and its normalization with activation and squeeze-excite. Compiled once per
// instruction set, so it includes no inline functions with external linkage.
#include "depthwise_se/dense.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/moments.h"
#include "depthwise_se/norms.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real, class Storage>
void moments_typed(const MomentsArguments& arguments) {
  constexpr int64_t kChunk = 256;  // pixels per join
  const int64_t channels = arguments.channels;
  const Slab<Real> map(channels);
  const int64_t total = arguments.images * arguments.pixels;
  const int64_t chunks = (total + kChunk - 1) / kChunk;
  constexpr int64_t kGroups = 32;
  const int64_t groups = chunks < 1 ? 1 : chunks < kGroups ? chunks : kGroups;
  Buffer<Real> means(groups * channels);
  Buffer<Real> m2s(groups * channels);
  Buffer<Real> counts(groups);
  for_chunks(groups, 1, static_cast<double>(total * channels / groups) / 4, [&](int64_t group, int64_t) {
    const int64_t begin = chunks * group / groups * kChunk;
    const int64_t stop = chunks * (group + 1) / groups * kChunk;
    const int64_t end = stop < total ? stop : total;
    counts.at[group] = static_cast<Real>(end - begin);
    Buffer<Moments<Real>> moments(map.vectors);
    for (int64_t i = 0; i < map.vectors; ++i) moments.at[i] = Moments<Real>();
    for (int64_t first = begin; first < end; first += kChunk) {
      const int64_t pixels = first + kChunk < end ? kChunk : end - first;
      const Storage* y = static_cast<const Storage*>(arguments.y) + first * channels;
      if (first == begin) {
        for_vectors<Real>(map, [&](int64_t i, auto lanes) {
          moments.at[i].origin = lanes.load(y + pixels / 2 * channels + i * kLanes<Real>);
        });
      }
      for_tiles<Real>(pixels, map, [&](int64_t i, auto lanes, int64_t from, int64_t to) {
        const Vector<Real> origin = moments.at[i].origin;
        Vector<Real> sum{};
        Vector<Real> squares{};
        for (int64_t pixel = from; pixel < to; ++pixel) {
          const Vector<Real> offset = lanes.load(y + pixel * channels + i * kLanes<Real>) - origin;
          sum += offset;
          squares += offset * offset;
        }
        moments.at[i].sum += sum;
        moments.at[i].squares += squares;
      });
      for (int64_t i = 0; i < map.vectors; ++i) moments.at[i].join_sums(static_cast<Real>(pixels));
    }
    for (int64_t i = 0; i < map.vectors; ++i) {
      store_channels<Real>(means.at + group * channels, map, i, moments.at[i].mean);
      store_channels<Real>(m2s.at + group * channels, map, i, moments.at[i].m2);
    }
  });
  join_groups<Real>(means.at, m2s.at, counts.at, groups, channels, arguments.mean, arguments.var);
}

// pooled (channels,) = the mean over pixels of the activated map of image n.
template <class Real, class Storage, Activation kActivation>
void pool_image(const NormalizeArguments& arguments, const FoldedNorm<Real>& norms, int64_t n, Real* pooled) {
  const int64_t channels = arguments.channels;
  const Slab<Real> map(channels);
  const Storage* y = static_cast<const Storage*>(arguments.y) + n * arguments.pixels * channels;
  Buffer<Vector<Real>> sums(map.vectors);
  for (int64_t i = 0; i < map.vectors; ++i) sums.at[i] = Vector<Real>{};
  for_tiles<Real>(arguments.pixels, map, [&](int64_t i, auto lanes, int64_t begin, int64_t end) {
    const Folded<Real> norm = norms.vectors.at[i];
    Vector<Real> sum{};
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      const Vector<Real> value = lanes.load(y + pixel * channels + i * kLanes<Real>);
      sum += activate<kActivation, Real>(value * norm.scale + norm.shift);
    }
    sums.at[i] += sum;
  });
  for (int64_t i = 0; i < map.vectors; ++i) {
    store_channels<Real>(pooled, map, i, sums.at[i] / static_cast<Real>(arguments.pixels));
  }
}

// Normalizes pixels [begin, end), counted over all images. opened: the gates (channels,), or null.
template <class Real, class Storage, Activation kActivation>
void normalize_pixels(const NormalizeArguments& arguments, const FoldedNorm<Real>& norms, int64_t begin,
                      int64_t end, const Real* opened) {
  const int64_t channels = arguments.channels;
  const Slab<Real> map(channels);
  const Storage* y = static_cast<const Storage*>(arguments.y) + begin * channels;
  Storage* out = static_cast<Storage*>(arguments.out) + begin * channels;
  for_tiles<Real>(end - begin, map, [&](int64_t i, auto lanes, int64_t first, int64_t last) {
    const Folded<Real> norm = norms.vectors.at[i];
    const Vector<Real> factor = opened == nullptr ? broadcast(Real(1)) : load_channels<Real>(opened, map, i);
    for (int64_t pixel = first; pixel < last; ++pixel) {
      const int64_t at = pixel * channels + i * kLanes<Real>;
      const Vector<Real> z = lanes.load(y + at) * norm.scale + norm.shift;
      lanes.store(out + at, activate<kActivation, Real>(z) * factor);
    }
  });
}

template <class Real, class Storage>
void normalize_typed(const NormalizeArguments& arguments) {
  const int64_t channels = arguments.channels;
  const int64_t pixels = arguments.pixels;
  const int64_t squeezed = arguments.excite.squeezed;
  const FoldedNorm<Real> norms(arguments.norm, channels);
  with_activation(arguments.norm.activation, [&](auto activation) {
    if (squeezed == 0) {
      for_chunks(arguments.images * pixels, 64, static_cast<double>(channels) / 4,
                 [&](int64_t begin, int64_t end) {
                   normalize_pixels<Real, Storage, activation.value>(arguments, norms, begin, end, nullptr);
                 });
      return;
    }
    const Panels<Real> expand(static_cast<const Real*>(arguments.excite.expand_weight), channels, squeezed);
    const int64_t chunk = images_per_pass(pixels * channels);
    for_chunks(arguments.images, chunk, static_cast<double>(channels * (pixels + squeezed)) / 2,
               [&](int64_t begin, int64_t end) {
                 Real* pooled = static_cast<Real*>(arguments.pooled) + begin * channels;
                 Real* gate = static_cast<Real*>(arguments.gate) + begin * channels;
                 for (int64_t n = begin; n < end; ++n) {
                   pool_image<Real, Storage, activation.value>(arguments, norms, n,
                                                               pooled + (n - begin) * channels);
                 }
                 Buffer<Real> inner(squeezed * (end - begin));
                 excite_images<Real>(arguments.excite, expand, end - begin, pooled,
                                     static_cast<Real*>(arguments.hidden) + begin * squeezed, inner.at, gate);
                 Buffer<Real> opened(channels * (end - begin));
                 open_gates<Real>(arguments.excite.gate_kind, gate, channels * (end - begin), opened.at);
                 for (int64_t n = begin; n < end; ++n) {
                   normalize_pixels<Real, Storage, activation.value>(
                       arguments, norms, n * pixels, (n + 1) * pixels, opened.at + (n - begin) * channels);
                 }
               });
  });
}

}  // namespace

void moments(const MomentsArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { moments_typed<decltype(real), decltype(storage)>(arguments); });
}

void normalize(const NormalizeArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { normalize_typed<decltype(real), decltype(storage)>(arguments); });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
