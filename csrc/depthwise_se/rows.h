#pragma once

// Rows of maps in the form that the inner loops read, and how work is split among tasks.

#include "depthwise_se/activation.h"
#include "depthwise_se/norms.h"
#include "depthwise_se/tiles.h"
#include "depthwise_se/transpose.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// packed = input(row), for the slab's channels; vectors are `plane` elements apart. `row` points to the
// slab's first element of the row.
template <class Real, class Storage>
NARSFAST_NOINLINE void pack_row(const Storage* row, int64_t width, const Slab<Real> slab,
                                const FoldedNorm<Real>& input, Real* packed, int64_t plane) {
  // Pixel by pixel, in memory order: the row may not be in the cache.
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

// A ring buffer of the last rows of one image's slab, packed.
template <class Real>
struct RowRing {
  Buffer<Real> memory;
  int64_t depth;  // rows
  int64_t size;   // elements per row
  RowLayout layout;

  RowRing(int64_t rows, const Slab<Real>& slab, int64_t width)
      : memory(rows * slab.vectors * width * kLanes<Real>),
        depth(rows),
        size(slab.vectors * width * kLanes<Real>),
        layout{width, kLanes<Real>, width * kLanes<Real>, true} {}
  Real* row(int64_t index) const { return memory.at + index % depth * size; }
};

// The input rows of a convolution for one image's slab: read from the map itself where they need no
// preprocessing, packed otherwise.
template <class Real, class Storage>
struct InputRows {
  const FoldedNorm<Real>& input;
  Slab<Real> slab;
  bool in_place;
  RowRing<Real> ring;
  RowLayout layout;
  int64_t row_size;  // elements per row of the map
  const Storage* image = nullptr;
  int64_t next = 0;  // the first row that is not ready yet

  InputRows(int64_t rows, const Slab<Real>& input_slab, int64_t width, const FoldedNorm<Real>& norm)
      : input(norm),
        slab(input_slab),
        in_place(std::is_same_v<Real, Storage> && !norm.active &&
                 (kHasMaskedLoads || slab.full == slab.vectors)),
        ring(in_place ? 0 : rows, slab, width),
        layout(in_place ? RowLayout{width, slab.channels, kLanes<Real>, false} : ring.layout),
        row_size(width * slab.channels) {}

  // Begins the next image. first: the slab's first element of it.
  void begin(const Storage* first) {
    image = first;
    next = 0;
  }
  // Prepares rows [first, last].
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

// The input rows that the output rows [row, row + count) read.
struct ReceptiveRows {
  int64_t top;       // the row that the first output row reads with kernel row 0; may be outside the map
  int64_t from, to;  // rows [from, to] of the map
  int64_t end;       // one past the last row that would be read in an unbounded map

  ReceptiveRows(const Window& window, int64_t row, int64_t count)
      : top(row * window.stride - window.top),
        from(top < 0 ? 0 : top),
        end(top + window.kernel + (count - 1) * window.stride) {
    to = end < window.height ? end - 1 : window.height - 1;
  }
};

// Packs weights (channels, kernel, kernel) to (vectors, kernel * kernel, lanes), multiplied by the norm's
// scale where there is a norm. Lanes past the last channel are 0.
template <class Real>
void pack_weights(const void* weight, const FoldedNorm<Real>* norm, int64_t channels, int64_t taps,
                  Real* packed) {
  const auto scale = [&](int64_t i) {
    return norm == nullptr ? broadcast(Real(1)) : norm->vectors.at[i].scale;
  };
  pack_panels<Real, 1>(static_cast<const Real*>(weight), channels, taps, scale, packed);
}

// How the work of a convolution is split into tasks: images into groups, channels into slabs. A task is one
// pair of both; sums of the groups are added in order. The split depends on the shape alone.
template <class Real>
struct WorkSplit {
  int64_t images, channels, groups, slabs, lines;

  // line_bytes: scratch that one cache line of channels needs.
  WorkSplit(const Window& window, int64_t line_bytes)
      : images(window.images),
        channels(window.channels),
        lines((count_vectors<Real>(channels) + kVectorsPerLine - 1) / kVectorsPerLine) {
    constexpr int64_t kMaxGroups = 32;
    constexpr int64_t kCacheBytes = 3 << 16;  // scratch that stays in a core's cache
    // Each group has its own sums for every weight; they should be small compared to its maps.
    const int64_t values = images * window.out_height * window.out_width;
    const int64_t max_groups = values / (4 * window.kernel * window.kernel);
    groups = images < kMaxGroups ? images : kMaxGroups;
    if (groups > max_groups) groups = max_groups;
    if (groups < 1) groups = 1;
    const int64_t lines_per_slab = kCacheBytes / line_bytes < 1 ? 1 : kCacheBytes / line_bytes;
    constexpr int64_t kMinTasks = 8;  // more slabs than needed for it would split contiguous memory
    const int64_t wanted = (kMinTasks + groups - 1) / groups;
    const int64_t needed = (lines + lines_per_slab - 1) / lines_per_slab;
    slabs = wanted > needed ? wanted : needed;
    if (slabs > lines) slabs = lines;
    if (slabs < 1) slabs = 1;
  }
  int64_t tasks() const { return groups * slabs; }
  Slab<Real> slab(int64_t task) const {
    const int64_t index = task % slabs;
    const int64_t first = lines * index / slabs * kVectorsPerLine;
    const int64_t end = lines * (index + 1) / slabs * kVectorsPerLine;
    const int64_t all = count_vectors<Real>(channels);
    return Slab<Real>(first, (end < all ? end : all) - first, channels);
  }
  int64_t group(int64_t task) const { return task / slabs; }
  // A group's images are [begin_image(group), begin_image(group + 1)).
  int64_t begin_image(int64_t group) const { return images * group / groups; }
};

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
