#pragma once

// Packs matrices into panels, so that a loop over the columns reads vectors of rows.

#include <utility>

#include "depthwise_se/slab.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Swaps the lanes of `a` whose index has bit kStep with the lanes of `b` whose index lacks it.
template <class Real, int kStep, int... kLane>
NARSFAST_INLINE void swap_lanes(Vector<Real>& a, Vector<Real>& b, std::integer_sequence<int, kLane...>) {
  const Vector<Real> first =
      __builtin_shufflevector(a, b, ((kLane & kStep) ? kLanes<Real> + kLane - kStep : kLane)...);
  b = __builtin_shufflevector(a, b, ((kLane & kStep) ? kLanes<Real> + kLane : kLane + kStep)...);
  a = first;
}

// Transposes in place: lane l of rows[i] becomes lane i of rows[l]. There are as many rows as lanes.
template <class Real, int kStep = 1>
NARSFAST_INLINE void transpose(Vector<Real>* rows) {
  if constexpr (kStep < kLanes<Real>) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<Real>; ++i) {
      if ((i & kStep) == 0) {
        swap_lanes<Real, kStep>(rows[i], rows[i + kStep], std::make_integer_sequence<int, kLanes<Real>>{});
      }
    }
    transpose<Real, 2 * kStep>(rows);
  }
}

// Packs a matrix (rows, columns) into panels of kPanel vectors of rows, (columns, vectors, lanes) each. Rows
// that fill the last panel are 0. Vector i is multiplied by scale(i).
template <class Real, int kPanel, class Scale>
NARSFAST_NOINLINE void pack_panels(const Real* matrix, int64_t rows, int64_t columns, const Scale& scale,
                                   Real* packed) {
  constexpr int64_t kStep = kPanel * kLanes<Real>;  // from a column to the next
  for (int64_t i = 0; i * kLanes<Real> < rows; ++i) {
    const int64_t row = i * kLanes<Real>;
    const int64_t available = rows - row < kLanes<Real> ? rows - row : kLanes<Real>;
    const Vector<Real> factor = scale(i);
    Real* to = packed + i / kPanel * columns * kStep + i % kPanel * kLanes<Real>;
    for (int64_t column = 0; column < columns; column += kLanes<Real>) {
      const int64_t left = columns - column;
      Vector<Real> values[kLanes<Real>];
#pragma GCC unroll 16
      for (int l = 0; l < kLanes<Real>; ++l) {
        values[l] =
            l < available ? load_partial<Real>(matrix + (row + l) * columns + column, left) : Vector<Real>{};
      }
      transpose<Real>(values);
#pragma GCC unroll 16
      for (int l = 0; l < kLanes<Real>; ++l) {
        if (l < left) store(to + (column + l) * kStep, values[l] * factor);
      }
    }
  }
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
