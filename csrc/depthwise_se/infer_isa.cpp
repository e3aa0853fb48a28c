// The whole block in evaluation: convolution with its norm folded in, activation, pool, squeeze-excite, gate.
// Compiled once per instruction set; it includes nothing that has inline functions with external linkage.
#include "depthwise_se/dense.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/planes.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real, class Storage>
struct Inference {
  const InferArguments& arguments;
  const Window& window;
  int64_t blocks, taps, out_pixels;
  Buffer<Real> weights, shifts, pooled, hidden, inner, gate;

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
        gate(window.images * window.channels) {
    pack_weights(given.weight, given.norm.scale, window.channels, taps, weights.at);
    std::memset(shifts.at, 0, static_cast<size_t>(blocks * kBlock<Real>) * sizeof(Real));
    std::memcpy(shifts.at, given.norm.shift, static_cast<size_t>(window.channels) * sizeof(Real));
  }

  Storage* image(int64_t n) const {
    return static_cast<Storage*>(arguments.out) + n * out_pixels * window.channels;
  }

  template <Activation kActivation>
  NARSFAST_INLINE void convolve_block(int64_t n, int64_t index) const {
    const Block block = block_at<Real>(index, window.channels);
    const BlockAffine<Real> input = load_affine<Real>(arguments.input, block.first, window.channels);
    const PlaneConvolution<Real> convolution(window, weights.at + index * kBlock<Real> * taps);
    const Storage* x =
        static_cast<const Storage*>(arguments.x) + n * window.height * window.width * window.channels;
    Vector<Real> total[kVectors] = {};
    convolution.run(x + block.first, block, input, shifts.at + block.first,
                    [&](int64_t row, const Real* packed, int64_t plane) {
                      Vector<Real> sum[kVectors] = {};
                      unpack_row<Real>(packed, plane, window.out_width, block,
                                       image(n) + row * window.out_width * window.channels + block.first,
                                       [&](int64_t, int v, Vector<Real> z) {
                                         const Vector<Real> value = activate<kActivation, Real>(z);
                                         sum[v] += value;
                                         return value;
                                       });
                      for (int v = 0; v < kVectors; ++v) total[v] += sum[v];
                    });
    for (int v = 0; v < kVectors; ++v) total[v] = total[v] / static_cast<Real>(out_pixels);
    store_block<Real>(total, pooled.at + n * window.channels, block.first, window.channels);
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
    const double each = static_cast<double>(out_pixels * taps * kBlock<Real>) / 8;
    const bool gated = arguments.excite.squeezed > 0;
    // Few large images are split by channels; otherwise some images at a time go through all of it, so that
    // their maps are still in the cache when they are gated.
    constexpr int64_t kFew = 4;
    if (window.images < kFew) {
      for_chunks(window.images * blocks, 1, each,
                 [&](int64_t task, int64_t) { convolve_block<kActivation>(task / blocks, task % blocks); });
      if (!gated) return;
      excite(0, window.images);
      for_chunks(window.images * out_pixels, 64, static_cast<double>(window.channels) / 8,
                 [&](int64_t begin, int64_t end) { apply_gate(begin, end); });
      return;
    }
    constexpr int64_t kCached = 1 << 16;
    const int64_t fitting = kCached / (out_pixels * window.channels + 1);
    const int64_t together = fitting < 1 ? 1 : fitting > 8 ? 8 : fitting;
    for_chunks(window.images, together, each * static_cast<double>(blocks), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        for (int64_t index = 0; index < blocks; ++index) convolve_block<kActivation>(n, index);
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
