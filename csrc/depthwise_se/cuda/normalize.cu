#include "depthwise_se/cuda/elementwise.cuh"
#include "depthwise_se/cuda/excite.cuh"
#include "depthwise_se/cuda/launchers.h"
#include "depthwise_se/cuda/reduce_slots.cuh"

namespace narsfast::cuda {
namespace {

// pooled = mean over pixels of norm(y): one block per slab and image.
template <typename T>
__global__ void __launch_bounds__(kThreads) pool_kernel(const T* y, DeviceNorm device_norm, float* pooled,
                                                        int64_t pixels, int64_t channels, bool aligned) {
  NARSFAST_SHARED(float, shared);
  constexpr int kWidth = Lane<T>::kWidth;
  const int64_t slabs = ceil_div(channels, kSlab);
  const int64_t image = blockIdx.x / slabs;
  const Lane<T> lane(blockIdx.x % slabs, channels, aligned);
  const LaneNorm<T> norm(device_norm, lane);
  float sums[kWidth][1] = {};
  for (int64_t p = lane.slot; p < pixels; p += Lane<T>::kSlots) {
    float values[kWidth];
    lane.load(y + (image * pixels + p) * channels, values);
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) sums[j][0] += norm.apply(j, values[j]);
  }
  reduce_slots<T, 1>(lane, shared, sums, JoinSums<1>());
  if (lane.slot != 0) return;
  for (int j = 0; j < kWidth; ++j) sums[j][0] /= static_cast<float>(pixels);
  write_fields(lane, sums, pooled + image * channels, 0);
}

int pool(const NormalizeArguments& a, void* stream) {
  return dispatch_dtype(a.dtype, [&](auto element) {
    using T = decltype(element);
    const auto* y = static_cast<const T*>(a.y);
    launch(pool_kernel<T>, a.images * ceil_div(a.channels, kSlab), reduce_slots_bytes<T, 1>(), stream, y,
           DeviceNorm(a.norm), static_cast<float*>(a.pooled), a.pixels, a.channels,
           aligned_maps<T>(a.channels, y));
    return launch_error();
  });
}

}  // namespace

int normalize(const NormalizeArguments& a, void* stream) {
  auto* gate = static_cast<float*>(a.gate);
  if (a.excite.squeezed > 0) {
    const int error = pool(a, stream);
    if (error != 0) return error;
    excite(DeviceExcite(a.excite, a.channels), a.images, static_cast<const float*>(a.pooled),
           static_cast<float*>(a.hidden), gate, stream);
  }
  return apply({a.dtype, a.images, a.pixels, a.channels, a.y, DeviceNorm(a.norm),
                a.excite.squeezed > 0 ? gate : nullptr, a.excite.gate_kind, a.out},
               stream);
}

}  // namespace narsfast::cuda
