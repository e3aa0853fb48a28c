#pragma once

// The inner loops of a depthwise convolution, for one vector of channels and several columns at a time. Rows
// are read from the map itself or from packed copies.

#include "depthwise_se/slab.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

constexpr int kMaxKernel = 7;
constexpr int kTile = 8;  // output columns whose sums stay in registers

// Prefetches rows of maps that are needed soon, a few cache lines before each tile: the hardware prefetcher
// does not look far enough ahead, and requesting whole rows at once would stall.
struct Prefetcher {
  static constexpr int kMaxRows = 4;
  const char* at[kMaxRows];
  const char* end[kMaxRows];
  int64_t bytes_per_tile[kMaxRows];
  int rows = 0;

  // Adds a row if it has at least `min_bytes` and is contiguous for the slab; the hardware prefetches the
  // others. map: the first channel of an image, or of the slab in it; map_rows: rows from there to the end of
  // the map, including later images; columns: output columns of the tiles before which the lines are
  // requested.
  template <class Real, class Storage>
  void add(const Storage* map, int64_t row, int64_t map_rows, int64_t width, const Slab<Real>& slab,
           int64_t columns, int64_t min_bytes) {
    const int64_t bytes = width * slab.channels * static_cast<int64_t>(sizeof(Storage));
    if (row < 0 || row >= map_rows || bytes < min_bytes) return;
    if (slab.vectors * kLanes<Real> < slab.channels) return;
    const int64_t tiles = slab.vectors * ((columns - 1) / kTile + 1);
    at[rows] = reinterpret_cast<const char*>(map) + row * bytes;
    end[rows] = at[rows] + bytes;
    bytes_per_tile[rows] = (bytes / tiles / kLineBytes + 1) * kLineBytes;
    ++rows;
  }
  // Requests the lines of one tile.
  NARSFAST_INLINE void issue() {
    for (int i = 0; i < rows; ++i) {
      const char* stop = at[i] + bytes_per_tile[i] < end[i] ? at[i] + bytes_per_tile[i] : end[i];
      for (; at[i] < stop; at[i] += kLineBytes) __builtin_prefetch(at[i], 0, 2);
    }
  }
};

// The memory layout of rows (vectors, columns, lanes).
struct RowLayout {
  int64_t columns;  // columns before and after them are zero padding
  int64_t step;     // elements between columns
  int64_t plane;    // elements between vectors
  bool packed;      // whether lanes past the last channel are readable
};

template <class Real>
NARSFAST_INLINE LaneReader<Real> reader(const RowLayout& layout, const Slab<Real>& slab, int64_t v) {
  return LaneReader<Real>(layout.packed ? kLanes<Real> : slab.lanes(v));
}

// The number of output rows that are computed together and share loads, as far as registers allow.
constexpr int rows_per_pass(int taps, int stride) {
  return stride == 1 && taps <= 5 && kRegisters >= 32 ? 2 : 1;
}

// The inputs of output rows that are computed together: `count` input rows, each from column 0 of the slab's
// first vector, and for each the row of taps, (taps, lanes), that the first output row applies to it. The
// second output row applies the previous row of taps. Taps of consecutive vectors are `weight_plane` elements
// apart.
template <class Real>
struct RowTaps {
  const Real* rows[kMaxKernel + 1];
  const Real* weights[kMaxKernel + 1];
  int count;
  int first_row;  // index of the row of taps that the first output row applies to rows[0]
  int64_t first;  // input column that output column 0 reads with tap 0
  RowLayout layout;
  int64_t weight_plane;
  Prefetcher prefetcher;
};

// Which of a tile's input columns are inside the map: all, or those whose bits are set.
template <bool kAll>
struct ColumnMask {
  uint32_t bits;

  NARSFAST_INLINE bool operator[](int column) const { return kAll || (bits & (1u << column)) != 0; }
  // A copy that the compiler cannot see through: it would otherwise store the test of every bit in memory.
  NARSFAST_INLINE ColumnMask opaque_copy() const {
    uint32_t same = bits;
    if constexpr (!kAll) asm volatile("" : "+r"(same));
    return {same};
  }
};

// Calls body(mask) with the mask of the kCount input columns from `first` on. Bodies must always be inlined:
// a call would force the sums out of registers and through memory.
template <int kCount, class Body>
NARSFAST_INLINE void with_column_mask(int64_t first, const RowLayout& layout, const Body& body) {
  if (first >= 0 && first + kCount <= layout.columns) {
    body(ColumnMask<true>{0});
    return;
  }
  const int64_t from = first < 0 ? -first : 0;
  const int64_t to = layout.columns - first < kCount ? layout.columns - first : kCount;
  body(ColumnMask<false>{from < to ? static_cast<uint32_t>((uint64_t{1} << to) - (uint64_t{1} << from)) : 0});
}

// sum[o][c] += over rows i and taps t: rows[i][taps.first + (column + c) * kStride + t] times output row o's
// tap, for vector v.
template <class Real, int kTaps, int kStride, int kOutRows, int kColumns>
NARSFAST_INLINE void convolve_tile(const RowTaps<Real>& taps, int64_t v, LaneReader<Real> lanes,
                                   int64_t column, Vector<Real> (*sum)[kColumns]) {
  constexpr int kInputs = (kColumns - 1) * kStride + kTaps;
  const int64_t first = taps.first + column * kStride;
  const int64_t step = taps.layout.step;
  const int64_t offset = v * taps.layout.plane + first * step;
  with_column_mask<kInputs>(first, taps.layout, [&](auto mask) __attribute__((always_inline)) {
    Vector<Real> total[kOutRows][kColumns];  // a local array, which compilers keep in registers
#pragma GCC unroll 2
    for (int o = 0; o < kOutRows; ++o) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) total[o][c] = sum[o][c];
    }
    // Accumulates input row i into output rows [from, to).
    const auto accumulate_row = [&](int i, auto from, auto to) __attribute__((always_inline)) {
      constexpr int kFrom = decltype(from)::value;
      constexpr int kTo = decltype(to)::value;
      const auto present = mask.opaque_copy();
      const Real* at = taps.rows[i] + offset;
      const Real* weights = taps.weights[i] + v * taps.weight_plane;
      Vector<Real> weight[kOutRows][kTaps];
#pragma GCC unroll 2
      for (int o = kFrom; o < kTo; ++o) {
#pragma GCC unroll 8
        for (int t = 0; t < kTaps; ++t) weight[o][t] = load(weights + (t - o * kTaps) * kLanes<Real>);
      }
      // Each input column is loaded once and multiplied by every tap that reads it.
#pragma GCC unroll 32
      for (int j = 0; j < kInputs; ++j, at += step) {
        if (!present[j]) continue;
        const Vector<Real> value = in_register<Real>(lanes.load(at));
#pragma GCC unroll 8
        for (int t = 0; t < kTaps; ++t) {
          if (j - t >= 0 && (j - t) % kStride == 0 && (j - t) / kStride < kColumns) {
#pragma GCC unroll 2
            for (int o = kFrom; o < kTo; ++o) total[o][(j - t) / kStride] += value * weight[o][t];
          }
        }
      }
    };
    constexpr std::integral_constant<int, 0> kFirst{};
    constexpr std::integral_constant<int, 1> kSecond{};
    constexpr std::integral_constant<int, kOutRows> kEnd{};
    for (int i = 0; i < taps.count; ++i) {
      if constexpr (kOutRows == 2) {
        if (taps.first_row + i == 0) {
          accumulate_row(i, kFirst, kSecond);
          continue;
        }
        if (taps.first_row + i == kTaps) {
          accumulate_row(i, kSecond, kEnd);
          continue;
        }
      }
      accumulate_row(i, kFirst, kEnd);
    }
#pragma GCC unroll 2
    for (int o = 0; o < kOutRows; ++o) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) sum[o][c] = total[o][c];
    }
  });
}

// For each vector i of the slab: state = epilogue.begin(i); epilogue.tile(state, i, o, column, sums) for
// every tile from left to right and every output row o in it; epilogue.end(state, i). Sums start at
// epilogue.start(i). Slab and epilogue are passed by value, so that the compiler knows that no store changes
// them.
template <class Real, int kTaps, int kStride, int kOutRows, class Epilogue>
NARSFAST_NOINLINE void convolve_rows(const RowTaps<Real>& taps, const Slab<Real> slab, int64_t width,
                                     Epilogue epilogue) {
  Prefetcher prefetcher = taps.prefetcher;
  for (int64_t v = 0; v < slab.vectors; ++v) {
    auto state = epilogue.begin(v);
    const Vector<Real> start = epilogue.start(v);
    const LaneReader<Real> lanes = reader(taps.layout, slab, v);
    const auto tile = [&](auto columns, int64_t column) __attribute__((always_inline)) {
      prefetcher.issue();
      Vector<Real> sum[kOutRows][columns.value];
#pragma GCC unroll 2
      for (int o = 0; o < kOutRows; ++o) {
#pragma GCC unroll 8
        for (int c = 0; c < columns.value; ++c) sum[o][c] = start;
      }
      convolve_tile<Real, kTaps, kStride, kOutRows, columns.value>(taps, v, lanes, column, sum);
#pragma GCC unroll 2
      for (int o = 0; o < kOutRows; ++o) epilogue.template tile<columns.value>(state, v, o, column, sum[o]);
    };
    int64_t column = 0;
    for (; column + kTile <= width; column += kTile) tile(std::integral_constant<int, kTile>{}, column);
    if (width - column >= 4) {
      tile(std::integral_constant<int, 4>{}, column);
      column += 4;
    }
    if (width - column >= 2) {
      tile(std::integral_constant<int, 2>{}, column);
      column += 2;
    }
    if (width > column) tile(std::integral_constant<int, 1>{}, column);
    epilogue.end(state, v);
  }
}

// Calls body(kernel, stride) with compile-time constants.
template <class Body>
NARSFAST_INLINE void with_window(int64_t kernel, int64_t stride, const Body& body) {
#define NARSFAST_WINDOW(k, s) \
  case k * 2 + s:             \
    return body(std::integral_constant<int, k>{}, std::integral_constant<int, s>{})
  switch (kernel * 2 + stride) {
    NARSFAST_WINDOW(3, 1);
    NARSFAST_WINDOW(3, 2);
    NARSFAST_WINDOW(5, 1);
    NARSFAST_WINDOW(5, 2);
    NARSFAST_WINDOW(7, 1);
    NARSFAST_WINDOW(7, 2);
  }
#undef NARSFAST_WINDOW
}

// d_weight[i][t] += sum over columns of rows[i][first + column * kStride + t] * d_out[column], for kRows
// input rows. All pointers belong to one vector.
template <class Real, int kTaps, int kStride, int kRows>
NARSFAST_INLINE void correlate(const Real* const* rows, const RowLayout& layout, int64_t first,
                               LaneReader<Real> lanes, const Real* d_out, int64_t width,
                               Real* const* d_weight) {
  Vector<Real> sum[kRows][kTaps];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int t = 0; t < kTaps; ++t) sum[i][t] = load(d_weight[i] + t * kLanes<Real>);
  }
  const int64_t step = layout.step;
  // Two columns at a time share their loads.
  const auto columns = [&](auto number, int64_t column) __attribute__((always_inline)) {
    constexpr int kColumns = decltype(number)::value;
    constexpr int kInputs = (kColumns - 1) * kStride + kTaps;
    Vector<Real> gradient[kColumns];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) gradient[c] = load(d_out + (column + c) * kLanes<Real>);
    const int64_t left = first + column * kStride;
    with_column_mask<kInputs>(left, layout, [&](auto mask) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const auto present = mask.opaque_copy();
        const Real* at = rows[i] + left * step;
#pragma GCC unroll 16
        for (int j = 0; j < kInputs; ++j, at += step) {
          if (!present[j]) continue;
          const Vector<Real> value = in_register<Real>(lanes.load(at));
#pragma GCC unroll 2
          for (int c = 0; c < kColumns; ++c) {
            const int t = j - c * kStride;
            if (t >= 0 && t < kTaps) sum[i][t] += value * gradient[c];
          }
        }
      }
    });
  };
  int64_t column = 0;
  for (; column + 2 <= width; column += 2) columns(std::integral_constant<int, 2>{}, column);
  if (column < width) columns(std::integral_constant<int, 1>{}, column);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int t = 0; t < kTaps; ++t) store(d_weight[i] + t * kLanes<Real>, sum[i][t]);
  }
}

// Correlates as many rows at a time as have their sums in registers.
template <class Real, int kTaps, int kStride>
NARSFAST_NOINLINE void correlate_rows(const Real* const* rows, int count, const RowLayout& layout,
                                      int64_t first, LaneReader<Real> lanes, const Real* d_out, int64_t width,
                                      Real* const* d_weight) {
  constexpr int kRowsPerPass = kRegisters >= 32 ? (kTaps == 7 ? 2 : 3) : kTaps == 3 ? 3 : kTaps == 5 ? 2 : 1;
  const auto correlate_some = [&](auto number, int i) {
    correlate<Real, kTaps, kStride, number.value>(rows + i, layout, first, lanes, d_out, width, d_weight + i);
  };
  int i = 0;
  for (; i + kRowsPerPass <= count; i += kRowsPerPass)
    correlate_some(std::integral_constant<int, kRowsPerPass>{}, i);
  if constexpr (kRowsPerPass > 2) {
    for (; i + 2 <= count; i += 2) correlate_some(std::integral_constant<int, 2>{}, i);
  }
  for (; i < count; ++i) correlate_some(std::integral_constant<int, 1>{}, i);
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
