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

  // Calls emit(block, row, packed, plane) for each row of outputs and block of the slab (counted from its
  // first). inputs: one for each block of the slab. bias: (blocks, vectors, lanes), null = 0. Uses the
  // thread's scratch.
  template <class Storage, class Emit>
  NARSFAST_INLINE void run(const Storage* image, const Slab& slab, const BlockAffine<Real>* inputs,
                           const Real* bias, const Emit& emit) const {
    const int64_t taps = window.kernel * window.kernel;
    const int64_t ring_size = RowRing<Real>::size(window.kernel, slab.count, window.width, window.padding);
    Real* scratch =
        static_cast<Real*>(thread_scratch(static_cast<size_t>(ring_size + kVectors * plane) * sizeof(Real)));
    RowRing<Real> ring(scratch, window.kernel, slab.count, window.width, window.padding);
    Real* packed = scratch + ring_size;
    for (int64_t row = 0; row < window.out_height; ++row) {
      const int64_t top = row * window.stride - window.padding;
      const int64_t from = top < 0 ? 0 : top;
      const int64_t last = top + window.kernel - 1;
      const int64_t to = last < window.height ? last : window.height - 1;
      ring.advance(from, to, image, window.width, window.channels, slab, inputs);
      for (int64_t b = 0; b < slab.count; ++b) {
        const Block block = block_at<Real>(slab.first + b, window.channels);
        for (int v = 0; v < kVectors; ++v) {
          if (v * kLanes<Real> >= block.left) {
            std::memset(packed + v * plane, 0, static_cast<size_t>(plane) * sizeof(Real));
            continue;
          }
          const int64_t vector = (slab.first + b) * kVectors + v;
          RowTaps<Real> row_taps;
          row_taps.count = 0;
          for (int64_t i = from; i <= to; ++i) {
            row_taps.rows[row_taps.count] = ring.row(i, b * kVectors + v);
            row_taps.weights[row_taps.count] =
                weights + (vector * taps + (i - top) * window.kernel) * kLanes<Real>;
            ++row_taps.count;
          }
          convolve_row(row_taps, window.out_width, bias == nullptr ? nullptr : bias + vector * kLanes<Real>,
                       packed + v * plane, 1);
        }
        emit(b, row, packed, plane);
      }
    }
  }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
