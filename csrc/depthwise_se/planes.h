#pragma once

// The convolution of one block of channels of one image, row by row.

#include "depthwise_se/rows.h"
#include "depthwise_se/tiles.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real>
struct PlaneConvolution {
  Window window;
  const Real* weights;  // (vectors, kernel * kernel, lanes)
  ConvolveRow<Real> convolve_row;
  int64_t plane;  // elements of one vector's row of outputs

  PlaneConvolution(const Window& shape, const Real* packed)
      : window(shape),
        weights(packed),
        convolve_row(row_convolution<Real>(shape.kernel, shape.stride)),
        plane(shape.out_width * kLanes<Real>) {}

  // Calls emit(row, packed, plane) for each row of outputs. image: the block's first element. bias: (vectors,
  // lanes), null = 0. Uses the thread's scratch.
  template <class Storage, class Emit>
  NARSFAST_INLINE void run(const Storage* image, const Block& block, const BlockAffine<Real>& input,
                           const Real* bias, const Emit& emit) const {
    const int64_t ring_size = RowRing<Real>::size(window.kernel, window.width, window.padding);
    Real* scratch =
        static_cast<Real*>(thread_scratch(static_cast<size_t>(ring_size + kVectors * plane) * sizeof(Real)));
    RowRing<Real> ring(scratch, window.kernel, window.width, window.padding);
    Real* packed = scratch + ring_size;
    const int64_t used =
        block.left < kBlock<Real> ? (block.left + kLanes<Real> - 1) / kLanes<Real> : kVectors;
    for (int64_t row = 0; row < window.out_height; ++row) {
      const int64_t top = row * window.stride - window.padding;
      const int64_t from = top < 0 ? 0 : top;
      const int64_t last = top + window.kernel - 1;
      const int64_t to = last < window.height ? last : window.height - 1;
      ring.advance(from, to, image, window.height, window.width, block, input);
      for (int v = 0; v < used; ++v) {
        RowTaps<Real> taps;
        taps.count = 0;
        for (int64_t i = from; i <= to; ++i) {
          taps.rows[taps.count] = ring.row(i, v);
          taps.weights[taps.count] =
              weights + (v * window.kernel * window.kernel + (i - top) * window.kernel) * kLanes<Real>;
          ++taps.count;
        }
        convolve_row(taps, window.out_width, bias == nullptr ? nullptr : bias + v * kLanes<Real>,
                     packed + v * plane, 1);
      }
      for (int64_t v = used; v < kVectors; ++v) {
        std::memset(packed + v * plane, 0, static_cast<size_t>(plane) * sizeof(Real));
      }
      emit(row, packed, plane);
    }
  }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
