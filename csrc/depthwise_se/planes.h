#pragma once

// The convolution of a slab of one image, row by row.

#include "depthwise_se/rows.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real>
struct PlaneConvolution {
  const Window& window;
  const FoldedNorm<Real>& input;
  const Real* weights;  // (vectors, kernel * kernel, lanes)

  // Of the rows that are worked on, for one line of vectors.
  int64_t line_bytes() const { return window.kernel * window.width * kLineBytes; }

  template <class Storage>
  InputRows<Real, Storage> rows(const Slab<Real>& slab) const {
    return InputRows<Real, Storage>(window.kernel, slab, window.width, input);
  }

  // Makes every row of image n's outputs with emit, whose row(r) comes before.
  template <class Storage, class Emit>
  NARSFAST_APART void run(const Storage* x, int64_t n, InputRows<Real, Storage>& rows, Emit& emit) const {
    const Slab<Real>& slab = rows.slab;
    const Storage* image = x + n * window.height * window.width * window.channels;
    const int64_t map_rows = (window.images - n) * window.height;
    rows.begin(image + slab.channel);
    with_window(window.kernel, window.stride, [&](auto kernel, auto stride) {
      for (int64_t row = 0; row < window.out_height; ++row) {
        const Reach reach(window, row);
        rows.advance(reach.from, reach.to);
        RowTaps<Real> taps;
        taps.count = 0;
        taps.first = -window.padding;
        taps.layout = rows.layout;
        taps.weight_plane = kernel.value * kernel.value * kLanes<Real>;
        for (int64_t r = reach.from; r <= reach.to; ++r, ++taps.count) {
          taps.rows[taps.count] = rows.row(r);
          taps.weights[taps.count] =
              weights + slab.first * taps.weight_plane + (r - reach.top) * kernel.value * kLanes<Real>;
        }
        // What the output row after the next meets first.
        constexpr int64_t kLong = 6144;
        for (int64_t ahead = 1; ahead <= stride.value; ++ahead) {
          taps.ahead.add(image, reach.top + kernel.value + ahead, map_rows, window.width, slab,
                         window.out_width, kLong);
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
