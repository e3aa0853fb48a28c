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

// The last rows of one block, packed with `pad` columns of zeros on each side: as many as the kernel is high.
template <class Real>
struct RowRing {
  Real* memory;
  int64_t depth;   // rows
  int64_t pad;     // columns
  int64_t plane;   // elements of one vector's row
  int64_t packed;  // rows [0, packed) of the image have been packed

  RowRing(Real* at, int64_t rows, int64_t width, int64_t padding)
      : memory(at), depth(rows), pad(padding), plane(size(1, width, padding) / kVectors), packed(0) {
    std::memset(memory, 0, static_cast<size_t>(rows * kVectors * plane) * sizeof(Real));
  }
  static int64_t size(int64_t rows, int64_t width, int64_t padding) {
    return rows * kVectors * (width + 2 * padding) * kLanes<Real>;
  }
  // Column -pad of a row's vector v.
  Real* row(int64_t index, int v) const { return memory + ((index % depth) * kVectors + v) * plane; }

  // Packs rows up to and including `last` of an image of `height` rows; those above `first` are skipped.
  template <class Storage>
  void advance(int64_t first, int64_t last, const Storage* image, int64_t height, int64_t width,
               const Block& block, const BlockAffine<Real>& input) {
    if (packed < first) packed = first;
    for (; packed <= last && packed < height; ++packed) {
      pack_row<Real>(image + packed * width * block.channels, width, block, input,
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

// Images are handled in this many groups, each by one thread after the other, and their sums added in order:
// a number that follows from the shape alone.
NARSFAST_INLINE int64_t count_groups(int64_t images, int64_t blocks) {
  constexpr int64_t kTasks = 32;
  const int64_t wanted = (kTasks + blocks - 1) / blocks;
  const int64_t groups = wanted < images ? wanted : images;
  return groups < 1 ? 1 : groups;
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
