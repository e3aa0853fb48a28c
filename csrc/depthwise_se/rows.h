#pragma once

// Rows of maps in and out of packed scratch: (vectors, columns, lanes) for one block of channels.

#include <cstddef>
#include <cstdlib>

#include "common/scratch.h"
#include "depthwise_se/vector.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Memory for one call.
template <class Real>
struct Buffer {
  Real* at;
  explicit Buffer(int64_t count)
      : at(static_cast<Real*>(std::aligned_alloc(
            kLineBytes, (static_cast<size_t>(count) * sizeof(Real) / kLineBytes + 1) * kLineBytes))) {
    if (at == nullptr) std::abort();
  }
  ~Buffer() { std::free(at); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

template <class Real>
NARSFAST_INLINE int64_t count_blocks(int64_t channels) {
  return (channels + kBlock<Real> - 1) / kBlock<Real>;
}

// A block of channels of a map: `first` is its first channel, `left` how many channels follow from there.
struct Block {
  int64_t first, channels, left;
};

template <class Real>
NARSFAST_INLINE Block block_at(int64_t index, int64_t channels) {
  const int64_t first = index * kBlock<Real>;
  return {first, channels, channels - first};
}

// Blocks [first, first + count) of a map, handled together row by row and pixel by pixel, so that memory is
// met in its own order.
template <class Real>
struct Slab {
  int64_t first, count;  // blocks
  int64_t channel;       // the first one
  int64_t channels;      // of the map
  int64_t vectors;       // that hold channels
  int64_t whole;         // of them full

  Slab(int64_t first_block, int64_t blocks, int64_t map_channels)
      : first(first_block), count(blocks), channel(first_block * kBlock<Real>), channels(map_channels) {
    const int64_t left = channels - channel;
    const int64_t held = count * kBlock<Real> < left ? count * kBlock<Real> : left;
    whole = held / kLanes<Real>;
    vectors = (held + kLanes<Real> - 1) / kLanes<Real>;
  }
  // Channels from vector i to the end of the map.
  int64_t left(int64_t i) const { return channels - channel - i * kLanes<Real>; }
};

// Vector i of a pixel, whose first channel of the slab lies at `pixel`.
template <class Real, class Storage>
NARSFAST_INLINE Vector<Real> load_vector(const Storage* pixel, const Slab<Real>& slab, int64_t i) {
  if (i < slab.whole) return load_map<Real>(pixel + i * kLanes<Real>);
  return load_some<Real>(pixel + i * kLanes<Real>, slab.left(i));
}

// Calls body(column, i, value) for one row; `row` is the row's first element of the slab.
template <class Real, class Storage, class Body>
NARSFAST_INLINE void read_row(const Storage* row, int64_t width, const Slab<Real>& slab, const Body& body) {
  for (int64_t column = 0; column < width; ++column) {
    const Storage* pixel = row + column * slab.channels;
    for (int64_t i = 0; i < slab.whole; ++i) body(column, i, load_map<Real>(pixel + i * kLanes<Real>));
    if (slab.whole < slab.vectors) body(column, slab.whole, load_vector<Real>(pixel, slab, slab.whole));
  }
}

// row = transform(column, i, packed).
template <class Real, class Storage, class Transform>
NARSFAST_INLINE void unpack_row(const Real* packed, int64_t plane, int64_t width, const Slab<Real>& slab,
                                Storage* row, const Transform& transform) {
  for (int64_t column = 0; column < width; ++column) {
    Storage* pixel = row + column * slab.channels;
    const Real* from = packed + column * kLanes<Real>;
    for (int64_t i = 0; i < slab.whole; ++i) {
      store_map<Real>(pixel + i * kLanes<Real>, transform(column, i, load(from + i * plane)));
    }
    if (slab.whole < slab.vectors) {
      const int64_t i = slab.whole;
      store_some<Real>(pixel + i * kLanes<Real>, transform(column, i, load(from + i * plane)), slab.left(i));
    }
  }
}

// An affine map with its activation, vector by vector; past the last channel it is 0.
template <class Real>
struct Affines {
  struct Pair {
    Vector<Real> scale, shift;
  };
  bool active;
  Activation activation;
  Buffer<Pair> pairs;

  Affines(const Affine& affine, int64_t channels)
      : active(affine.scale != nullptr),
        activation(affine.activation),
        pairs(count_blocks<Real>(channels) * kVectors) {
    if (!active) return;
    for (int64_t c = 0, i = 0; i < count_blocks<Real>(channels) * kVectors; ++i, c += kLanes<Real>) {
      const int64_t at = c < channels ? c : 0;
      pairs.at[i].scale = load_some<Real>(static_cast<const Real*>(affine.scale) + at, channels - c);
      pairs.at[i].shift = load_some<Real>(static_cast<const Real*>(affine.shift) + at, channels - c);
    }
  }
};

// packed = input(row).
template <class Real, class Storage>
void pack_row(const Storage* row, int64_t width, const Slab<Real>& slab, const Affines<Real>& input,
              Real* packed, int64_t plane) {
  if (!input.active) {
    read_row<Real>(row, width, slab, [&](int64_t column, int64_t i, Vector<Real> value) {
      store(packed + i * plane + column * kLanes<Real>, value);
    });
    return;
  }
  const auto* pairs = input.pairs.at + slab.first * kVectors;
  with_activation(input.activation, [&](auto activation) {
    read_row<Real>(row, width, slab, [&](int64_t column, int64_t i, Vector<Real> value) {
      const Vector<Real> z = value * pairs[i].scale + pairs[i].shift;
      store(packed + i * plane + column * kLanes<Real>, activate<activation.value, Real>(z));
    });
  });
}

// The last rows of a slab, packed with `pad` columns of zeros on each side: as many as the kernel is high.
template <class Real>
struct RowRing {
  Real* memory;
  int64_t depth;    // rows
  int64_t vectors;  // of the slab
  int64_t pad;      // columns
  int64_t plane;    // elements of one vector's row
  int64_t packed;   // rows [0, packed) of the image have been packed

  RowRing(Real* at, int64_t rows, int64_t blocks, int64_t width, int64_t padding)
      : memory(at),
        depth(rows),
        vectors(blocks * kVectors),
        pad(padding),
        plane((width + 2 * padding) * kLanes<Real>),
        packed(0) {
    std::memset(memory, 0, static_cast<size_t>(depth * vectors * plane) * sizeof(Real));
  }
  static int64_t size(int64_t rows, int64_t blocks, int64_t width, int64_t padding) {
    return rows * blocks * kVectors * (width + 2 * padding) * kLanes<Real>;
  }
  // Column -pad of a row's vector v.
  Real* row(int64_t index, int64_t v) const { return memory + ((index % depth) * vectors + v) * plane; }

  // Packs rows up to and including `last`; those above `first` are skipped. image: its first element of the
  // slab.
  template <class Storage>
  void advance(int64_t first, int64_t last, const Storage* image, int64_t width, const Slab<Real>& slab,
               const Affines<Real>& input) {
    if (packed < first) packed = first;
    for (; packed <= last; ++packed) {
      pack_row<Real>(image + packed * width * slab.channels, width, slab, input,
                     row(packed, 0) + pad * kLanes<Real>, plane);
    }
  }
};

// (channels, kernel, kernel) to (blocks, vectors, kernel * kernel, lanes), times scale where it is given.
// Missing channels are 0.
template <class Real>
void pack_weights(const void* weight, const void* scale, int64_t channels, int64_t taps, Real* packed) {
  const Real* from = static_cast<const Real*>(weight);
  const Real* factor = static_cast<const Real*>(scale);
  const int64_t vectors = count_blocks<Real>(channels) * kVectors;
  for (int64_t v = 0; v < vectors; ++v) {
    for (int lane = 0; lane < kLanes<Real>; ++lane) {
      const int64_t channel = v * kLanes<Real> + lane;
      const Real times = channel >= channels ? 0 : factor == nullptr ? 1 : factor[channel];
      for (int64_t t = 0; t < taps; ++t) {
        packed[(v * taps + t) * kLanes<Real> + lane] =
            channel < channels ? times * from[channel * taps + t] : 0;
      }
    }
  }
}

// How the work of a convolution is split, from the shape alone: images into groups, blocks of channels into
// slabs. Each pair is done by one thread, and what groups sum up is added in order.
struct Split {
  int64_t groups, slabs, blocks;

  int64_t tasks() const { return groups * slabs; }
  template <class Real>
  Slab<Real> slab(int64_t task, int64_t channels) const {
    const int64_t index = task % slabs;
    const int64_t first = blocks * index / slabs;
    return Slab<Real>(first, blocks * (index + 1) / slabs - first, channels);
  }
  int64_t group(int64_t task) const { return task / slabs; }
};

// row_bytes: scratch that one block needs.
NARSFAST_INLINE Split split_work(const Window& window, int64_t blocks, int64_t row_bytes) {
  constexpr int64_t kTasks = 32;
  constexpr int64_t kCache = 3 << 16;  // bytes of scratch that stay in a core's cache
  // A group has sums of its own for every weight: they should stay small beside its maps.
  const int64_t values = window.images * window.out_height * window.out_width;
  const int64_t bearable = values / (4 * window.kernel * window.kernel);
  int64_t groups = window.images < kTasks ? window.images : kTasks;
  if (groups > bearable) groups = bearable;
  if (groups < 1) groups = 1;
  const int64_t together = kCache / row_bytes < 1 ? 1 : kCache / row_bytes;
  constexpr int64_t kEnough = 8;  // tasks; more slabs would break up the runs of memory
  const int64_t wanted = (kEnough + groups - 1) / groups;
  const int64_t needed = (blocks + together - 1) / together;
  const int64_t slabs = wanted > needed ? wanted : needed;
  return {groups, slabs < blocks ? slabs : blocks, blocks};
}

// Groups of something that is only summed.
NARSFAST_INLINE int64_t count_groups(int64_t items) {
  constexpr int64_t kTasks = 32;
  return items < 1 ? 1 : items < kTasks ? items : kTasks;
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
