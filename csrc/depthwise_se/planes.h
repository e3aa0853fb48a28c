#pragma once

// The convolution of a slab of one image, row by row.

#include "depthwise_se/rows.h"
#include "depthwise_se/tiles.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real>
struct PlaneConvolution {
  const Window& window;
  const FoldedNorm<Real>& input;
  const Real* weights;  // (vectors, kernel * kernel, lanes)

  int64_t line_bytes() const {
    const Slab<Real> line(0, kVectors, kVectors * kLanes<Real>);
    return RowRing<Real>::size(window.kernel, line, window.width, window.padding) *
           static_cast<int64_t>(sizeof(Real));
  }

  RowRing<Real> ring(const Slab<Real>& slab) const {
    return RowRing<Real>(window.kernel, slab, window.width, window.padding);
  }

  // Makes every row of outputs with emit, whose row(r) comes before. image: its first channel.
  template <class Storage, class Emit>
  NARSFAST_APART void run(const Storage* image, const Slab<Real>& slab, RowRing<Real>& rows,
                          Emit& emit) const {
    with_window(window.kernel, window.stride, [&](auto kernel, auto stride) {
      rows.reset();
      for (int64_t row = 0; row < window.out_height; ++row) {
        const Reach reach(window, row);
        rows.advance(reach.from, reach.to, image + slab.channel, window.width, slab, input);
        RowTaps<Real> taps;
        taps.count = 0;
        taps.plane = rows.plane;
        taps.weight_plane = kernel.value * kernel.value * kLanes<Real>;
        for (int64_t r = reach.from; r <= reach.to; ++r, ++taps.count) {
          taps.rows[taps.count] = rows.row(r);
          taps.weights[taps.count] =
              weights + slab.first * taps.weight_plane + (r - reach.top) * kernel.value * kLanes<Real>;
        }
        for (int64_t next = 1; next <= stride.value; ++next) {
          taps.ahead.add(image, rows.packed + next, window.height, window.width, slab, window.out_width);
        }
        emit.row(row);
        convolve_row<Real, kernel.value, stride.value>(taps, slab, window.out_width, emit);
      }
    });
  }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
