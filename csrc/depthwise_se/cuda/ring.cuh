#pragma once

#include "depthwise_se/cuda/activation.cuh"

namespace narsfast::cuda {

// A ring buffer of rows of one slab of a map, as floats in shared memory. A block walks down a strip of the
// map and keeps the rows that its window still needs, so that no row is loaded twice. Row and column are
// relative to the ring's origin; row r is stored at r % rows.
struct Ring {
  float* data;
  int rows;
  int columns;

  __device__ float* at(int row, int column) const { return data + (row % rows * columns + column) * kSlab; }

  // Fills rows [first, last): load(row, column, values) loads one pixel.
  template <typename T, typename Load>
  __device__ void fill(const Lane<T>& lane, int first, int last, const Load& load) const {
    for (int i = lane.slot; i < (last - first) * columns; i += Lane<T>::kSlots) {
      const int row = first + i / columns;
      const int column = i % columns;
      float values[Lane<T>::kWidth];
      load(row, column, values);
      lane.put(at(row, column), values);
    }
  }
};

// How a map is divided: into tiles of columns and strips of rows. A block processes `step` rows at a time,
// each thread a group of kGroup adjacent columns. Ring rows and columns are what a step needs of the map
// under the window.
struct Tiling {
  int tiles, tile_columns, groups;
  int strips, strip_rows;
  int step;
  int ring_rows, ring_columns;
};

constexpr int kTile = 32;

template <typename T>
constexpr int kGroup = 16 / Lane<T>::kWidth;  // 16 sums per thread

// Divides rows x columns evenly. ring_columns(columns) and ring_rows(step) return what a tile and a step need
// of the ring. Shared memory already holds `reserved` pixels (32 floats each), and a step needs `extra` more
// for each of its outputs.
template <typename T, typename RingColumns, typename RingRows>
Tiling make_tiling(int64_t rows, int64_t columns, int max_columns, int reserved, int extra,
                   const RingColumns& ring_columns, const RingRows& ring_rows) {
  const auto as_int = [](int64_t value) { return static_cast<int>(value); };
  Tiling t;
  t.tiles = as_int(ceil_div(columns, max_columns));
  t.groups = as_int(ceil_div(ceil_div(columns, t.tiles), kGroup<T>));
  t.tile_columns = t.groups * kGroup<T>;
  t.tiles = as_int(ceil_div(columns, t.tile_columns));
  t.strips = as_int(ceil_div(rows, kTile));
  t.strip_rows = as_int(ceil_div(rows, t.strips));
  t.strips = as_int(ceil_div(rows, t.strip_rows));
  t.ring_columns = ring_columns(t.tile_columns);
  const int pixels = kSharedBytes / static_cast<int>(sizeof(float)) / kSlab - reserved;
  t.step = Lane<T>::kSlots / t.groups;
  if (t.step > t.strip_rows) t.step = t.strip_rows;
  while (t.step > 1 && ring_rows(t.step) * t.ring_columns + extra * t.step * t.tile_columns > pixels)
    --t.step;
  t.ring_rows = ring_rows(t.step);
  return t;
}

// The slab, tile and strip of a block, and the index of its image or group of images. Slabs vary fastest, so
// that neighboring blocks access the same pages of memory.
struct BlockPlace {
  int64_t slab, tile, strip, image_group;
  __device__ BlockPlace(int64_t slabs, const Tiling& t) {
    int64_t index = blockIdx.x;
    slab = index % slabs;
    index /= slabs;
    tile = index % t.tiles;
    index /= t.tiles;
    strip = index % t.strips;
    image_group = index / t.strips;
  }
  __device__ int64_t partial(const Tiling& t) const {
    return (image_group * t.strips + strip) * t.tiles + tile;
  }
};

template <int kValue>
struct Constant {
  static constexpr int value = kValue;
};

// Calls run with the window's kernel and stride as constants; kUnsupported where there is no kernel for them.
template <typename Run>
int dispatch_window(const Window& window, const Run& run) {
  const auto with_stride = [&](auto kernel) {
    if (window.stride == 1) return run(kernel, Constant<1>{});
    if (window.stride == 2) return run(kernel, Constant<2>{});
    return kUnsupported;
  };
  switch (window.kernel) {
    case 3:
      return with_stride(Constant<3>{});
    case 5:
      return with_stride(Constant<5>{});
    case 7:
      return with_stride(Constant<7>{});
    default:
      return kUnsupported;
  }
}

// Copies the weights of a slab to shared memory, (taps, 32).
template <int kKernel, typename T>
__device__ void fill_weights(const Lane<T>& lane, const float* weight, float* shared) {
  constexpr int kTaps = kKernel * kKernel;
  for (int tap = lane.slot; tap < kTaps; tap += Lane<T>::kSlots) {
    float values[Lane<T>::kWidth];
    for (int j = 0; j < Lane<T>::kWidth; ++j)
      values[j] = lane.holds(j) ? read(weight + lane.channel(j) * kTaps + tap) : 0;
    lane.put(shared + tap * kSlab, values);
  }
}

}  // namespace narsfast::cuda
