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
    const int64_t together = rows_together(static_cast<int>(window.kernel), static_cast<int>(window.stride));
    return InputRows<Real, Storage>(window.kernel + together - 1, slab, window.width, input);
  }

  // Makes all rows of image n's outputs with emit, whose row(r) comes before row r, or before r and those
  // made together with it.
  template <class Storage, class Emit>
  NARSFAST_APART void run(const Storage* x, int64_t n, InputRows<Real, Storage>& rows, Emit& emit) const {
    const Slab<Real>& slab = rows.slab;
    const Storage* image = x + n * window.height * window.width * window.channels;
    const int64_t map_rows = (window.images - n) * window.height;
    rows.begin(image + slab.channel);
    with_window(window.kernel, window.stride, [&](auto kernel, auto stride) {
      const auto make = [&](int64_t row, auto together) {
        const Reach reach(window, row, together.value);
        rows.advance(reach.from, reach.to);
        RowTaps<Real> taps;
        taps.count = 0;
        taps.first_row = static_cast<int>(reach.from - reach.top);
        taps.first = -window.padding;
        taps.layout = rows.layout;
        taps.weight_plane = kernel.value * kernel.value * kLanes<Real>;
        for (int64_t r = reach.from; r <= reach.to; ++r, ++taps.count) {
          taps.rows[taps.count] = rows.row(r);
          taps.weights[taps.count] =
              weights + slab.first * taps.weight_plane + (r - reach.top) * kernel.value * kLanes<Real>;
        }
        // What the rows after the next ones meet first.
        constexpr int64_t kLong = 6144;
        for (int64_t ahead = 1; ahead <= stride.value * together.value; ++ahead) {
          taps.ahead.add(image, reach.end + ahead, map_rows, window.width, slab, window.out_width, kLong);
        }
        emit.row(row);
        convolve_rows<Real, kernel.value, stride.value, together.value>(taps, slab, window.out_width, emit);
      };
      constexpr int kTogether = rows_together(kernel.value, stride.value);
      int64_t row = 0;
      for (; row + kTogether <= window.out_height; row += kTogether) {
        make(row, std::integral_constant<int, kTogether>{});
      }
      for (; row < window.out_height; ++row) make(row, std::integral_constant<int, 1>{});
    });
  }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
