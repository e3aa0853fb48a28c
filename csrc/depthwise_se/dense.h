#pragma once

// The small matrix products of squeeze-excite, row-major. A result depends on its row and column alone, never
// on how many rows there are.

#include "common/threads.h"
#include "depthwise_se/vector.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

constexpr int64_t kDenseRows = 4;

template <class Real>
NARSFAST_INLINE Real sum_lanes(Vector<Real> value) {
  Real sum = 0;
  for (int l = 0; l < kLanes<Real>; ++l) sum += value[l];
  return sum;
}

template <class Real, int kRows, int kColumns>
NARSFAST_INLINE void dot_tile(const Real* a, const Real* b, const Real* bias, int64_t inner, int64_t columns,
                              Real* out) {
  Vector<Real> sum[kRows][kColumns] = {};
  for (int64_t k = 0; k < inner; k += kLanes<Real>) {
    Vector<Real> left[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) left[r] = load_some<Real>(a + r * inner + k, inner - k);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const Vector<Real> right = load_some<Real>(b + c * inner + k, inner - k);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r][c] += left[r] * right;
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) out[r * columns + c] = bias[c] + sum_lanes<Real>(sum[r][c]);
  }
}

// out (rows, columns) = a (rows, inner) * b (columns, inner)^T + bias (columns,).
template <class Real>
void multiply_transposed(const Real* a, const Real* b, const Real* bias, int64_t rows, int64_t columns,
                         int64_t inner, Real* out) {
  int64_t r = 0;
  for (; r + kDenseRows <= rows; r += kDenseRows) {
    int64_t c = 0;
    for (; c + 2 <= columns; c += 2) {
      dot_tile<Real, kDenseRows, 2>(a + r * inner, b + c * inner, bias + c, inner, columns,
                                    out + r * columns + c);
    }
    for (; c < columns; ++c) {
      dot_tile<Real, kDenseRows, 1>(a + r * inner, b + c * inner, bias + c, inner, columns,
                                    out + r * columns + c);
    }
  }
  for (; r < rows; ++r) {
    int64_t c = 0;
    for (; c + 8 <= columns; c += 8) {
      dot_tile<Real, 1, 8>(a + r * inner, b + c * inner, bias + c, inner, columns, out + r * columns + c);
    }
    for (; c < columns; ++c) {
      dot_tile<Real, 1, 1>(a + r * inner, b + c * inner, bias + c, inner, columns, out + r * columns + c);
    }
  }
}

// A matrix whose rows and columns lie `row_step` and `inner_step` elements apart.
template <class Real>
struct Strided {
  const Real* at;
  int64_t row_step;
  int64_t inner_step;
};

template <class Real, int kRows>
NARSFAST_INLINE void product_rows(const Strided<Real>& a, const Real* b, int64_t row, int64_t columns,
                                  int64_t inner, Real* out) {
  const Real* left = a.at + row * a.row_step;
  int64_t c = 0;
  for (; c + 2 * kLanes<Real> <= columns; c += 2 * kLanes<Real>) {
    Vector<Real> sum[kRows][2] = {};
    for (int64_t k = 0; k < inner; ++k) {
      const Vector<Real> first = load(b + k * columns + c);
      const Vector<Real> second = load(b + k * columns + c + kLanes<Real>);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const Vector<Real> factor = broadcast(left[r * a.row_step + k * a.inner_step]);
        sum[r][0] += factor * first;
        sum[r][1] += factor * second;
      }
    }
    for (int r = 0; r < kRows; ++r) {
      store(out + (row + r) * columns + c, sum[r][0]);
      store(out + (row + r) * columns + c + kLanes<Real>, sum[r][1]);
    }
  }
  for (; c < columns; c += kLanes<Real>) {
    Vector<Real> sum[kRows] = {};
    for (int64_t k = 0; k < inner; ++k) {
      const Vector<Real> right = load_some<Real>(b + k * columns + c, columns - c);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sum[r] += broadcast(left[r * a.row_step + k * a.inner_step]) * right;
    }
    for (int r = 0; r < kRows; ++r) store_some<Real>(out + (row + r) * columns + c, sum[r], columns - c);
  }
}

// out (rows, columns) = a (rows, inner) * b (inner, columns), on several threads where that pays.
template <class Real>
void multiply(const Strided<Real>& a, const Real* b, int64_t rows, int64_t columns, int64_t inner,
              Real* out) {
  for_chunks(rows, 16 * kDenseRows, static_cast<double>(columns * inner) / 16,
             [&](int64_t begin, int64_t end) {
               int64_t row = begin;
               for (; row + kDenseRows <= end; row += kDenseRows)
                 product_rows<Real, kDenseRows>(a, b, row, columns, inner, out);
               for (; row < end; ++row) product_rows<Real, 1>(a, b, row, columns, inner, out);
             });
}

// Hard-sigmoid and its derivative (torch's at the kinks).
template <class Real>
NARSFAST_INLINE Vector<Real> hard_sigmoid(Vector<Real> value) {
  const Vector<Real> shifted = value + Real(3);
  const Vector<Real> zero{};
  const Vector<Real> above = shifted < zero ? zero : shifted;
  return (above > zero + Real(6) ? zero + Real(6) : above) * Real(1.0 / 6);
}

template <class Real>
NARSFAST_INLINE Vector<Real> hard_sigmoid_derivative(Vector<Real> value) {
  const Vector<Real> zero{};
  const auto inside = (value > zero - Real(3)) & (value < zero + Real(3));
  return inside ? zero + Real(1.0 / 6) : zero;
}

// out[i] = transform(values[i]), vector by vector.
template <class Real, class Transform>
NARSFAST_INLINE void map_values(const Real* values, int64_t count, Real* out, const Transform& transform) {
  for (int64_t i = 0; i < count; i += kLanes<Real>) {
    store_some<Real>(out + i, transform(load_some<Real>(values + i, count - i), i), count - i);
  }
}

// pooled (images, channels) to the values before both activations; `inner` (images, squeezed) is overwritten.
template <class Real>
void excite_images(const Excite& excite, int64_t images, int64_t channels, const Real* pooled, Real* hidden,
                   Real* inner, Real* gate) {
  multiply_transposed<Real>(pooled, static_cast<const Real*>(excite.reduce_weight),
                            static_cast<const Real*>(excite.reduce_bias), images, excite.squeezed, channels,
                            hidden);
  with_activation(excite.activation, [&](auto activation) {
    map_values<Real>(hidden, images * excite.squeezed, inner,
                     [&](Vector<Real> value, int64_t) { return activate<activation.value, Real>(value); });
  });
  multiply_transposed<Real>(inner, static_cast<const Real*>(excite.expand_weight),
                            static_cast<const Real*>(excite.expand_bias), images, channels, excite.squeezed,
                            gate);
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
