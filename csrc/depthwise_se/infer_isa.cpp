// The whole block in evaluation: convolution with the norm folded in, activation, pooling, squeeze-excite,
// gate. Compiled once per instruction set, so it includes no inline functions with external linkage.
#include "common/threads.h"
#include "depthwise_se/dense.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/planes.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Activates, stores and adds to the sums for pooling.
template <class Real, class Storage>
struct ActivationEpilogue {
  Slab<Real> slab;
  int64_t row_size;
  const FoldedNorm<Real>& norm;
  Vector<Real>* sums;        // (vectors,)
  Storage* image = nullptr;  // the slab's first element of the image
  Storage* out = nullptr;

  void row(int64_t index) { out = image + index * row_size; }
  Vector<Real> start(int64_t i) const { return norm.vectors.at[slab.first + i].shift; }
  Vector<Real> begin(int64_t) const { return Vector<Real>{}; }

  template <int kColumns>
  NARSFAST_INLINE void tile(Vector<Real>& sum, int64_t i, int row, int64_t column, Vector<Real>* z) {
    with_activation(norm.activation, [&](auto activation) __attribute__((always_inline)) {
      activate_scaled_tile<activation.value, Real, kColumns>(z);
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) sum += z[c];
    });
    Storage* to = out + row * row_size + column * slab.channels + i * kLanes<Real>;
    with_lanes<Real>(slab, i, [&](auto lanes) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c, to += slab.channels) lanes.store(to, z[c]);
    });
  }
  void end(const Vector<Real>& sum, int64_t i) { sums[i] += sum; }
};

template <class Real, class Storage>
struct Inference {
  const InferArguments& arguments;
  const Window& window;
  int64_t taps, out_pixels;
  bool gated;
  FoldedNorm<Real> input, norm;
  Buffer<Real> weights, pooled, hidden, inner, gate;
  Panels<Real> expand;
  PlaneConvolution<Real> convolution;

  explicit Inference(const InferArguments& given)
      : arguments(given),
        window(given.window),
        taps(window.kernel * window.kernel),
        out_pixels(window.out_height * window.out_width),
        gated(given.excite.squeezed > 0),
        input(given.input, window.channels),
        norm(given.norm, window.channels, activation_scale<Real>(given.norm.activation)),
        weights(count_vectors<Real>(window.channels) * kLanes<Real> * taps),
        pooled(gated ? window.images * window.channels : 0),
        hidden(window.images * given.excite.squeezed),
        inner(window.images * given.excite.squeezed),
        gate(gated ? window.images * window.channels : 0),
        expand(static_cast<const Real*>(given.excite.expand_weight), window.channels, given.excite.squeezed),
        convolution{window, input, weights.at} {
    pack_weights<Real>(given.weight, &norm, window.channels, taps, weights.at);
  }

  void convolve_images(int64_t begin, int64_t end, const Slab<Real>& slab) const {
    const int64_t channels = window.channels;
    InputRows<Real, Storage> rows = convolution.template rows<Storage>(slab);
    Buffer<Vector<Real>> sums(slab.vectors);
    ActivationEpilogue<Real, Storage> epilogue{slab, window.out_width * channels, norm, sums.at};
    for (int64_t n = begin; n < end; ++n) {
      for (int64_t i = 0; i < slab.vectors; ++i) sums.at[i] = Vector<Real>{};
      epilogue.image = static_cast<Storage*>(arguments.out) + n * out_pixels * channels + slab.channel;
      convolution.run(static_cast<const Storage*>(arguments.x), n, rows, epilogue);
      for (int64_t i = 0; gated && i < slab.vectors; ++i) {
        store_channels<Real>(pooled.at + n * channels, slab, i, sums.at[i] / static_cast<Real>(out_pixels));
      }
    }
  }

  void excite(int64_t n, int64_t images) const {
    Real* gates = gate.at + n * window.channels;
    excite_images<Real>(arguments.excite, expand, images, pooled.at + n * window.channels,
                        hidden.at + n * arguments.excite.squeezed, inner.at + n * arguments.excite.squeezed,
                        gates);
    open_gates<Real>(arguments.excite.gate_kind, gates, images * window.channels, gates);
  }

  // Multiplies pixels [begin, end) of image n by the gates, in memory order. The gates are repeated until
  // they fill whole vectors, so that vectors may span pixels, and are aligned where the image is.
  void apply_gate(int64_t n, int64_t begin, int64_t end) const {
    const int64_t channels = window.channels;
    const int64_t pixels = filling_pixels(channels);
    const int64_t size = pixels * channels;
    Buffer<Real> repeated(size);
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      std::memcpy(repeated.at + pixel * channels, gate.at + n * channels,
                  static_cast<size_t>(channels) * sizeof(Real));
    }
    Storage* out = static_cast<Storage*>(arguments.out) + (n * out_pixels + begin) * channels;
    for (int64_t left = (end - begin) * channels; left > 0; left -= size, out += size) {
      const int64_t count = left < size ? left : size;
      int64_t i = 0;
      for (; i + kLanes<Real> <= count; i += kLanes<Real>) {
        store_map<Real>(out + i, load_map<Real>(out + i) * load(repeated.at + i));
      }
      if (i < count) {
        const Vector<Real> factor = load_partial<Real>(repeated.at + i, count - i);
        store_partial<Real>(out + i, load_partial<Real>(out + i, count - i) * factor, count - i);
      }
    }
  }

  // The number of pixels whose channels fill whole vectors; 1 where their gates would not stay in the L1
  // cache.
  static int64_t filling_pixels(int64_t channels) {
    constexpr int64_t kCachedValues = 1 << 12;
    int64_t pixels = 1;
    while (pixels * channels % kLanes<Real> != 0) pixels *= 2;
    return pixels * channels <= kCachedValues ? pixels : 1;
  }

  void run() const {
    const double each = static_cast<double>(out_pixels * taps * window.channels) / 32;
    // A few images are split by channels. Otherwise several images at a time go through the whole block, so
    // that their maps are still in the cache when they are gated.
    constexpr int64_t kFewImages = 4;
    Window one = window;
    one.images = 1;  // the split of an image does not depend on how many there are
    const WorkSplit<Real> split(one, convolution.line_bytes());
    if (window.images < kFewImages) {
      for_chunks(window.images * split.slabs, 1, each / static_cast<double>(split.slabs),
                 [&](int64_t task, int64_t) {
                   convolve_images(task / split.slabs, task / split.slabs + 1,
                                   split.slab(task % split.slabs));
                 });
      if (!gated) return;
      excite(0, window.images);
      for (int64_t n = 0; n < window.images; ++n) {
        for_chunks(out_pixels, 64, static_cast<double>(window.channels) / 8,
                   [&](int64_t begin, int64_t end) { apply_gate(n, begin, end); });
      }
      return;
    }
    const int64_t chunk = images_per_pass(out_pixels * window.channels);
    constexpr int64_t kSlabBytes = 3 << 16;  // scratch that stays in a core's cache
    const int64_t max_vectors = (kSlabBytes / convolution.line_bytes() + 1) * kVectorsPerLine;
    const int64_t vectors = count_vectors<Real>(window.channels);
    for_chunks(window.images, chunk, each, [&](int64_t begin, int64_t end) {
      for (int64_t first = 0; first < vectors; first += max_vectors) {
        convolve_images(begin, end,
                        Slab<Real>(first, first + max_vectors < vectors ? max_vectors : vectors - first,
                                   window.channels));
      }
      if (!gated) return;
      excite(begin, end - begin);
      for (int64_t n = begin; n < end; ++n) apply_gate(n, 0, out_pixels);
    });
  }
};

}  // namespace

void infer(const InferArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { Inference<decltype(real), decltype(storage)>(arguments).run(); });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
