#pragma once

// Which channels of a map are handled together.

#include "common/scratch.h"
#include "depthwise_se/vector.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Memory of one scope.
template <class Real>
struct Buffer {
  ScratchMark before;
  Real* at;
  explicit Buffer(int64_t count)
      : at(static_cast<Real*>(take_scratch(static_cast<size_t>(count) * sizeof(Real), &before))) {}
  ~Buffer() { give_scratch_back(before); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
};

template <class Real>
NARSFAST_INLINE int64_t count_vectors(int64_t channels) {
  return (channels + kLanes<Real> - 1) / kLanes<Real>;
}

// Vectors [first, first + vectors) of a map's channels.
template <class Real>
struct Slab {
  int64_t first, vectors;
  int64_t channels;  // of the map
  int64_t channel;   // the first one
  int64_t whole;     // of the vectors full

  Slab(int64_t first_vector, int64_t number, int64_t map_channels)
      : first(first_vector), vectors(number), channels(map_channels), channel(first_vector * kLanes<Real>) {
    const int64_t full = (channels - channel) / kLanes<Real>;
    whole = full < vectors ? full : vectors;
  }
  // All channels of a map.
  explicit Slab(int64_t map_channels) : Slab(0, count_vectors<Real>(map_channels), map_channels) {}

  // Lanes of vector i that hold channels.
  int64_t lanes(int64_t i) const {
    const int64_t left = channels - channel - i * kLanes<Real>;
    return left < kLanes<Real> ? left : kLanes<Real>;
  }
};

// Elements of one vector of channels in a map.
template <class Real, bool kWhole>
struct Lanes {
  int64_t count;

  template <class Storage>
  NARSFAST_INLINE Vector<Real> load(const Storage* at) const {
    if constexpr (kWhole) return load_map<Real>(at);
    return load_some<Real>(at, count);
  }
  template <class Storage>
  NARSFAST_INLINE void store(Storage* at, Vector<Real> value) const {
    if constexpr (kWhole) {
      store_map<Real>(at, value);
    } else {
      store_some<Real>(at, value, count);
    }
  }
};

// Calls body(lanes) for vector i of the slab.
template <class Real, class Body>
NARSFAST_INLINE void with_lanes(const Slab<Real> slab, int64_t i, const Body& body) {
  if (i < slab.whole) {
    body(Lanes<Real, true>{kLanes<Real>});
  } else {
    body(Lanes<Real, false>{slab.lanes(i)});
  }
}

// Calls body(i, lanes) for every vector of the slab.
template <class Real, class Body>
NARSFAST_INLINE void for_vectors(const Slab<Real> slab, const Body& body) {
  for (int64_t i = 0; i < slab.whole; ++i) body(i, Lanes<Real, true>{kLanes<Real>});
  if (slab.whole < slab.vectors) body(slab.whole, Lanes<Real, false>{slab.lanes(slab.whole)});
}

// Calls body(i, lanes, begin, end) so that few pixels at a time are met by every vector: what belongs to a
// vector is loaded once for them, and memory is met nearly in its own order.
template <class Real, class Body>
NARSFAST_INLINE void for_tiles(int64_t pixels, const Slab<Real> slab, const Body& body) {
  constexpr int64_t kPixels = 16;
  for (int64_t begin = 0; begin < pixels; begin += kPixels) {
    const int64_t end = begin + kPixels < pixels ? begin + kPixels : pixels;
    for_vectors<Real>(slab, [&](int64_t i, auto lanes) { body(i, lanes, begin, end); });
  }
}

// Vector i of the slab from (channels,), and to it.
template <class Real>
NARSFAST_INLINE Vector<Real> load_channels(const void* values, const Slab<Real>& slab, int64_t i) {
  return load_some<Real>(static_cast<const Real*>(values) + slab.channel + i * kLanes<Real>, slab.lanes(i));
}

template <class Real>
NARSFAST_INLINE void store_channels(void* values, const Slab<Real>& slab, int64_t i, Vector<Real> value) {
  store_some<Real>(static_cast<Real*>(values) + slab.channel + i * kLanes<Real>, value, slab.lanes(i));
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
