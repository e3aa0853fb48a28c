#include "depthwise_se/cuda/excite.cuh"
#include "depthwise_se/cuda/launchers.h"
#include "depthwise_se/cuda/reduce_slots.cuh"

namespace narsfast::cuda {
namespace {

// Per image and channel, the sums over pixels of
//   d_out * a, d_out * act'(z), d_out * act'(z) * (y - mean), act'(z), act'(z) * (y - mean):
// all that the gradients need from the maps, in one pass.
constexpr int kSums = 5;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    sums_kernel(const T* y, const T* d_out, DeviceNorm device_norm, int64_t images, int64_t pixels,
                int64_t channels, bool aligned, float* out) {
  NARSFAST_SHARED(float, shared);
  constexpr int kWidth = Lane<T>::kWidth;
  const int64_t slabs = ceil_div(channels, kSlab);
  const int64_t image = blockIdx.x / slabs;
  const Lane<T> lane(blockIdx.x % slabs, channels, aligned);
  const LaneNorm<T> norm(device_norm, lane);
  float means[kWidth];
  lane.read_channels(device_norm.mean, 0, means);
  float sums[kWidth][kSums] = {};
  for (int64_t p = lane.slot; p < pixels; p += Lane<T>::kSlots) {
    const int64_t offset = (image * pixels + p) * channels;
    float value[kWidth];
    float gradient[kWidth];
    lane.load(y + offset, value);
    lane.load(d_out + offset, gradient);
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) {
      const float z = norm.z(j, value[j]);
      const float slope = activation_slope(norm.activation, z);
      const float distance = value[j] - means[j];
      sums[j][0] += gradient[j] * activate(norm.activation, z);
      sums[j][1] += gradient[j] * slope;
      sums[j][2] += gradient[j] * slope * distance;
      sums[j][3] += slope;
      sums[j][4] += slope * distance;
    }
  }
  reduce_slots<T, kSums>(lane, shared, sums, JoinSums<kSums>());
  if (lane.slot == 0) write_fields(lane, sums, out + image * channels, images * channels);
}

struct ExcitePass {
  DeviceNorm norm;
  DeviceExcite excite;
  int64_t images, pixels;
  const float* sums;  // (kSums, images, channels)
  const float* pooled;
  const float* hidden;
  const float* gate;
  float* d_gate;    // (images, channels), gradient of the gate before gate_kind
  float* d_hidden;  // (images, squeezed), gradient of hidden before its activation
  float* d_pooled;
};

// The gradient through the two layers of squeeze-excite: one block per image.
__global__ void __launch_bounds__(kThreads) excite_gradient_kernel(ExcitePass p) {
  const DeviceExcite& e = p.excite;
  const int64_t row = blockIdx.x * e.channels;
  float* d_gate = p.d_gate + row;
  float* d_hidden = p.d_hidden + blockIdx.x * e.squeezed;
  for (int64_t c = threadIdx.x; c < e.channels; c += kThreads)
    write(d_gate + c, read(p.sums + row + c) * gate_slope(e.gate_kind, read(p.gate + row + c)));
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int64_t s = threadIdx.x / 32; s < e.squeezed; s += kThreads / 32) {
    float sum = 0;
    for (int64_t c = lane; c < e.channels; c += 32)
      sum += read(e.expand_weight + c * e.squeezed + s) * read(d_gate + c);
    sum = warp_sum(sum) * activation_slope(e.activation, read(p.hidden + blockIdx.x * e.squeezed + s));
    if (lane == 0) write(d_hidden + s, sum);
  }
  __syncthreads();
  for (int64_t c = threadIdx.x; c < e.channels; c += kThreads) {
    float sum = 0;
    for (int64_t s = 0; s < e.squeezed; ++s)
      sum += read(e.reduce_weight + s * e.channels + c) * read(d_hidden + s);
    write(p.d_pooled + row + c, sum);
  }
}

// The gradients of weights and biases: one thread per weight of each layer.
__global__ void __launch_bounds__(kThreads)
    excite_weights_kernel(ExcitePass p, float* d_reduce_weight, float* d_reduce_bias, float* d_expand_weight,
                          float* d_expand_bias) {
  const DeviceExcite& e = p.excite;
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= e.channels * e.squeezed) return;
  const int64_t s = index / e.channels;
  const int64_t c = index % e.channels;
  float reduce = 0, reduce_bias = 0, expand = 0, expand_bias = 0;
  for (int64_t n = 0; n < p.images; ++n) {
    const float d_hidden = read(p.d_hidden + n * e.squeezed + s);
    const float d_gate = read(p.d_gate + n * e.channels + c);
    reduce += d_hidden * read(p.pooled + n * e.channels + c);
    reduce_bias += d_hidden;
    expand += d_gate * activate(e.activation, read(p.hidden + n * e.squeezed + s));
    expand_bias += d_gate;
  }
  write(d_reduce_weight + index, reduce);
  write(d_expand_weight + c * e.squeezed + s, expand);
  if (c == 0) write(d_reduce_bias + s, reduce_bias);
  if (s == 0) write(d_expand_bias + c, expand_bias);
}

// The sums over images and pixels of d_z * (y - mean) / sqrt(var + eps) and of d_z.
__global__ void __launch_bounds__(kThreads)
    channel_sums_kernel(ExcitePass p, float* d_weight, float* d_bias) {
  const int64_t channels = p.excite.channels;
  const int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= channels) return;
  const int64_t plane = p.images * channels;
  float sum = 0;
  float y_sum = 0;
  NARSFAST_ROLL
  for (int64_t n = 0; n < p.images; ++n) {
    const int64_t at = n * channels + c;
    const bool gated = p.excite.squeezed > 0;
    const float gate = gated ? open_gate(p.excite.gate_kind, read(p.gate + at)) : 1;
    const float share = gated ? read(p.d_pooled + at) / static_cast<float>(p.pixels) : 0;
    sum += gate * read(p.sums + plane + at) + share * read(p.sums + 3 * plane + at);
    y_sum += gate * read(p.sums + 2 * plane + at) + share * read(p.sums + 4 * plane + at);
  }
  write(d_weight + c, y_sum * p.norm.inverse(c));
  write(d_bias + c, sum);
}

}  // namespace

size_t reduce_workspace(const ReduceArguments& a) {
  return sizeof(float) * static_cast<size_t>(a.images * ((kSums + 1) * a.channels + a.excite.squeezed));
}

int reduce(const ReduceArguments& a, void* stream) {
  return dispatch_dtype(a.dtype, [&](auto element) {
    using T = decltype(element);
    const auto* y = static_cast<const T*>(a.y);
    const auto* d_out = static_cast<const T*>(a.d_out);
    auto* sums = static_cast<float*>(a.workspace);
    float* d_gate = sums + kSums * a.images * a.channels;
    const ExcitePass pass{DeviceNorm(a.norm),
                          DeviceExcite(a.excite, a.channels),
                          a.images,
                          a.pixels,
                          sums,
                          static_cast<const float*>(a.pooled),
                          static_cast<const float*>(a.hidden),
                          static_cast<const float*>(a.gate),
                          d_gate,
                          d_gate + a.images * a.channels,
                          static_cast<float*>(a.d_pooled)};
    launch(sums_kernel<T>, a.images * ceil_div(a.channels, kSlab), reduce_slots_bytes<T, kSums>(), stream, y,
           d_out, pass.norm, a.images, a.pixels, a.channels, aligned_maps<T>(a.channels, y, d_out), sums);
    if (a.excite.squeezed > 0) {
      launch(excite_gradient_kernel, a.images, 0, stream, pass);
      launch(excite_weights_kernel, ceil_div(a.channels * a.excite.squeezed, kThreads), 0, stream, pass,
             static_cast<float*>(a.d_reduce_weight), static_cast<float*>(a.d_reduce_bias),
             static_cast<float*>(a.d_expand_weight), static_cast<float*>(a.d_expand_bias));
    }
    launch(channel_sums_kernel, ceil_div(a.channels, kThreads), 0, stream, pass,
           static_cast<float*>(a.d_weight), static_cast<float*>(a.d_bias));
    return launch_error();
  });
}

}  // namespace narsfast::cuda
