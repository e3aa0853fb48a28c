#include "depthwise_se/cuda/excite.cuh"

namespace narsfast::cuda {
namespace {

// One block per image; one warp per squeezed unit, then one thread per channel.
__global__ void __launch_bounds__(kThreads)
    excite_kernel(DeviceExcite e, const float* pooled, float* hidden, float* gate) {
  pooled += blockIdx.x * e.channels;
  hidden += blockIdx.x * e.squeezed;
  gate += blockIdx.x * e.channels;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int64_t s = threadIdx.x / 32; s < e.squeezed; s += kThreads / 32) {
    float sum = 0;
    for (int64_t c = lane; c < e.channels; c += 32)
      sum += read(e.reduce_weight + s * e.channels + c) * read(pooled + c);
    sum = warp_sum(sum) + read(e.reduce_bias + s);
    if (lane == 0) write(hidden + s, sum);
  }
  __syncthreads();
  for (int64_t c = threadIdx.x; c < e.channels; c += kThreads) {
    float sum = read(e.expand_bias + c);
    for (int64_t s = 0; s < e.squeezed; ++s)
      sum += read(e.expand_weight + c * e.squeezed + s) * activate(e.activation, read(hidden + s));
    write(gate + c, sum);
  }
}

}  // namespace

void excite(const DeviceExcite& e, int64_t images, const float* pooled, float* hidden, float* gate,
            void* stream) {
  launch(excite_kernel, images, 0, stream, e, pooled, hidden, gate);
}

}  // namespace narsfast::cuda
