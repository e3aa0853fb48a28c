#include "depthwise_se/cuda/elementwise.cuh"
#include "depthwise_se/cuda/launchers.h"
#include "depthwise_se/cuda/norm_gradient.cuh"

namespace narsfast::cuda {
namespace {

// Elementwise kernels assign each block one slab of kChunk pixels of one image.
constexpr int kChunk = 256;

struct Chunk {
  int64_t slab, image, begin, end;
  __device__ Chunk(int64_t slabs, int64_t pixels) {
    int64_t index = blockIdx.x;
    slab = index % slabs;
    index /= slabs;
    const int64_t chunks = ceil_div(pixels, kChunk);
    begin = index % chunks * kChunk;
    image = index / chunks;
    end = begin + kChunk < pixels ? begin + kChunk : pixels;
  }
};

int64_t chunk_blocks(int64_t images, int64_t pixels, int64_t channels) {
  return images * ceil_div(pixels, kChunk) * ceil_div(channels, kSlab);
}

// out = gate_kind(gate) * norm(y); gate (images, channels) may be null, and out may be y.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    apply_kernel(const T* y, DeviceNorm device_norm, const float* gate, Gate gate_kind, T* out,
                 int64_t pixels, int64_t channels, bool aligned) {
  constexpr int kWidth = Lane<T>::kWidth;
  const Chunk chunk(ceil_div(channels, kSlab), pixels);
  const Lane<T> lane(chunk.slab, channels, aligned);
  const LaneNorm<T> norm(device_norm, lane);
  float factor[kWidth];
  lane.read_channels(gate == nullptr ? nullptr : gate + chunk.image * channels, 3, factor);
  for (int j = 0; j < kWidth; ++j) factor[j] = open_gate(gate_kind, factor[j]);
  for (int64_t p = chunk.begin + lane.slot; p < chunk.end; p += Lane<T>::kSlots) {
    const int64_t offset = (chunk.image * pixels + p) * channels;
    float values[kWidth];
    lane.load(y + offset, values);
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) values[j] = factor[j] * norm.apply(j, values[j]);
    lane.store(out + offset, values);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    norm_gradient_kernel(DeviceNormGradient norm, T* d_y, int64_t pixels, int64_t channels, bool aligned) {
  NARSFAST_SHARED(float, shared);
  const Chunk chunk(ceil_div(channels, kSlab), pixels);
  const Lane<T> lane(chunk.slab, channels, aligned);
  norm.fill(lane, chunk.image, pixels, shared);
  __syncthreads();
  for (int64_t p = chunk.begin + lane.slot; p < chunk.end; p += Lane<T>::kSlots) {
    const int64_t offset = (chunk.image * pixels + p) * channels;
    float values[Lane<T>::kWidth];
    norm.load(lane, shared, offset, values);
    lane.store(d_y + offset, values);
  }
}

}  // namespace

int apply(const Apply& a, void* stream) {
  return dispatch_dtype(a.dtype, [&](auto element) {
    using T = decltype(element);
    const auto* y = static_cast<const T*>(a.y);
    auto* out = static_cast<T*>(a.out);
    launch(apply_kernel<T>, chunk_blocks(a.images, a.pixels, a.channels), 0, stream, y, a.norm, a.gate,
           a.gate == nullptr ? Gate::kHardSigmoid : a.gate_kind, out, a.pixels, a.channels,
           aligned_maps<T>(a.channels, y, out));
    return launch_error();
  });
}

int norm_gradient(const NormGradientArguments& a, void* stream) {
  return dispatch_dtype(a.dtype, [&](auto element) {
    using T = decltype(element);
    auto* d_y = static_cast<T*>(a.d_y);
    launch(norm_gradient_kernel<T>, chunk_blocks(a.images, a.pixels, a.channels),
           sizeof(float) * DeviceNormGradient::kVectors * kSlab, stream, DeviceNormGradient(a.norm), d_y,
           a.pixels, a.channels, aligned_maps<T>(a.channels, a.norm.y, a.norm.d_out, d_y));
    return launch_error();
  });
}

}  // namespace narsfast::cuda
