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
  const int64_t blocks = count_blocks<Real>(window.channels);
  const int64_t groups = count_groups(window.images, blocks);
  const int64_t taps = window.kernel * window.kernel;
  const int64_t out_pixels = window.out_height * window.out_width;
  Buffer<Real> weights(blocks * kVectors * taps * kLanes<Real>);
  pack_weights(arguments.weight, nullptr, window.channels, taps, weights.at);
  Buffer<Real> means(groups * window.channels);
  Buffer<Real> m2s(groups * window.channels);
  Buffer<Real> counts(groups);

  const double nanoseconds = static_cast<double>(window.images * out_pixels * taps * kBlock<Real>) /
                             (8.0 * static_cast<double>(groups));
  for_chunks(blocks * groups, 1, nanoseconds, [&](int64_t task, int64_t) {
    const Block block = block_at<Real>(task % blocks, window.channels);
    const int64_t group = task / blocks;
    const BlockAffine<Real> input = load_affine<Real>(arguments.input, block.first, window.channels);
    const PlaneConvolution<Real> convolution(window,
                                             weights.at + (task % blocks) * kVectors * taps * kLanes<Real>);
    Moments<Real> moments[kVectors];
    const int64_t begin = window.images * group / groups;
    const int64_t end = window.images * (group + 1) / groups;
    for (int64_t n = begin; n < end; ++n) {
      const Storage* x =
          static_cast<const Storage*>(arguments.x) + n * window.height * window.width * window.channels;
      Storage* y = static_cast<Storage*>(arguments.y) + n * out_pixels * window.channels;
      convolution.run(x + block.first, block, input, nullptr,
                      [&](int64_t row, const Real* packed, int64_t plane) {
                        for (int v = 0; v < kVectors; ++v)
                          moments[v].add(packed + v * plane, window.out_width);
                        unpack_row<Real>(packed, plane, window.out_width, block,
                                         y + row * window.out_width * window.channels + block.first,
                                         [](int64_t, int, Vector<Real> value) { return value; });
                      });
    }
    Vector<Real> mean[kVectors];
    Vector<Real> m2[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      mean[v] = moments[v].mean;
      m2[v] = moments[v].m2;
    }
    store_block<Real>(mean, means.at + group * window.channels, block.first, window.channels);
    store_block<Real>(m2, m2s.at + group * window.channels, block.first, window.channels);
    if (block.first == 0) counts.at[group] = static_cast<Real>((end - begin) * out_pixels);
  });
  join_groups<Real>(means.at, m2s.at, counts.at, groups, window.channels, arguments.mean, arguments.m2);
}

}  // namespace

void convolve(const ConvolveArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { convolve_typed<decltype(real), decltype(storage)>(arguments); });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
