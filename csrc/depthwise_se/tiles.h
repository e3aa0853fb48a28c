#pragma once

// The inner loops of a depthwise convolution over packed rows: one vector of channels, columns side by side.

#include "depthwise_se/vector.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

constexpr int kLongestKernel = 7;
constexpr int kTile = 8;  // output columns whose sums stay in registers

// What a row of outputs is made from: `count` input rows, each (columns, lanes), with (taps, lanes) weights.
template <class Real>
struct RowTaps {
  const Real* rows[kLongestKernel];
  const Real* weights[kLongestKernel];
  int count;
};

// out[column * step] = bias + sum over rows i and taps t of rows[i][column * kStride + t] * weights[i][t].
template <class Real, int kTaps, int kStride, int kColumns>
NARSFAST_INLINE void convolve_tile(const RowTaps<Real>& taps, int64_t column, Vector<Real> bias, Real* out,
                                   int64_t step) {
  Vector<Real> sum[kColumns];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) sum[c] = bias;
  for (int i = 0; i < taps.count; ++i) {
    const Real* row = taps.rows[i] + column * kStride * kLanes<Real>;
    Vector<Real> weight[kTaps];
#pragma GCC unroll 8
    for (int t = 0; t < kTaps; ++t) weight[t] = load(taps.weights[i] + t * kLanes<Real>);
    // Each input column is loaded once and met by every tap that reaches it.
#pragma GCC unroll 32
    for (int j = 0; j < (kColumns - 1) * kStride + kTaps; ++j) {
      const Vector<Real> value = load(row + j * kLanes<Real>);
#pragma GCC unroll 8
      for (int t = 0; t < kTaps; ++t) {
        if (j - t >= 0 && (j - t) % kStride == 0 && (j - t) / kStride < kColumns) {
          sum[(j - t) / kStride] += value * weight[t];
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) store(out + (column + c) * step * kLanes<Real>, sum[c]);
}

template <class Real, int kTaps, int kStride, int kColumns>
void convolve_rest(const RowTaps<Real>& taps, int64_t column, int64_t rest, Vector<Real> bias, Real* out,
                   int64_t step) {
  if constexpr (kColumns > 0) {
    if (rest == kColumns) {
      convolve_tile<Real, kTaps, kStride, kColumns>(taps, column, bias, out, step);
    } else {
      convolve_rest<Real, kTaps, kStride, kColumns - 1>(taps, column, rest, bias, out, step);
    }
  }
}

template <class Real, int kTaps, int kStride>
void convolve_row(const RowTaps<Real>& taps, int64_t width, const Real* bias, Real* out, int64_t step) {
  const Vector<Real> start = bias == nullptr ? Vector<Real>{} : load(bias);
  int64_t column = 0;
  for (; column + kTile <= width; column += kTile) {
    convolve_tile<Real, kTaps, kStride, kTile>(taps, column, start, out, step);
  }
  convolve_rest<Real, kTaps, kStride, kTile - 1>(taps, column, width - column, start, out, step);
}

template <class Real>
using ConvolveRow = void (*)(const RowTaps<Real>& taps, int64_t width, const Real* bias, Real* out,
                             int64_t step);

// For the taps that occur: whole kernels, and at stride 1 their halves in the gradient of stride 2.
template <class Real>
ConvolveRow<Real> row_convolution(int64_t taps, int64_t stride) {
  if (stride == 2) {
    switch (taps) {
      case 3:
        return convolve_row<Real, 3, 2>;
      case 5:
        return convolve_row<Real, 5, 2>;
      default:
        return convolve_row<Real, 7, 2>;
    }
  }
  switch (taps) {
    case 1:
      return convolve_row<Real, 1, 1>;
    case 2:
      return convolve_row<Real, 2, 1>;
    case 3:
      return convolve_row<Real, 3, 1>;
    case 4:
      return convolve_row<Real, 4, 1>;
    case 5:
      return convolve_row<Real, 5, 1>;
    default:
      return convolve_row<Real, 7, 1>;
  }
}

// d_weight[i][t] += sum over columns of rows[i][column * kStride + t] * d_out[column], for kRows input rows.
template <class Real, int kTaps, int kStride, int kRows>
NARSFAST_INLINE void correlate(const Real* const* rows, const Real* d_out, int64_t width,
                               Real* const* d_weight) {
  Vector<Real> sum[kRows][kTaps];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int t = 0; t < kTaps; ++t) sum[i][t] = load(d_weight[i] + t * kLanes<Real>);
  }
  for (int64_t column = 0; column < width; ++column) {
    const Vector<Real> gradient = load(d_out + column * kLanes<Real>);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
      for (int t = 0; t < kTaps; ++t) {
        sum[i][t] += load(rows[i] + (column * kStride + t) * kLanes<Real>) * gradient;
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int t = 0; t < kTaps; ++t) store(d_weight[i] + t * kLanes<Real>, sum[i][t]);
  }
}

// As many rows at once as have their sums in registers.
template <class Real, int kTaps, int kStride>
void correlate_rows(const Real* const* rows, int count, const Real* d_out, int64_t width,
                    Real* const* d_weight) {
  constexpr int kTogether = kTaps == 3 ? 3 : kTaps == 5 ? 2 : 1;
  int i = 0;
  for (; i + kTogether <= count; i += kTogether) {
    correlate<Real, kTaps, kStride, kTogether>(rows + i, d_out, width, d_weight + i);
  }
  for (; i < count; ++i) correlate<Real, kTaps, kStride, 1>(rows + i, d_out, width, d_weight + i);
}

template <class Real>
using CorrelateRows = void (*)(const Real* const* rows, int count, const Real* d_out, int64_t width,
                               Real* const* d_weight);

template <class Real>
CorrelateRows<Real> row_correlation(int64_t taps, int64_t stride) {
  switch (taps * 2 + stride - 1) {
    case 6:
      return correlate_rows<Real, 3, 1>;
    case 7:
      return correlate_rows<Real, 3, 2>;
    case 10:
      return correlate_rows<Real, 5, 1>;
    case 11:
      return correlate_rows<Real, 5, 2>;
    case 14:
      return correlate_rows<Real, 7, 1>;
    default:
      return correlate_rows<Real, 7, 2>;
  }
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
