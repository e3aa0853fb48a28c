#include "depthwise_se/cuda/partials.cuh"
#include "depthwise_se/cuda/reduce_slots.cuh"

namespace narsfast::cuda {
namespace {

// One block per 32 channels, 8 threads per channel.
__global__ void __launch_bounds__(kThreads)
    join_moments_kernel(const float* partials, int64_t count, int64_t channels, float* mean, float* var) {
  NARSFAST_SHARED(float, shared);
  constexpr int kRows = kThreads / kSlab;
  const int column = static_cast<int>(threadIdx.x) % kSlab;
  const int row = static_cast<int>(threadIdx.x) / kSlab;
  const int64_t channel = int64_t{blockIdx.x} * kSlab + column;
  const int64_t plane = count * channels;
  float joined[3] = {0, 0, 0};
  if (channel < channels) {
    for (int64_t p = row; p < count; p += kRows) {
      const float* at = partials + p * channels + channel;
      const float one[3] = {read(at), read(at + plane), read(at + 2 * plane)};
      JoinMoments()(joined, one);
    }
  }
  float* own = shared + threadIdx.x * 3;
  for (int f = 0; f < 3; ++f) own[f] = joined[f];
  __syncthreads();
  if (row != 0 || channel >= channels) return;
  for (int r = 1; r < kRows; ++r) {
    float other[3];
    for (int f = 0; f < 3; ++f) other[f] = own[r * kSlab * 3 + f];
    JoinMoments()(joined, other);
  }
  write(mean + channel, joined[1]);
  write(var + channel, joined[0] > 0 ? joined[2] / joined[0] : 0);
}

}  // namespace

void join_moments(const float* partials, int64_t count, int64_t channels, float* mean, float* var,
                  void* stream) {
  launch(join_moments_kernel, ceil_div(channels, kSlab), sizeof(float) * 3 * kThreads, stream, partials,
         count, channels, mean, var);
}

}  // namespace narsfast::cuda
