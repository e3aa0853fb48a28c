#pragma once

// Slabs: ranges of a map's channels that are processed together.

#include "common/scratch.h"
#include "common/vector.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Scratch memory of one scope.
template <class Real>
struct Buffer {
  ScratchMark before;
  Real* at;
  explicit Buffer(int64_t count)
      : at(static_cast<Real*>(acquire_scratch(static_cast<size_t>(count) * sizeof(Real), &before))) {}
  ~Buffer() { release_scratch(before); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

template <class Real>
NARSFAST_INLINE int64_t count_vectors(int64_t channels) {
  return (channels + kLanes<Real> - 1) / kLanes<Real>;
}

// The vectors [first, first + vectors) of a map's channels.
template <class Real>
struct Slab {
  int64_t first, vectors;
  int64_t channels;  // of the map
  int64_t channel;   // the slab's first channel
  int64_t full;      // vectors of which every lane is a channel

  Slab(int64_t first_vector, int64_t number, int64_t map_channels)
      : first(first_vector), vectors(number), channels(map_channels), channel(first_vector * kLanes<Real>) {
    const int64_t available = (channels - channel) / kLanes<Real>;
    full = available < vectors ? available : vectors;
  }
  // All channels of a map.
  explicit Slab(int64_t map_channels) : Slab(0, count_vectors<Real>(map_channels), map_channels) {}

  // The number of lanes of vector i that are channels.
  int64_t lanes(int64_t i) const {
    const int64_t left = channels - channel - i * kLanes<Real>;
    return left < kLanes<Real> ? left : kLanes<Real>;
  }
};

// Loads and stores one vector of a map's channels: all lanes, or the first `count`.
template <class Real, bool kFull>
struct Lanes {
  int64_t count;

  template <class Storage>
  NARSFAST_INLINE Vector<Real> load(const Storage* at) const {
    if constexpr (kFull) return load_map<Real>(at);
    return load_partial<Real>(at, count);
  }
  template <class Storage>
  NARSFAST_INLINE void store(Storage* at, Vector<Real> value) const {
    if constexpr (kFull) {
      store_map<Real>(at, value);
    } else {
      store_partial<Real>(at, value, count);
    }
  }
};

// Calls body(lanes) for vector i of the slab.
template <class Real, class Body>
NARSFAST_INLINE void with_lanes(const Slab<Real> slab, int64_t i, const Body& body) {
  if (i < slab.full) {
    body(Lanes<Real, true>{kLanes<Real>});
  } else {
    body(Lanes<Real, false>{slab.lanes(i)});
  }
}

// Calls body(i, lanes) for every vector of the slab.
template <class Real, class Body>
NARSFAST_INLINE void for_vectors(const Slab<Real> slab, const Body& body) {
  for (int64_t i = 0; i < slab.full; ++i) body(i, Lanes<Real, true>{kLanes<Real>});
  if (slab.full < slab.vectors) body(slab.full, Lanes<Real, false>{slab.lanes(slab.full)});
}

// Calls body(i, lanes, begin, end) for blocks of a few pixels [begin, end) and every vector i. Data of a
// vector is loaded once per block, and memory is accessed nearly in order.
template <class Real, class Body>
NARSFAST_INLINE void for_tiles(int64_t pixels, const Slab<Real> slab, const Body& body) {
  constexpr int64_t kPixels = 16;
  for (int64_t begin = 0; begin < pixels; begin += kPixels) {
    const int64_t end = begin + kPixels < pixels ? begin + kPixels : pixels;
    for_vectors<Real>(slab, [&](int64_t i, auto lanes) { body(i, lanes, begin, end); });
  }
}

// Loads and stores vector i of the slab of an array over channels, (channels,).
template <class Real>
NARSFAST_INLINE Vector<Real> load_channels(const void* values, const Slab<Real>& slab, int64_t i) {
  return load_partial<Real>(static_cast<const Real*>(values) + slab.channel + i * kLanes<Real>,
                            slab.lanes(i));
}

template <class Real>
NARSFAST_INLINE void store_channels(void* values, const Slab<Real>& slab, int64_t i, Vector<Real> value) {
  store_partial<Real>(static_cast<Real*>(values) + slab.channel + i * kLanes<Real>, value, slab.lanes(i));
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
