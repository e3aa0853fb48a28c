#pragma once

// The convolution of one image's slab, row by row.

#include "depthwise_se/rows.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

template <class Real>
struct PlaneConvolution {
  const Window& window;
  const FoldedNorm<Real>& input;
  const Real* weights;  // (vectors, kernel * kernel, lanes)

  // Scratch of the current input rows, for one cache line of channels.
  int64_t line_bytes() const { return window.kernel * window.width * kLineBytes; }

  template <class Storage>
  InputRows<Real, Storage> rows(const Slab<Real>& slab) const {
    const int64_t out_rows = rows_per_pass(static_cast<int>(window.kernel), static_cast<int>(window.stride));
    return InputRows<Real, Storage>(window.kernel + out_rows - 1, slab, window.width, input);
  }

  // Computes all output rows of image n. epilogue.row(r) is called before row r, or once before row r and the
  // rows computed together with it.
  template <class Storage, class Epilogue>
  NARSFAST_NOINLINE void run(const Storage* x, int64_t n, InputRows<Real, Storage>& rows,
                             Epilogue& epilogue) const {
    const Slab<Real>& slab = rows.slab;
    const Storage* image = x + n * window.height * window.width * window.channels;
    const int64_t map_rows = (window.images - n) * window.height;
    rows.begin(image + slab.channel);
    with_window(window.kernel, window.stride, [&](auto kernel, auto stride) {
      const auto compute = [&](int64_t row, auto out_rows) {
        const ReceptiveRows receptive(window, row, out_rows.value);
        rows.advance(receptive.from, receptive.to);
        RowTaps<Real> taps;
        taps.count = 0;
        taps.first_row = static_cast<int>(receptive.from - receptive.top);
        taps.first = -window.left;
        taps.layout = rows.layout;
        taps.weight_plane = kernel.value * kernel.value * kLanes<Real>;
        for (int64_t r = receptive.from; r <= receptive.to; ++r, ++taps.count) {
          taps.rows[taps.count] = rows.row(r);
          taps.weights[taps.count] =
              weights + slab.first * taps.weight_plane + (r - receptive.top) * kernel.value * kLanes<Real>;
        }
        // Prefetches the input rows that the next output rows add.
        constexpr int64_t kMinRowBytes = 6144;
        for (int64_t ahead = 1; ahead <= stride.value * out_rows.value; ++ahead) {
          taps.prefetcher.add(image, receptive.end + ahead, map_rows, window.width, slab, window.out_width,
                              kMinRowBytes);
        }
        epilogue.row(row);
        convolve_rows<Real, kernel.value, stride.value, out_rows.value>(taps, slab, window.out_width,
                                                                        epilogue);
      };
      constexpr int kOutRows = rows_per_pass(kernel.value, stride.value);
      int64_t row = 0;
      for (; row + kOutRows <= window.out_height; row += kOutRows) {
        compute(row, std::integral_constant<int, kOutRows>{});
      }
      for (; row < window.out_height; ++row) compute(row, std::integral_constant<int, 1>{});
    });
  }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
