#pragma once

// The convolution of a slab of one image, row by row.

#include "depthwise_se/rows.h"
#include "depthwise_se/tiles.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real>
struct PlaneConvolution {
  Window window;
  const Real* weights;  // (blocks, vectors, kernel * kernel, lanes)
  ConvolveRow<Real> convolve_row;
  int64_t plane;  // elements of one vector's row of outputs

  PlaneConvolution(const Window& shape, const Real* packed)
      : window(shape),
        weights(packed),
        convolve_row(row_convolution<Real>(shape.kernel, shape.stride)),
        plane(shape.out_width * kLanes<Real>) {}

  // Bytes of scratch that one block needs.
  int64_t row_bytes() const {
    return (RowRing<Real>::size(window.kernel, 1, window.width, window.padding) + kVectors * plane) *
           static_cast<int64_t>(sizeof(Real));
  }

  // Calls emit(row, packed) for each row of outputs, (vectors, columns, lanes). bias: (blocks, vectors,
  // lanes), null = 0. Uses the thread's scratch.
  template <class Storage, class Emit>
  NARSFAST_INLINE void run(const Storage* image, const Slab<Real>& slab, const Affines<Real>& input,
                           const Real* bias, const Emit& emit) const {
    const int64_t taps = window.kernel * window.kernel;
    const int64_t ring_size = RowRing<Real>::size(window.kernel, slab.count, window.width, window.padding);
    Real* scratch = static_cast<Real*>(
        thread_scratch(static_cast<size_t>(ring_size + slab.count * kVectors * plane) * sizeof(Real)));
    RowRing<Real> ring(scratch, window.kernel, slab.count, window.width, window.padding);
    Real* packed = scratch + ring_size;
    for (int64_t row = 0; row < window.out_height; ++row) {
      const int64_t top = row * window.stride - window.padding;
      const int64_t from = top < 0 ? 0 : top;
      const int64_t last = top + window.kernel - 1;
      const int64_t to = last < window.height ? last : window.height - 1;
      ring.advance(from, to, image + slab.channel, window.width, slab, input);
      for (int64_t i = 0; i < slab.vectors; ++i) {
        const int64_t vector = slab.first * kVectors + i;
        RowTaps<Real> row_taps;
        row_taps.count = 0;
        for (int64_t r = from; r <= to; ++r) {
          row_taps.rows[row_taps.count] = ring.row(r, i);
          row_taps.weights[row_taps.count] =
              weights + (vector * taps + (r - top) * window.kernel) * kLanes<Real>;
          ++row_taps.count;
        }
        convolve_row(row_taps, window.out_width, bias == nullptr ? nullptr : bias + vector * kLanes<Real>,
                     packed + i * plane, 1);
      }
      emit(row, packed);
    }
  }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
