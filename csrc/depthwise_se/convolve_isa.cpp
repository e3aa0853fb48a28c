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
  const Affines<Real> inputs(arguments.input, channels);
  Buffer<Real> means(split.groups * channels);
  Buffer<Real> m2s(split.groups * channels);
  Buffer<Real> counts(split.groups);

  const double nanoseconds = static_cast<double>(window.images * out_pixels * taps * channels) / 32 /
                             static_cast<double>(split.tasks());
  for_chunks(split.tasks(), 1, nanoseconds, [&](int64_t task, int64_t) {
    const Slab slab = split.slab(task);
    const int64_t group = split.group(task);
    const int64_t begin = window.images * group / split.groups;
    const int64_t end = window.images * (group + 1) / split.groups;
    Buffer<Moments<Real>> moments(slab.count * kVectors);
    for (int64_t i = 0; i < slab.count * kVectors; ++i) moments.at[i] = Moments<Real>();
    for (int64_t n = begin; n < end; ++n) {
      const Storage* x =
          static_cast<const Storage*>(arguments.x) + n * window.height * window.width * channels;
      Storage* y = static_cast<Storage*>(arguments.y) + n * out_pixels * channels;
      convolution.run(x, slab, inputs.blocks.at + slab.first, nullptr,
                      [&](int64_t b, int64_t row, const Real* packed, int64_t plane) {
                        const Block block = block_at<Real>(slab.first + b, channels);
                        for (int v = 0; v < kVectors; ++v) {
                          moments.at[b * kVectors + v].add(packed + v * plane, window.out_width);
                        }
                        unpack_row<Real>(packed, plane, window.out_width, block,
                                         y + row * window.out_width * channels + block.first,
                                         [](int64_t, int, Vector<Real> value) { return value; });
                      });
    }
    for (int64_t i = 0; i < slab.count * kVectors; ++i) {
      const int64_t c = slab.first * kBlock<Real> + i * kLanes<Real>;
      if (c >= channels) break;
      store_some<Real>(means.at + group * channels + c, moments.at[i].mean, channels - c);
      store_some<Real>(m2s.at + group * channels + c, moments.at[i].m2, channels - c);
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
