// The whole block in evaluation: convolution with its norm folded in, activation, pool, squeeze-excite, gate.
// Compiled once per instruction set; it includes nothing that has inline functions with external linkage.
#include "depthwise_se/dense.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/planes.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

constexpr int64_t kSlabBytes = 3 << 16;  // scratch that stays in a core's cache

template <class Real, class Storage>
struct Inference {
  const InferArguments& arguments;
  const Window& window;
  int64_t blocks, taps, out_pixels;
  Buffer<Real> weights, shifts, pooled, hidden, inner, gate;
  Affines<Real> input;
  PlaneConvolution<Real> convolution;

  explicit Inference(const InferArguments& given)
      : arguments(given),
        window(given.window),
        blocks(count_blocks<Real>(window.channels)),
        taps(window.kernel * window.kernel),
        out_pixels(window.out_height * window.out_width),
        weights(blocks * kBlock<Real> * taps),
        shifts(blocks * kBlock<Real>),
        pooled(window.images * window.channels),
        hidden(window.images * given.excite.squeezed),
        inner(window.images * given.excite.squeezed),
        gate(window.images * window.channels),
        input(given.input, window.channels),
        convolution(window, weights.at) {
    pack_weights(given.weight, given.norm.scale, window.channels, taps, weights.at);
    std::memset(shifts.at, 0, static_cast<size_t>(blocks * kBlock<Real>) * sizeof(Real));
    std::memcpy(shifts.at, given.norm.shift, static_cast<size_t>(window.channels) * sizeof(Real));
  }

  Window one_image() const {
    Window one = window;
    one.images = 1;
    return one;
  }

  Storage* image(int64_t n) const {
    return static_cast<Storage*>(arguments.out) + n * out_pixels * window.channels;
  }

  template <Activation kActivation>
  void convolve_slab(int64_t n, const Slab<Real>& slab) const {
    const Storage* x =
        static_cast<const Storage*>(arguments.x) + n * window.height * window.width * window.channels;
    Buffer<Vector<Real>> sums(slab.vectors);
    for (int64_t i = 0; i < slab.vectors; ++i) sums.at[i] = Vector<Real>{};
    convolution.run(x, slab, input, shifts.at, [&](int64_t row, const Real* packed) {
      unpack_row<Real>(packed, convolution.plane, window.out_width, slab,
                       image(n) + row * window.out_width * window.channels + slab.channel,
                       [&](int64_t, int64_t i, Vector<Real> z) {
                         const Vector<Real> value = activate<kActivation, Real>(z);
                         sums.at[i] += value;
                         return value;
                       });
    });
    for (int64_t i = 0; i < slab.vectors; ++i) {
      store_some<Real>(pooled.at + n * window.channels + slab.channel + i * kLanes<Real>,
                       sums.at[i] / static_cast<Real>(out_pixels), slab.left(i));
    }
  }

  void excite(int64_t n, int64_t images) const {
    excite_images<Real>(arguments.excite, images, window.channels, pooled.at + n * window.channels,
                        hidden.at + n * arguments.excite.squeezed, inner.at + n * arguments.excite.squeezed,
                        gate.at + n * window.channels);
    map_values<Real>(gate.at + n * window.channels, images * window.channels, gate.at + n * window.channels,
                     [](Vector<Real> value, int64_t) { return hard_sigmoid<Real>(value); });
  }

  void apply_gate(int64_t begin, int64_t end) const {
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      Storage* out = static_cast<Storage*>(arguments.out) + pixel * window.channels;
      const Real* factor = gate.at + pixel / out_pixels * window.channels;
      int64_t c = 0;
      for (; c + kLanes<Real> <= window.channels; c += kLanes<Real>) {
        store_map<Real>(out + c, load_map<Real>(out + c) * load(factor + c));
      }
      if (c < window.channels) {
        const int64_t rest = window.channels - c;
        store_some<Real>(out + c, load_some<Real>(out + c, rest) * load_some<Real>(factor + c, rest), rest);
      }
    }
  }

  template <Activation kActivation>
  void run() const {
    const double each = static_cast<double>(out_pixels * taps * window.channels) / 32;
    const bool gated = arguments.excite.squeezed > 0;
    // Few large images are split by channels; otherwise some images at a time go through all of it, so that
    // their maps are still in the cache when they are gated.
    constexpr int64_t kFew = 4;
    if (window.images < kFew) {
      // Each image is split alike, however many there are.
      const Split split = split_work(one_image(), blocks, convolution.row_bytes());
      for_chunks(window.images * split.slabs, 1, each / static_cast<double>(split.slabs),
                 [&](int64_t task, int64_t) {
                   convolve_slab<kActivation>(task / split.slabs,
                                              split.template slab<Real>(task % split.slabs, window.channels));
                 });
      if (!gated) return;
      excite(0, window.images);
      for_chunks(window.images * out_pixels, 64, static_cast<double>(window.channels) / 8,
                 [&](int64_t begin, int64_t end) { apply_gate(begin, end); });
      return;
    }
    constexpr int64_t kCached = 1 << 16;
    const int64_t fitting = kCached / (out_pixels * window.channels + 1);
    const int64_t together = fitting < 1 ? 1 : fitting > 8 ? 8 : fitting;
    const int64_t most = kSlabBytes / convolution.row_bytes() + 1;
    for_chunks(window.images, together, each, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        for (int64_t first = 0; first < blocks; first += most) {
          convolve_slab<kActivation>(
              n, Slab<Real>(first, first + most < blocks ? most : blocks - first, window.channels));
        }
      }
      if (!gated) return;
      excite(begin, end - begin);
      apply_gate(begin * out_pixels, end * out_pixels);
    });
  }
};

}  // namespace

void infer(const InferArguments& arguments) {
  with_types(arguments.dtype, [&](auto real, auto storage) {
    const Inference<decltype(real), decltype(storage)> inference(arguments);
    with_activation(arguments.norm.activation,
                    [&](auto activation) { inference.template run<activation.value>(); });
  });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
