#include "depthwise_se/cuda/convolve.cuh"
#include "depthwise_se/cuda/launchers.h"
#include "depthwise_se/cuda/partials.cuh"
#include "depthwise_se/cuda/reduce_slots.cuh"
#include "depthwise_se/cuda/ring.cuh"

namespace narsfast::cuda {
namespace {

// Accumulates kGroup adjacent outputs of one row; `source` points to the first input pixel under the window.
template <typename T, int kKernel, int kStride>
__device__ void convolve_row(const Lane<T>& lane, const float* source, const float* weights,
                             float (&sums)[kGroup<T>][Lane<T>::kWidth]) {
  constexpr int kWidth = Lane<T>::kWidth;
  float taps[kKernel][kWidth];
  NARSFAST_UNROLL
  for (int k = 0; k < kKernel; ++k) lane.get(weights + k * kSlab, taps[k]);
  NARSFAST_UNROLL
  for (int i = 0; i < (kGroup<T> - 1) * kStride + kKernel; ++i) {
    float pixel[kWidth];
    lane.get(source + i * kSlab, pixel);
    NARSFAST_UNROLL
    for (int g = 0; g < kGroup<T>; ++g) {
      const int k = i - g * kStride;
      if (k < 0 || k >= kKernel) continue;
      NARSFAST_UNROLL
      for (int j = 0; j < kWidth; ++j) sums[g][j] += pixel[j] * taps[k][j];
    }
  }
}

// The blocks that are to share a multiprocessor; 0 leaves it to the compiler. Of 16-bit maps at stride 1 two
// do if a few bytes are spilled, at stride 2 it would be too many.
template <typename T, int kStride>
constexpr int kBlocks = sizeof(T) == 2 && kStride == 1 ? 2 : 0;

template <typename T, int kKernel, int kStride>
__global__ void __launch_bounds__(kThreads, kBlocks<T, kStride>)
    convolve_kernel(Convolve c, Tiling t, bool aligned) {
  NARSFAST_SHARED(float, shared);
  constexpr int kWidth = Lane<T>::kWidth;
  const Window& w = c.window;
  const BlockPlace place(ceil_div(w.channels, kSlab), t);
  const Lane<T> lane(place.slab, w.channels, aligned);
  const LaneNorm<T> input(c.input, lane);
  const LaneNorm<T> norm(c.norm, lane);
  const T* x = static_cast<const T*>(c.x) + place.image_group * w.height * w.width * w.channels;
  T* y = static_cast<T*>(c.y) + place.image_group * w.out_height * w.out_width * w.channels;

  float* weights = shared;
  const Ring ring{weights + kKernel * kKernel * kSlab, t.ring_rows, t.ring_columns};
  fill_weights<kKernel>(lane, c.weight, weights);

  const int64_t strip_begin = place.strip * t.strip_rows;
  const int strip_rows =
      static_cast<int>(w.out_height - strip_begin < t.strip_rows ? w.out_height - strip_begin : t.strip_rows);
  const int64_t row_origin = strip_begin * kStride - w.top;
  const int64_t column_origin = place.tile * t.tile_columns * kStride - w.left;
  const auto load = [&](int row, int column, float (&values)[kWidth]) {
    const int64_t r = row_origin + row;
    const int64_t q = column_origin + column;
    if (r < 0 || r >= w.height || q < 0 || q >= w.width) {
      for (int j = 0; j < kWidth; ++j) values[j] = 0;
      return;
    }
    lane.load(x + (r * w.width + q) * w.channels, values);
    input.apply(values);
  };

  ShiftedSums moments[kWidth];
  int count = 0;
  const int my_row = lane.slot / t.groups;
  const int my_column = lane.slot % t.groups * kGroup<T>;
  int filled = 0;
  for (int row = 0; row < strip_rows; row += t.step) {
    const int rows = strip_rows - row < t.step ? strip_rows - row : t.step;
    const int needed = (row + rows - 1) * kStride + kKernel;
    ring.fill(lane, filled, needed, load);
    filled = needed;
    __syncthreads();
    if (my_row < rows) {
      float sums[kGroup<T>][kWidth] = {};
      for (int k = 0; k < kKernel; ++k)
        convolve_row<T, kKernel, kStride>(lane, ring.at((row + my_row) * kStride + k, my_column * kStride),
                                          weights + k * kKernel * kSlab, sums);
      NARSFAST_UNROLL
      for (int g = 0; g < kGroup<T>; ++g) {
        const int64_t q = place.tile * t.tile_columns + my_column + g;
        if (q >= w.out_width) continue;
        norm.apply(sums[g]);
        lane.store(y + ((strip_begin + row + my_row) * w.out_width + q) * w.channels, sums[g]);
        NARSFAST_UNROLL
        for (int j = 0; j < kWidth; ++j) moments[j].add(sums[g][j], count);
        ++count;
      }
    }
    __syncthreads();
  }

  write_moments(lane, shared, moments, count, c.partials + place.partial(t) * w.channels,
                w.images * t.strips * t.tiles * w.channels);
}

template <typename T>
Tiling convolve_tiling(const Window& w) {
  const auto kernel = static_cast<int>(w.kernel);
  const auto stride = static_cast<int>(w.stride);
  const auto reach = [=](int outputs) { return (outputs - 1) * stride + kernel; };
  return make_tiling<T>(w.out_height, w.out_width, kTile / stride, kernel * kernel, 0, reach, reach);
}

}  // namespace

int64_t image_partials(Dtype dtype, const Window& window) {
  int64_t partials = 0;
  dispatch_dtype(dtype, [&](auto element) {
    const Tiling t = convolve_tiling<decltype(element)>(window);
    partials = int64_t{t.tiles} * t.strips;
    return 0;
  });
  return partials;
}

int enqueue_convolve(const Convolve& c, void* stream) {
  return dispatch_dtype(c.dtype, [&](auto element) {
    using T = decltype(element);
    return dispatch_window(c.window, [&](auto kernel, auto stride) {
      const Window& w = c.window;
      const Tiling t = convolve_tiling<T>(w);
      const bool aligned = aligned_maps<T>(w.channels, c.x, c.y);
      const int64_t ring = w.kernel * w.kernel + int64_t{t.ring_rows} * t.ring_columns;
      const size_t used = static_cast<size_t>(ring) * kSlab * sizeof(float);
      constexpr size_t kReduced = reduce_slots_bytes<T, 3>();
      launch(convolve_kernel<T, kernel.value, stride.value>,
             ceil_div(w.channels, kSlab) * t.tiles * t.strips * w.images, used > kReduced ? used : kReduced,
             stream, c, t, aligned);
      return launch_error();
    });
  });
}

size_t convolve_workspace(const ConvolveArguments& a) {
  return moments_bytes(a.window.images * image_partials(a.dtype, a.window), a.window.channels);
}

int convolve(const ConvolveArguments& a, void* stream) {
  auto* partials = static_cast<float*>(a.workspace);
  const int error = enqueue_convolve({a.dtype, a.window, a.x, DeviceNorm(a.input),
                                      static_cast<const float*>(a.weight), DeviceNorm(), a.y, partials},
                                     stream);
  if (error != 0) return error;
  join_moments(partials, a.window.images * image_partials(a.dtype, a.window), a.window.channels,
               static_cast<float*>(a.mean), static_cast<float*>(a.var), stream);
  return launch_error();
}

}  // namespace narsfast::cuda
