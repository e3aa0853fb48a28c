#include "depthwise_se/cuda/launchers.h"
#include "depthwise_se/cuda/norm_gradient.cuh"
#include "depthwise_se/cuda/reduce_slots.cuh"
#include "depthwise_se/cuda/ring.cuh"

// One pass over the input pixels computes both gradients. Through tap k a pixel contributes to the output
// (pixel + top - k) / stride, and likewise along the row; so d_x is the sum of d_y * w over the taps, and d_y
// * x is added to the gradient of each tap's weight. Only d_y needs a halo.

namespace narsfast::cuda {
namespace {

struct Gradient {
  Window window;
  DeviceNormGradient norm;
  const void* x;
  DeviceNorm input;
  const float* weight;
  void* d_x;
  // (partials, kernel^2 + 2, channels): every tap, then the sums of d_x and of d_x * (x - mean)
  float* partials;
  int64_t images_per_block;
};

// Adjacent outputs to which kGroup inputs of one row contribute through one row of taps.
template <typename T, int kKernel, int kStride>
constexpr int kReachedOutputs = (kGroup<T> - 1) / kStride + (kKernel - 1) / kStride + 1;

// Calls run(g, k, m) where input g of a group contributes to the group's output m through tap k.
template <typename T, int kKernel, int kStride, typename Run>
__device__ __forceinline__ void for_each_tap(const Run& run) {
  NARSFAST_UNROLL
  for (int g = 0; g < kGroup<T>; ++g) {
    NARSFAST_UNROLL
    for (int k = 0; k < kKernel; ++k)
      if ((g - k) % kStride == 0) run(g, k, (g - k) / kStride + (kKernel - 1) / kStride);
  }
}

template <typename T, int kKernel, int kStride>
__global__ void __launch_bounds__(kThreads) gradient_kernel(Gradient p, Tiling t, bool aligned) {
  NARSFAST_SHARED(float, shared);
  constexpr int kWidth = Lane<T>::kWidth;
  constexpr int kTaps = kKernel * kKernel;
  constexpr int kM = kReachedOutputs<T, kKernel, kStride>;
  constexpr int kBack = (kKernel - 1) / kStride;  // outputs before its own to which a pixel contributes
  constexpr int kParts = Lane<T>::kSlots / kKernel;
  const Window& w = p.window;
  const BlockPlace place(ceil_div(w.channels, kSlab), t);
  const Lane<T> lane(place.slab, w.channels, aligned);
  const LaneNorm<T> input(p.input, lane);
  float means[kWidth];
  lane.read_channels(p.input.mean, 0, means);

  float* weights = shared;
  float* vectors = weights + kTaps * kSlab;
  float* inputs =
      vectors + DeviceNormGradient::kVectors * kSlab;  // act(x) of the step: (step, tile_columns, 32)
  const Ring ring{inputs + t.step * t.tile_columns * kSlab, t.ring_rows, t.ring_columns};
  fill_weights<kKernel>(lane, p.weight, weights);

  // At stride 2, tiles begin where column + left is even, so that a tap has the parity of its column.
  const int top = static_cast<int>(w.top);
  const int left = static_cast<int>(w.left);
  const int64_t column_origin = place.tile * t.tile_columns - (kStride == 2 ? left & 1 : 0);
  const int64_t strip_begin = place.strip * t.strip_rows;
  const int strip_rows =
      static_cast<int>(w.height - strip_begin < t.strip_rows ? w.height - strip_begin : t.strip_rows);
  const int64_t ring_row = (strip_begin + top) / kStride - kBack;
  const int64_t ring_column = (column_origin + left) / kStride - kBack;
  // The ring's row to which the pixels of a row contribute through tap 0 (at stride 2: 0 or 1).
  const auto own_row = [&](int row) {
    return static_cast<int>((strip_begin + row + top) / kStride - ring_row);
  };
  const int my_row = lane.slot / t.groups;
  const int my_group = lane.slot % t.groups;
  const int my_tap = lane.slot % kKernel;
  const int my_part = lane.slot / kKernel;

  float d_weight[kKernel][kWidth] = {};
  float sums[kWidth][2] = {};
  const int64_t last = (place.image_group + 1) * p.images_per_block;
  for (int64_t image = place.image_group * p.images_per_block; image < last && image < w.images; ++image) {
    p.norm.fill(lane, image, w.out_height * w.out_width, vectors);
    __syncthreads();
    const int64_t pixels = image * w.height * w.width;
    const auto load = [&](int row, int column, float (&values)[kWidth]) {
      const int64_t r = ring_row + row;
      const int64_t q = ring_column + column;
      if (r < 0 || r >= w.out_height || q < 0 || q >= w.out_width) {
        for (int j = 0; j < kWidth; ++j) values[j] = 0;
        return;
      }
      p.norm.load(lane, vectors, ((image * w.out_height + r) * w.out_width + q) * w.channels, values);
    };
    int filled = 0;
    for (int row = 0; row < strip_rows; row += t.step) {
      const int rows = strip_rows - row < t.step ? strip_rows - row : t.step;
      const int needed = own_row(row + rows - 1) + 1;
      ring.fill(lane, filled, needed, load);
      filled = needed;
      __syncthreads();
      if (my_row < rows) {
        float d_x[kGroup<T>][kWidth] = {};
        for (int k = static_cast<int>(strip_begin + row + my_row + top) % kStride; k < kKernel;
             k += kStride) {
          const float* reached = ring.at(own_row(row + my_row) - k / kStride, my_group * kGroup<T> / kStride);
          float d_y[kM][kWidth];
          NARSFAST_UNROLL
          for (int m = 0; m < kM; ++m) lane.get(reached + m * kSlab, d_y[m]);
          float taps[kKernel][kWidth];
          NARSFAST_UNROLL
          for (int i = 0; i < kKernel; ++i) lane.get(weights + (k * kKernel + i) * kSlab, taps[i]);
          for_each_tap<T, kKernel, kStride>([&](int g, int i, int m) {
            NARSFAST_UNROLL
            for (int j = 0; j < kWidth; ++j) d_x[g][j] += d_y[m][j] * taps[i][j];
          });
        }
        NARSFAST_UNROLL
        for (int g = 0; g < kGroup<T>; ++g) {
          const int column = my_group * kGroup<T> + g;
          const int64_t q = column_origin + column;
          float values[kWidth] = {};
          if (q >= 0 && q < w.width) {
            const int64_t offset = (pixels + (strip_begin + row + my_row) * w.width + q) * w.channels;
            float x[kWidth];
            lane.load(static_cast<const T*>(p.x) + offset, x);
            NARSFAST_UNROLL
            for (int j = 0; j < kWidth; ++j) {
              values[j] = input.apply(j, x[j]);
              d_x[g][j] *= activation_slope(input.activation, input.z(j, x[j]));
            }
            lane.store(static_cast<T*>(p.d_x) + offset, d_x[g]);
            NARSFAST_UNROLL
            for (int j = 0; j < kWidth; ++j) {
              sums[j][0] += d_x[g][j];
              sums[j][1] += d_x[g][j] * (x[j] - means[j]);
            }
          }
          lane.put(inputs + (my_row * t.tile_columns + column) * kSlab, values);
        }
      }
      __syncthreads();
      for (int i = my_part; my_part < kParts && i < rows * t.groups; i += kParts) {
        const int r = row + i / t.groups;
        if (kStride == 2 && (strip_begin + r + top - my_tap) % 2 != 0) continue;
        const int first = i % t.groups * kGroup<T>;
        const float* reached = ring.at(own_row(r) - my_tap / kStride, first / kStride);
        float d_y[kM][kWidth];
        NARSFAST_UNROLL
        for (int m = 0; m < kM; ++m) lane.get(reached + m * kSlab, d_y[m]);
        float x[kGroup<T>][kWidth];
        NARSFAST_UNROLL
        for (int g = 0; g < kGroup<T>; ++g)
          lane.get(inputs + (i / t.groups * t.tile_columns + first + g) * kSlab, x[g]);
        for_each_tap<T, kKernel, kStride>([&](int g, int k, int m) {
          NARSFAST_UNROLL
          for (int j = 0; j < kWidth; ++j) d_weight[k][j] += d_y[m][j] * x[g][j];
        });
      }
      __syncthreads();
    }
  }

  // The threads' parts of every tap are added in order, in the memory of the weights.
  for (int part = 0; part < kParts; ++part) {
    if (my_part == part) {
      for (int k = 0; k < kKernel; ++k) {
        float* at = weights + (my_tap * kKernel + k) * kSlab;
        float values[kWidth] = {};
        if (part > 0) lane.get(at, values);
        for (int j = 0; j < kWidth; ++j) values[j] += d_weight[k][j];
        lane.put(at, values);
      }
    }
    __syncthreads();
  }
  float* out = p.partials + place.partial(t) * (kTaps + 2) * w.channels;
  for (int tap = lane.slot; tap < kTaps; tap += Lane<T>::kSlots) {
    float values[kWidth];
    lane.get(weights + tap * kSlab, values);
    lane.write_channels(out + tap * w.channels, values);
  }
  reduce_slots<T, 2>(lane, shared, sums, JoinSums<2>());
  if (lane.slot == 0) write_fields(lane, sums, out + kTaps * w.channels, w.channels);
}

// Adds the partials: one thread per tap (or sum) and channel.
__global__ void __launch_bounds__(kThreads)
    join_gradients_kernel(const float* partials, int64_t count, int64_t taps, int64_t channels,
                          DeviceNorm input, float* d_weight, float* d_input_weight, float* d_input_bias) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t plane = (taps + 2) * channels;
  if (index >= plane) return;
  float sum = 0;
  for (int64_t p = 0; p < count; ++p) sum += read(partials + p * plane + index);
  const int64_t tap = index / channels;
  const int64_t c = index % channels;
  if (tap < taps) {
    write(d_weight + c * taps + tap, sum);
  } else if (tap == taps) {
    if (d_input_bias != nullptr) write(d_input_bias + c, sum);
  } else {
    if (d_input_weight != nullptr) write(d_input_weight + c, sum * input.inverse(c));
  }
}

template <typename T>
Tiling gradient_tiling(const Window& w) {
  const auto kernel = static_cast<int>(w.kernel);
  const auto stride = static_cast<int>(w.stride);
  const int back = (kernel - 1) / stride;
  const auto columns = [=](int inputs) { return inputs / stride + back; };
  const auto rows = [=](int inputs) { return (inputs + stride - 2) / stride + back + 1; };
  return make_tiling<T>(w.height, w.width + (stride == 2 ? w.left % 2 : 0), kTile,
                        kernel * kernel + DeviceNormGradient::kVectors, 1, columns, rows);
}

// Images that each block processes one after another: enough blocks to fill a large device, few partials.
int64_t images_per_block(const Window& w, const Tiling& t) {
  constexpr int64_t kBlocks = 1024;
  const int64_t blocks_per_image = ceil_div(w.channels, kSlab) * t.tiles * t.strips;
  return w.images * blocks_per_image <= kBlocks ? 1 : ceil_div(w.images * blocks_per_image, kBlocks);
}

int64_t gradient_partials(const Window& w, const Tiling& t) {
  return ceil_div(w.images, images_per_block(w, t)) * t.strips * t.tiles;
}

}  // namespace

size_t convolve_gradient_workspace(const ConvolveGradientArguments& a) {
  size_t bytes = 0;
  dispatch_dtype(a.dtype, [&](auto element) {
    const Window& w = a.window;
    const int64_t partials = gradient_partials(w, gradient_tiling<decltype(element)>(w));
    bytes = sizeof(float) * static_cast<size_t>(partials * (w.kernel * w.kernel + 2) * w.channels);
    return 0;
  });
  return bytes;
}

int convolve_gradient(const ConvolveGradientArguments& a, void* stream) {
  const Window& w = a.window;
  return dispatch_dtype(a.dtype, [&](auto element) {
    using T = decltype(element);
    return dispatch_window(w, [&](auto kernel, auto stride) {
      const Tiling t = gradient_tiling<T>(w);
      const Gradient gradient{w,
                              DeviceNormGradient(a.norm),
                              a.x,
                              DeviceNorm(a.input),
                              static_cast<const float*>(a.weight),
                              a.d_x,
                              static_cast<float*>(a.workspace),
                              images_per_block(w, t)};
      const int64_t taps = w.kernel * w.kernel;
      const int64_t pixels = taps + DeviceNormGradient::kVectors + int64_t{t.step} * t.tile_columns +
                             int64_t{t.ring_rows} * t.ring_columns;
      const size_t used = static_cast<size_t>(pixels) * kSlab * sizeof(float);
      constexpr size_t kReduced = reduce_slots_bytes<T, 2>();
      launch(gradient_kernel<T, kernel.value, stride.value>,
             ceil_div(w.images, gradient.images_per_block) * t.strips * t.tiles * ceil_div(w.channels, kSlab),
             used > kReduced ? used : kReduced, stream, gradient, t,
             aligned_maps<T>(w.channels, a.x, a.d_x, a.norm.y, a.norm.d_out));
      launch(join_gradients_kernel, ceil_div((taps + 2) * w.channels, kThreads), 0, stream, gradient.partials,
             gradient_partials(w, t), taps, w.channels, gradient.input, static_cast<float*>(a.d_weight),
             static_cast<float*>(a.d_input_weight), static_cast<float*>(a.d_input_bias));
      return launch_error();
    });
  });
}

}  // namespace narsfast::cuda
