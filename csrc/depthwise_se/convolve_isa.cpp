// The forward convolution in training: y and its moments. Compiled once per instruction set, so it includes
// no inline functions with external linkage.
#include "common/threads.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/moments.h"
#include "depthwise_se/planes.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Stores y and adds it to the sums for the moments.
template <class Real, class Storage>
struct MomentsEpilogue {
  struct State {
    Vector<Real> origin, sum, squares;
  };
  Slab<Real> slab;
  int64_t row_size;
  Moments<Real>* moments;    // (vectors,)
  Storage* image = nullptr;  // the slab's first element of the image
  bool first = true;         // whether the origin is not set yet
  Storage* out = nullptr;

  void row(int64_t index) {
    out = image + index * row_size;
    first = first && index == 0;
  }
  Vector<Real> start(int64_t) const { return Vector<Real>{}; }
  State begin(int64_t i) const { return {moments[i].origin, Vector<Real>{}, Vector<Real>{}}; }

  template <int kColumns>
  NARSFAST_INLINE void tile(State& state, int64_t i, int row, int64_t column, const Vector<Real>* y) {
    if (first && row == 0 && column == 0) moments[i].origin = state.origin = y[kColumns / 2];
    Storage* to = out + row * row_size + column * slab.channels + i * kLanes<Real>;
    with_lanes<Real>(slab, i, [&](auto lanes) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c, to += slab.channels) lanes.store(to, y[c]);
    });
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const Vector<Real> offset = y[c] - state.origin;
      state.sum += offset;
      state.squares += offset * offset;
    }
  }
  void end(const State& state, int64_t i) {
    moments[i].sum += state.sum;
    moments[i].squares += state.squares;
  }
};

template <class Real, class Storage>
void convolve_typed(const ConvolveArguments& arguments) {
  const Window& window = arguments.window;
  const int64_t channels = window.channels;
  const int64_t taps = window.kernel * window.kernel;
  const int64_t out_pixels = window.out_height * window.out_width;
  Buffer<Real> weights(count_vectors<Real>(channels) * kLanes<Real> * taps);
  pack_weights<Real>(arguments.weight, nullptr, channels, taps, weights.at);
  const FoldedNorm<Real> input(arguments.input, channels);
  const PlaneConvolution<Real> convolution{window, input, weights.at};
  const WorkSplit<Real> split(window, convolution.line_bytes());
  Buffer<Real> means(split.groups * channels);
  Buffer<Real> m2s(split.groups * channels);
  Buffer<Real> counts(split.groups);

  const double nanoseconds = static_cast<double>(window.images * out_pixels * taps * channels) / 32 /
                             static_cast<double>(split.tasks());
  for_chunks(split.tasks(), 1, nanoseconds, [&](int64_t task, int64_t) {
    const Slab<Real> slab = split.slab(task);
    const int64_t group = split.group(task);
    const int64_t begin = split.begin_image(group);
    const int64_t end = split.begin_image(group + 1);
    Buffer<Moments<Real>> moments(slab.vectors);
    for (int64_t i = 0; i < slab.vectors; ++i) moments.at[i] = Moments<Real>();
    InputRows<Real, Storage> rows = convolution.template rows<Storage>(slab);
    MomentsEpilogue<Real, Storage> epilogue{slab, window.out_width * channels, moments.at};
    constexpr int64_t kMinSummed = 256;  // values per join: a join costs more than an addition
    int64_t summed = 0;
    for (int64_t n = begin; n < end; ++n) {
      epilogue.image = static_cast<Storage*>(arguments.y) + n * out_pixels * channels + slab.channel;
      convolution.run(static_cast<const Storage*>(arguments.x), n, rows, epilogue);
      epilogue.first = false;
      summed += out_pixels;
      if (summed >= kMinSummed || n == end - 1) {
        for (int64_t i = 0; i < slab.vectors; ++i) moments.at[i].join_sums(static_cast<Real>(summed));
        summed = 0;
      }
    }
    for (int64_t i = 0; i < slab.vectors; ++i) {
      store_channels<Real>(means.at + group * channels, slab, i, moments.at[i].mean);
      store_channels<Real>(m2s.at + group * channels, slab, i, moments.at[i].m2);
    }
    if (slab.first == 0) counts.at[group] = static_cast<Real>((end - begin) * out_pixels);
  });
  join_groups<Real>(means.at, m2s.at, counts.at, split.groups, channels, arguments.mean, arguments.var);
}

}  // namespace

void convolve(const ConvolveArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { convolve_typed<decltype(real), decltype(storage)>(arguments); });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
