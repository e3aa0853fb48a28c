// The forward convolution of training: y, and its moments. Compiled once per instruction set; it includes
// nothing that has inline functions with external linkage.
#include "common/threads.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/moments.h"
#include "depthwise_se/planes.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real, class Storage>
void convolve_typed(const ConvolveArguments& arguments) {
  const Window& window = arguments.window;
  const int64_t channels = window.channels;
  const int64_t blocks = count_blocks<Real>(channels);
  const int64_t taps = window.kernel * window.kernel;
  const int64_t out_pixels = window.out_height * window.out_width;
  Buffer<Real> weights(blocks * kBlock<Real> * taps);
  pack_weights(arguments.weight, nullptr, channels, taps, weights.at);
  const PlaneConvolution<Real> convolution(window, weights.at);
  const Split split = split_work(window, blocks, convolution.row_bytes());
  const Affines<Real> input(arguments.input, channels);
  Buffer<Real> means(split.groups * channels);
  Buffer<Real> m2s(split.groups * channels);
  Buffer<Real> counts(split.groups);

  const double nanoseconds = static_cast<double>(window.images * out_pixels * taps * channels) / 32 /
                             static_cast<double>(split.tasks());
  for_chunks(split.tasks(), 1, nanoseconds, [&](int64_t task, int64_t) {
    const Slab<Real> slab = split.template slab<Real>(task, channels);
    const int64_t group = split.group(task);
    const int64_t begin = window.images * group / split.groups;
    const int64_t end = window.images * (group + 1) / split.groups;
    Buffer<Moments<Real>> moments(slab.vectors);
    for (int64_t i = 0; i < slab.vectors; ++i) moments.at[i] = Moments<Real>();
    for (int64_t n = begin; n < end; ++n) {
      const Storage* x =
          static_cast<const Storage*>(arguments.x) + n * window.height * window.width * channels;
      Storage* y = static_cast<Storage*>(arguments.y) + n * out_pixels * channels + slab.channel;
      convolution.run(x, slab, input, nullptr, [&](int64_t row, const Real* packed) {
        for (int64_t i = 0; i < slab.vectors; ++i) {
          moments.at[i].add(packed + i * convolution.plane, window.out_width);
        }
        unpack_row<Real>(packed, convolution.plane, window.out_width, slab,
                         y + row * window.out_width * channels,
                         [](int64_t, int64_t, Vector<Real> value) { return value; });
      });
    }
    for (int64_t i = 0; i < slab.vectors; ++i) {
      const int64_t at = group * channels + slab.channel + i * kLanes<Real>;
      store_some<Real>(means.at + at, moments.at[i].mean, slab.left(i));
      store_some<Real>(m2s.at + at, moments.at[i].m2, slab.left(i));
    }
    if (slab.first == 0) counts.at[group] = static_cast<Real>((end - begin) * out_pixels);
  });
  join_groups<Real>(means.at, m2s.at, counts.at, split.groups, channels, arguments.mean, arguments.m2);
}

}  // namespace

void convolve(const ConvolveArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { convolve_typed<decltype(real), decltype(storage)>(arguments); });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
