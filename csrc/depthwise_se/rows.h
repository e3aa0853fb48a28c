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

// Calls body(column, vector, value) for one row of a block; `row` is the row's first element of the block.
template <class Real, class Storage, class Body>
NARSFAST_INLINE void read_row(const Storage* row, int64_t width, const Block& block, const Body& body) {
  if (block.left >= kBlock<Real>) {
    for (int64_t column = 0; column < width; ++column) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        body(column, v, load_map<Real>(row + column * block.channels + v * kLanes<Real>));
      }
    }
  } else {
    for (int64_t column = 0; column < width; ++column) {
      for (int v = 0; v * kLanes<Real> < block.left; ++v) {
        body(
            column, v,
            load_some<Real>(row + column * block.channels + v * kLanes<Real>, block.left - v * kLanes<Real>));
      }
    }
  }
}

// packed = input(row). The vectors past the last channel are left as they are.
template <class Real, class Storage>
void pack_row(const Storage* row, int64_t width, const Block& block, const BlockAffine<Real>& input,
              Real* packed, int64_t plane) {
  if (!input.active) {
    read_row<Real>(row, width, block, [&](int64_t column, int v, Vector<Real> value) {
      store(packed + v * plane + column * kLanes<Real>, value);
    });
    return;
  }
  with_activation(input.activation, [&](auto activation) {
    read_row<Real>(row, width, block, [&](int64_t column, int v, Vector<Real> value) {
      const Vector<Real> z = value * input.scale[v] + input.shift[v];
      store(packed + v * plane + column * kLanes<Real>, activate<activation.value, Real>(z));
    });
  });
}

// row = transform(column, vector, packed).
template <class Real, class Storage, class Transform>
NARSFAST_INLINE void unpack_row(const Real* packed, int64_t plane, int64_t width, const Block& block,
                                Storage* row, const Transform& transform) {
  if (block.left >= kBlock<Real>) {
    for (int64_t column = 0; column < width; ++column) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        store_map<Real>(row + column * block.channels + v * kLanes<Real>,
                        transform(column, v, load(packed + v * plane + column * kLanes<Real>)));
      }
    }
  } else {
    for (int64_t column = 0; column < width; ++column) {
      for (int v = 0; v * kLanes<Real> < block.left; ++v) {
        store_some<Real>(row + column * block.channels + v * kLanes<Real>,
                         transform(column, v, load(packed + v * plane + column * kLanes<Real>)),
                         block.left - v * kLanes<Real>);
      }
    }
  }
}

// Blocks [first, first + count) of a map, handled together row by row: memory is met in its own order.
struct Slab {
  int64_t first, count;
};

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

  // Packs rows up to and including `last` of an image (width, channels) x height; those above `first` are
  // skipped. inputs: one for each block of the slab.
  template <class Storage>
  void advance(int64_t first, int64_t last, const Storage* image, int64_t width, int64_t channels,
               const Slab& slab, const BlockAffine<Real>* inputs) {
    if (packed < first) packed = first;
    for (; packed <= last; ++packed) {
      for (int64_t b = 0; b < slab.count; ++b) {
        const Block block = block_at<Real>(slab.first + b, channels);
        pack_row<Real>(image + packed * width * channels + block.first, width, block, inputs[b],
                       row(packed, b * kVectors) + pad * kLanes<Real>, plane);
      }
    }
  }
};

// An affine map of all channels, block by block.
template <class Real>
struct Affines {
  Buffer<BlockAffine<Real>> blocks;
  Affines(const Affine& affine, int64_t channels) : blocks(count_blocks<Real>(channels)) {
    for (int64_t b = 0; b < count_blocks<Real>(channels); ++b) {
      blocks.at[b] = load_affine<Real>(affine, b * kBlock<Real>, channels);
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
  Slab slab(int64_t task) const {
    const int64_t index = task % slabs;
    const int64_t first = blocks * index / slabs;
    return {first, blocks * (index + 1) / slabs - first};
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
  const int64_t wanted = (kTasks + groups - 1) / groups;
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
