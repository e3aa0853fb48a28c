#pragma once

// The small matrix products of squeeze-excite, row-major. Each result depends on its row and column alone,
// not on the number of rows.

#include <utility>

#include "common/threads.h"
#include "depthwise_se/activation.h"
#include "depthwise_se/transpose.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

constexpr int kDenseRows = 4;

// The sums of adjacent lanes of a, then of b.
template <class Real, int... kLane>
NARSFAST_INLINE Vector<Real> add_pairs(Vector<Real> a, Vector<Real> b, std::integer_sequence<int, kLane...>) {
  return __builtin_shufflevector(a, b, (2 * kLane)...) + __builtin_shufflevector(a, b, (2 * kLane + 1)...);
}

// Lane i of the result, i < kCount, is the sum of kSpan consecutive lanes of values[i]. kCount is a power of
// 2, at most kSpan.
template <class Real, int kCount, int kSpan = kLanes<Real>>
NARSFAST_INLINE Vector<Real> sum_lanes(const Vector<Real>* values) {
  if constexpr (kSpan == 1) {
    return values[0];
  } else {
    constexpr int kPairs = (kCount + 1) / 2;
    Vector<Real> sums[kPairs];
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) {
      sums[i] = add_pairs<Real>(values[2 * i], values[kCount > 1 ? 2 * i + 1 : 0],
                                std::make_integer_sequence<int, kLanes<Real>>{});
    }
    return sum_lanes<Real, kPairs, kSpan / 2>(sums);
  }
}

template <class Real, int kRows, int kColumns>
NARSFAST_INLINE void dot_tile(const Real* a, const Real* b, const Real* bias, int64_t inner, int64_t columns,
                              Real* out) {
  Vector<Real> sum[kRows][kColumns];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) sum[r][c] = Vector<Real>{};
  }
  const auto add = [&](int64_t k, const auto& read) {
    Vector<Real> left[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) left[r] = read(a + r * inner + k);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const Vector<Real> right = read(b + c * inner + k);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r][c] += left[r] * right;
    }
  };
  int64_t k = 0;
  for (; k + kLanes<Real> <= inner; k += kLanes<Real>) add(k, [](const Real* at) { return load(at); });
  if (k < inner) add(k, [&](const Real* at) { return load_partial<Real>(at, inner - k); });
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const Vector<Real> sums = sum_lanes<Real, kColumns>(sum[r]);
    store_partial<Real>(out + r * columns, sums + load_partial<Real>(bias, kColumns), kColumns);
  }
}

template <class Real, int kRows>
NARSFAST_INLINE void dot_rows(const Real* a, const Real* b, const Real* bias, int64_t columns, int64_t inner,
                              Real* out) {
  constexpr int kColumns = kLanes<Real> < 4 ? kLanes<Real> : 4;
  int64_t c = 0;
  for (; c + kColumns <= columns; c += kColumns) {
    dot_tile<Real, kRows, kColumns>(a, b + c * inner, bias + c, inner, columns, out + c);
  }
  for (; c < columns; ++c) dot_tile<Real, kRows, 1>(a, b + c * inner, bias + c, inner, columns, out + c);
}

// out (rows, columns) = a (rows, inner) * b (columns, inner)^T + bias (columns,).
template <class Real>
void multiply_transposed(const Real* a, const Real* b, const Real* bias, int64_t rows, int64_t columns,
                         int64_t inner, Real* out) {
  constexpr int kRows = kRegisters >= 32 ? 4 : 2;  // sums stay in registers
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    dot_rows<Real, kRows>(a + r * inner, b, bias, columns, inner, out + r * columns);
  }
  for (; r < rows; ++r) dot_rows<Real, 1>(a + r * inner, b, bias, columns, inner, out + r * columns);
}

// A matrix (columns, inner) with short rows, packed so that the product with its transpose reads it in order.
// Columns that fill the last panel are 0.
template <class Real>
struct Panels {
  static constexpr int kVectorsOfPanel = 2;
  static constexpr int64_t kColumns = kVectorsOfPanel * kLanes<Real>;
  int64_t columns, inner;
  Buffer<Real> packed;

  Panels(const Real* matrix, int64_t all_columns, int64_t all_inner)
      : columns(all_columns),
        inner(all_inner),
        packed((all_columns + kColumns - 1) / kColumns * kColumns * all_inner) {
    const auto one = [](int64_t) { return broadcast(Real(1)); };
    pack_panels<Real, kVectorsOfPanel>(matrix, inner == 0 ? 0 : columns, inner, one, packed.at);
  }
  // The panel that starts at column c.
  const Real* panel(int64_t c) const { return packed.at + c * inner; }
};

template <class Real, int kRows>
NARSFAST_NOINLINE void panel_rows(const Real* a, const Panels<Real>& panels, const Real* bias, Real* out) {
  constexpr int kVectorsOfPanel = Panels<Real>::kVectorsOfPanel;
  for (int64_t c = 0; c < panels.columns; c += Panels<Real>::kColumns) {
    const Real* right = panels.panel(c);
    Vector<Real> sum[kRows][kVectorsOfPanel] = {};
    for (int64_t k = 0; k < panels.inner; ++k, right += Panels<Real>::kColumns) {
      Vector<Real> values[kVectorsOfPanel];
#pragma GCC unroll 2
      for (int v = 0; v < kVectorsOfPanel; ++v) values[v] = load(right + v * kLanes<Real>);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vector<Real> factor = broadcast(a[r * panels.inner + k]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectorsOfPanel; ++v) sum[r][v] += factor * values[v];
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < kVectorsOfPanel; ++v) {
      const int64_t at = c + v * kLanes<Real>;
      const int64_t left = panels.columns - at;
      if (left <= 0) break;
      const Vector<Real> shift = load_partial<Real>(bias + at, left);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        store_partial<Real>(out + r * panels.columns + at, sum[r][v] + shift, left);
      }
    }
  }
}

// out (rows, columns) = a (rows, inner) * panels^T + bias (columns,).
template <class Real>
void multiply_panels(const Real* a, const Panels<Real>& panels, const Real* bias, int64_t rows, Real* out) {
  constexpr int kRows = kRegisters >= 32 ? 8 : 4;  // sums stay in registers
  int64_t r = 0;
  const auto multiply_rows = [&](auto number) {
    for (; r + number.value <= rows; r += number.value) {
      panel_rows<Real, number.value>(a + r * panels.inner, panels, bias, out + r * panels.columns);
    }
  };
  multiply_rows(std::integral_constant<int, kRows>{});
  multiply_rows(std::integral_constant<int, kRows / 2>{});
  multiply_rows(std::integral_constant<int, 1>{});
}

// The number of images that go through squeeze-excite together: enough rows for efficient products, and few
// enough that their maps are still in the cache when they are gated.
NARSFAST_INLINE int64_t images_per_pass(int64_t values) {
  constexpr int64_t kCachedValues = 1 << 17;
  const int64_t fitting = kCachedValues / (values + 1);
  return fitting >= 2 * kDenseRows ? 2 * kDenseRows : fitting >= kDenseRows ? kDenseRows : 1 + fitting / 2;
}

// A matrix whose rows are `row_step` elements apart, and the elements of a row `inner_step`.
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
      const Vector<Real> right = load_partial<Real>(b + k * columns + c, columns - c);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) sum[r] += broadcast(left[r * a.row_step + k * a.inner_step]) * right;
    }
    for (int r = 0; r < kRows; ++r) store_partial<Real>(out + (row + r) * columns + c, sum[r], columns - c);
  }
}

// out (rows, columns) = a (rows, inner) * b (inner, columns), on several threads where it is large.
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

// out[i] = transform(values[i], i), vector by vector.
template <class Real, class Transform>
NARSFAST_INLINE void transform_values(const Real* values, int64_t count, Real* out,
                                      const Transform& transform) {
  for (int64_t i = 0; i < count; i += kLanes<Real>) {
    store_partial<Real>(out + i, transform(load_partial<Real>(values + i, count - i), i), count - i);
  }
}

// opened = gate_kind(gate), elementwise; opened may be gate.
template <class Real>
void open_gates(Gate gate_kind, const Real* gate, int64_t count, Real* opened) {
  with_gate(gate_kind, [&](auto kind) {
    transform_values<Real>(gate, count, opened,
                           [&](Vector<Real> value, int64_t) { return open_gate<kind.value, Real>(value); });
  });
}

// Computes hidden (images, squeezed) before its activation and gate (images, channels) before gate_kind, from
// pooled (images, channels). `inner` (images, squeezed) is workspace; `expand` holds the expand weights.
template <class Real>
void excite_images(const Excite& excite, const Panels<Real>& expand, int64_t images, const Real* pooled,
                   Real* hidden, Real* inner, Real* gate) {
  multiply_transposed<Real>(pooled, static_cast<const Real*>(excite.reduce_weight),
                            static_cast<const Real*>(excite.reduce_bias), images, excite.squeezed,
                            expand.columns, hidden);
  with_activation(excite.activation, [&](auto activation) {
    transform_values<Real>(hidden, images * excite.squeezed, inner, [&](Vector<Real> value, int64_t) {
      return activate<activation.value, Real>(value);
    });
  });
  multiply_panels<Real>(inner, expand, static_cast<const Real*>(excite.expand_bias), images, gate);
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
