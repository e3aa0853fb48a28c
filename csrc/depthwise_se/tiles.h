#pragma once

// The inner loops of a depthwise convolution over rows, packed or as they lie in the map: one vector of
// channels, columns side by side.

#include "depthwise_se/slab.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

constexpr int kLongestKernel = 7;
constexpr int kTile = 8;  // output columns whose sums stay in registers

// Rows of maps that are worked on soon: their lines are asked for a few at a time, between tiles, because
// memory is too far for the processor's own foresight, and too slow to be asked for all of them at once.
struct Ahead {
  static constexpr int kMost = 4;  // rows
  const char* at[kMost];
  const char* end[kMost];
  int64_t share[kMost];  // bytes a tile
  int rows = 0;

  // Only rows of at least `least` bytes that lie in one piece: the others are foreseen. map: an image's first
  // channel, or the slab's; map_rows: from there to the end of the map, next images' too; columns: of the
  // tiles between which the lines are asked for.
  template <class Real, class Storage>
  void add(const Storage* map, int64_t row, int64_t map_rows, int64_t width, const Slab<Real>& slab,
           int64_t columns, int64_t least) {
    const int64_t bytes = width * slab.channels * static_cast<int64_t>(sizeof(Storage));
    if (row < 0 || row >= map_rows || bytes < least) return;
    if (slab.vectors * kLanes<Real> < slab.channels) return;
    const int64_t tiles = slab.vectors * ((columns - 1) / kTile + 1);
    at[rows] = reinterpret_cast<const char*>(map) + row * bytes;
    end[rows] = at[rows] + bytes;
    share[rows] = (bytes / tiles / kLineBytes + 1) * kLineBytes;
    ++rows;
  }
  NARSFAST_INLINE void ask() {
    for (int i = 0; i < rows; ++i) {
      const char* stop = at[i] + share[i] < end[i] ? at[i] + share[i] : end[i];
      for (; at[i] < stop; at[i] += kLineBytes) __builtin_prefetch(at[i], 0, 2);
    }
  }
};

// How rows of (vectors, columns, lanes) lie.
struct RowLayout {
  int64_t columns;  // zeros are met before and after them
  int64_t step;     // elements from a column to the next
  int64_t plane;    // elements from a vector to the next
  bool packed;      // lanes past the last channel can be read
};

template <class Real>
NARSFAST_INLINE LaneReader<Real> reader(const RowLayout& layout, const Slab<Real>& slab, int64_t v) {
  return LaneReader<Real>(layout.packed ? kLanes<Real> : slab.lanes(v));
}

// Rows of outputs that share what they read, where their sums and taps fit into the registers.
constexpr int rows_together(int taps, int stride) {
  return stride == 1 && taps <= 5 && kRegisters >= 32 ? 2 : 1;
}

// What rows of outputs are made from: `count` input rows, each from column 0 of the slab's first vector on,
// with the row of taps, (taps, lanes), by which the first output row meets it; the second one meets it by the
// row of taps before. The next vector's taps lie `weight_plane` elements further.
template <class Real>
struct RowTaps {
  const Real* rows[kLongestKernel + 1];
  const Real* weights[kLongestKernel + 1];
  int count;
  int first_row;  // of the rows of taps that the first output row meets rows[0] by
  int64_t first;  // column that output 0 meets with tap 0
  RowLayout layout;
  int64_t weight_plane;
  Ahead ahead;
};

// Input columns from `first` on that a tile meets: all, or those whose bits are set.
template <bool kAll>
struct Met {
  uint32_t bits;

  NARSFAST_INLINE bool operator[](int column) const { return kAll || (bits & (1u << column)) != 0; }
  // The same, but compilers do not see it: they would keep every bit's test in memory.
  NARSFAST_INLINE Met again() const {
    uint32_t same = bits;
    if constexpr (!kAll) asm volatile("" : "+r"(same));
    return {same};
  }
};

// Calls body(met) for the kCount input columns from `first` on. Bodies are always inlined: sums are in
// registers, and a compiler that leaves one of many out has them go through memory.
template <int kCount, class Body>
NARSFAST_INLINE void with_met(int64_t first, const RowLayout& layout, const Body& body) {
  if (first >= 0 && first + kCount <= layout.columns) {
    body(Met<true>{0});
    return;
  }
  const int64_t from = first < 0 ? -first : 0;
  const int64_t to = layout.columns - first < kCount ? layout.columns - first : kCount;
  body(Met<false>{from < to ? static_cast<uint32_t>((uint64_t{1} << to) - (uint64_t{1} << from)) : 0});
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
  with_met<kInputs>(first, taps.layout, [&](auto met) __attribute__((always_inline)) {
    Vector<Real> total[kOutRows][kColumns];  // compilers keep what is local in registers
#pragma GCC unroll 2
    for (int o = 0; o < kOutRows; ++o) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) total[o][c] = sum[o][c];
    }
    // Input row i for output rows [from, to).
    const auto meet = [&](int i, auto from, auto to) __attribute__((always_inline)) {
      constexpr int kFrom = decltype(from)::value;
      constexpr int kTo = decltype(to)::value;
      const auto here = met.again();
      const Real* at = taps.rows[i] + offset;
      const Real* weights = taps.weights[i] + v * taps.weight_plane;
      Vector<Real> weight[kOutRows][kTaps];
#pragma GCC unroll 2
      for (int o = kFrom; o < kTo; ++o) {
#pragma GCC unroll 8
        for (int t = 0; t < kTaps; ++t) weight[o][t] = load(weights + (t - o * kTaps) * kLanes<Real>);
      }
      // Each input column is loaded once and met by every tap that reaches it.
#pragma GCC unroll 32
      for (int j = 0; j < kInputs; ++j, at += step) {
        if (!here[j]) continue;
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
          meet(i, kFirst, kSecond);
          continue;
        }
        if (taps.first_row + i == kTaps) {
          meet(i, kSecond, kEnd);
          continue;
        }
      }
      meet(i, kFirst, kEnd);
    }
#pragma GCC unroll 2
    for (int o = 0; o < kOutRows; ++o) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) sum[o][c] = total[o][c];
    }
  });
}

// For each vector of the slab: state = emit.begin(i), emit.tile(state, i, o, column, sums) for output rows o,
// tiles from left to right, emit.end(state, i). emit.start(i) is what the sums start from. Slab and emit are
// copies, which no store can reach.
template <class Real, int kTaps, int kStride, int kOutRows, class Emit>
NARSFAST_APART void convolve_rows(const RowTaps<Real>& taps, const Slab<Real> slab, int64_t width,
                                  Emit emit) {
  Ahead ahead = taps.ahead;
  for (int64_t v = 0; v < slab.vectors; ++v) {
    auto state = emit.begin(v);
    const Vector<Real> start = emit.start(v);
    const LaneReader<Real> lanes = reader(taps.layout, slab, v);
    const auto tile = [&](auto columns, int64_t column) __attribute__((always_inline)) {
      ahead.ask();
      Vector<Real> sum[kOutRows][columns.value];
#pragma GCC unroll 2
      for (int o = 0; o < kOutRows; ++o) {
#pragma GCC unroll 8
        for (int c = 0; c < columns.value; ++c) sum[o][c] = start;
      }
      convolve_tile<Real, kTaps, kStride, kOutRows, columns.value>(taps, v, lanes, column, sum);
#pragma GCC unroll 2
      for (int o = 0; o < kOutRows; ++o) emit.template tile<columns.value>(state, v, o, column, sum[o]);
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
    emit.end(state, v);
  }
}

// Calls body(taps, stride) with constants, for the taps that occur: whole kernels, and at stride 1 their
// halves in the gradient of stride 2.
template <class Body>
NARSFAST_INLINE void with_window(int64_t taps, int64_t stride, const Body& body) {
#define NARSFAST_WINDOW(t, s) \
  case t * 2 + s:             \
    return body(std::integral_constant<int, t>{}, std::integral_constant<int, s>{})
  switch (taps * 2 + stride) {
    NARSFAST_WINDOW(3, 1);
    NARSFAST_WINDOW(3, 2);
    NARSFAST_WINDOW(5, 1);
    NARSFAST_WINDOW(5, 2);
    NARSFAST_WINDOW(7, 1);
    NARSFAST_WINDOW(7, 2);
  }
#undef NARSFAST_WINDOW
}

template <class Body>
NARSFAST_INLINE void with_taps(int64_t taps, const Body& body) {
#define NARSFAST_TAPS(t) \
  case t:                \
    return body(std::integral_constant<int, t>{})
  switch (taps) {
    NARSFAST_TAPS(1);
    NARSFAST_TAPS(2);
    NARSFAST_TAPS(3);
    NARSFAST_TAPS(4);
    NARSFAST_TAPS(5);
    NARSFAST_TAPS(7);
  }
#undef NARSFAST_TAPS
}

// d_weight[i][t] += sum over columns of rows[i][first + column * kStride + t] * d_out[column], for kRows
// input rows. All pointers are one vector's.
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
  // Two columns at a time share what they read.
  const auto columns = [&](auto number, int64_t column) __attribute__((always_inline)) {
    constexpr int kColumns = decltype(number)::value;
    constexpr int kInputs = (kColumns - 1) * kStride + kTaps;
    Vector<Real> gradient[kColumns];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) gradient[c] = load(d_out + (column + c) * kLanes<Real>);
    const int64_t left = first + column * kStride;
    with_met<kInputs>(left, layout, [&](auto met) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const auto here = met.again();
        const Real* at = rows[i] + left * step;
#pragma GCC unroll 16
        for (int j = 0; j < kInputs; ++j, at += step) {
          if (!here[j]) continue;
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

// As many rows at once as have their sums in registers.
template <class Real, int kTaps, int kStride>
NARSFAST_APART void correlate_rows(const Real* const* rows, int count, const RowLayout& layout, int64_t first,
                                   LaneReader<Real> lanes, const Real* d_out, int64_t width,
                                   Real* const* d_weight) {
  constexpr int kTogether = kRegisters >= 32 ? (kTaps == 7 ? 2 : 3) : kTaps == 3 ? 3 : kTaps == 5 ? 2 : 1;
  const auto together = [&](auto number, int i) {
    correlate<Real, kTaps, kStride, number.value>(rows + i, layout, first, lanes, d_out, width, d_weight + i);
  };
  int i = 0;
  for (; i + kTogether <= count; i += kTogether) together(std::integral_constant<int, kTogether>{}, i);
  if constexpr (kTogether > 2) {
    for (; i + 2 <= count; i += 2) together(std::integral_constant<int, 2>{}, i);
  }
  for (; i < count; ++i) together(std::integral_constant<int, 1>{}, i);
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
