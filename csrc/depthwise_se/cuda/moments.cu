#include "depthwise_se/cuda/launchers.h"
#include "depthwise_se/cuda/partials.cuh"
#include "depthwise_se/cuda/reduce_slots.cuh"

namespace narsfast::cuda {
namespace {

constexpr int kBlockPixels = 2048;  // pixels per block, counted over all images

template <typename T>
__global__ void __launch_bounds__(kThreads)
    moments_kernel(const T* y, int64_t pixels, int64_t channels, bool aligned, float* partials) {
  NARSFAST_SHARED(float, shared);
  constexpr int kWidth = Lane<T>::kWidth;
  const int64_t slabs = ceil_div(channels, kSlab);
  const int64_t part = blockIdx.x / slabs;
  const Lane<T> lane(blockIdx.x % slabs, channels, aligned);
  const int64_t end = (part + 1) * kBlockPixels < pixels ? (part + 1) * kBlockPixels : pixels;
  ShiftedSums moments[kWidth];
  int count = 0;
  for (int64_t p = part * kBlockPixels + lane.slot; p < end; p += Lane<T>::kSlots, ++count) {
    float values[kWidth];
    lane.load(y + p * channels, values);
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) moments[j].add(values[j], count);
  }
  write_moments(lane, shared, moments, count, partials + part * channels,
                ceil_div(pixels, kBlockPixels) * channels);
}

}  // namespace

size_t moments_workspace(const MomentsArguments& a) {
  return moments_bytes(ceil_div(a.images * a.pixels, kBlockPixels), a.channels);
}

int moments(const MomentsArguments& a, void* stream) {
  return dispatch_dtype(a.dtype, [&](auto element) {
    using T = decltype(element);
    const auto* y = static_cast<const T*>(a.y);
    auto* partials = static_cast<float*>(a.workspace);
    const int64_t pixels = a.images * a.pixels;
    const int64_t parts = ceil_div(pixels, kBlockPixels);
    launch(moments_kernel<T>, parts * ceil_div(a.channels, kSlab), reduce_slots_bytes<T, 3>(), stream, y,
           pixels, a.channels, aligned_maps<T>(a.channels, y), partials);
    join_moments(partials, parts, a.channels, static_cast<float*>(a.mean), static_cast<float*>(a.var),
                 stream);
    return launch_error();
  });
}

}  // namespace narsfast::cuda
