#pragma once

// Rows of maps as the inner loops meet them, and how the work is split.

#include "depthwise_se/norms.h"
#include "depthwise_se/tiles.h"
#include "depthwise_se/transpose.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// packed = input(row), for the slab's channels, vectors `plane` elements apart; `row` is the row's first
// element of the slab.
template <class Real, class Storage>
NARSFAST_APART void pack_row(const Storage* row, int64_t width, const Slab<Real> slab,
                             const FoldedNorm<Real>& input, Real* packed, int64_t plane) {
  // Pixel by pixel, as memory lies: it may come from far.
  const auto pack = [&](const auto& transform) {
    for (int64_t column = 0; column < width; ++column) {
      const Storage* pixel = row + column * slab.channels;
      Real* to = packed + column * kLanes<Real>;
      for_vectors<Real>(slab, [&](int64_t i, auto lanes) {
        store(to + i * plane, transform(i, lanes.load(pixel + i * kLanes<Real>)));
      });
    }
  };
  if (!input.active) {
    pack([](int64_t, Vector<Real> value) { return value; });
    return;
  }
  const Folded<Real>* norms = input.vectors.at + slab.first;
  with_activation(input.activation, [&](auto activation) {
    constexpr Activation kActivation = decltype(activation)::value;
    pack([&](int64_t i, Vector<Real> value) {
      return activate<kActivation, Real>(value * norms[i].scale + norms[i].shift);
    });
  });
}

// The last rows of one image's slab, packed.
template <class Real>
struct RowRing {
  Buffer<Real> memory;
  int64_t depth;  // rows
  int64_t size;   // elements of a row
  RowLayout layout;

  RowRing(int64_t rows, const Slab<Real>& slab, int64_t width)
      : memory(rows * slab.vectors * width * kLanes<Real>),
        depth(rows),
        size(slab.vectors * width * kLanes<Real>),
        layout{width, kLanes<Real>, width * kLanes<Real>, true} {}
  Real* row(int64_t index) const { return memory.at + index % depth * size; }
};

// Rows of one image's slab as a convolution meets them: in the map itself where nothing has to be done to
// them before, else packed.
template <class Real, class Storage>
struct InputRows {
  const FoldedNorm<Real>& input;
  Slab<Real> slab;
  bool in_place;
  RowRing<Real> ring;
  RowLayout layout;
  int64_t row_size;  // elements of a row of the map
  const Storage* image = nullptr;
  int64_t next = 0;  // rows [0, next) have been met

  InputRows(int64_t rows, const Slab<Real>& some, int64_t width, const FoldedNorm<Real>& norm)
      : input(norm),
        slab(some),
        in_place(std::is_same_v<Real, Storage> && !norm.active && (kMasks || slab.whole == slab.vectors)),
        ring(in_place ? 0 : rows, slab, width),
        layout(in_place ? RowLayout{width, slab.channels, kLanes<Real>, false} : ring.layout),
        row_size(width * slab.channels) {}

  // Begins another image. first: its first element of the slab.
  void begin(const Storage* first) {
    image = first;
    next = 0;
  }
  // Makes rows [first, last] ready.
  void advance(int64_t first, int64_t last) {
    if (next < first) next = first;
    for (; next <= last; ++next) {
      if (in_place) continue;
      pack_row<Real>(image + next * row_size, layout.columns, slab, input, ring.row(next), layout.plane);
    }
  }
  const Real* row(int64_t index) const {
    if constexpr (std::is_same_v<Real, Storage>) {
      if (in_place) return image + index * row_size;
    }
    return ring.row(index);
  }
};

// Input rows that output rows [row, row + together) are made from.
struct Reach {
  int64_t top, from, to;  // rows [from, to] of the map; the first output row meets row `top` by kernel row 0
  int64_t end;            // the row after the last one, were the map higher

  Reach(const Window& window, int64_t row, int64_t together)
      : top(row * window.stride - window.padding),
        from(top < 0 ? 0 : top),
        end(top + window.kernel + (together - 1) * window.stride) {
    to = end < window.height ? end - 1 : window.height - 1;
  }
};

// (channels, kernel, kernel) to (vectors, kernel * kernel, lanes), times the norm's scale where there is one.
// Missing channels are 0.
template <class Real>
void pack_weights(const void* weight, const FoldedNorm<Real>* norm, int64_t channels, int64_t taps,
                  Real* packed) {
  const auto scale = [&](int64_t i) {
    return norm == nullptr ? broadcast(Real(1)) : norm->vectors.at[i].scale;
  };
  pack_panels<Real, 1>(static_cast<const Real*>(weight), channels, taps, scale, packed);
}

// How the work of a convolution is split, from the shape alone: images into groups, channels into slabs. Each
// pair is done by one thread, and what groups sum up is added in order.
template <class Real>
struct Split {
  int64_t images, channels, groups, slabs, lines;

  // line_bytes: scratch that one line of vectors needs.
  Split(const Window& window, int64_t line_bytes)
      : images(window.images),
        channels(window.channels),
        lines((count_vectors<Real>(channels) + kVectors - 1) / kVectors) {
    constexpr int64_t kTasks = 32;
    constexpr int64_t kCache = 3 << 16;  // bytes of scratch that stay in a core's cache
    // A group has sums of its own for every weight: they should stay small beside its maps.
    const int64_t values = images * window.out_height * window.out_width;
    const int64_t bearable = values / (4 * window.kernel * window.kernel);
    groups = images < kTasks ? images : kTasks;
    if (groups > bearable) groups = bearable;
    if (groups < 1) groups = 1;
    const int64_t together = kCache / line_bytes < 1 ? 1 : kCache / line_bytes;
    constexpr int64_t kEnough = 8;  // tasks; more slabs would break up the runs of memory
    const int64_t wanted = (kEnough + groups - 1) / groups;
    const int64_t needed = (lines + together - 1) / together;
    slabs = wanted > needed ? wanted : needed;
    if (slabs > lines) slabs = lines;
    if (slabs < 1) slabs = 1;
  }
  int64_t tasks() const { return groups * slabs; }
  Slab<Real> slab(int64_t task) const {
    const int64_t index = task % slabs;
    const int64_t first = lines * index / slabs * kVectors;
    const int64_t end = lines * (index + 1) / slabs * kVectors;
    const int64_t all = count_vectors<Real>(channels);
    return Slab<Real>(first, (end < all ? end : all) - first, channels);
  }
  int64_t group(int64_t task) const { return task / slabs; }
  // The group's images are [begin_image(group), begin_image(group + 1)).
  int64_t begin_image(int64_t group) const { return images * group / groups; }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
