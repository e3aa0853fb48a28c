#pragma once

// Passes over maps that are not convolutions: sums over the pixels of a block of channels, and pixel by
// pixel.

#include "depthwise_se/rows.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

constexpr int64_t kPixelChunk = 128;  // values that one accumulator takes before it is added to the total

// Sums of kSums functions over the pixels of one block of one image: body(pixel, vector, sums) adds to sums[0
// .. kSums).
template <class Real, int kSums, class Body>
NARSFAST_INLINE void sum_pixels(int64_t pixels, Vector<Real> (*total)[kVectors], const Body& body) {
  for (int s = 0; s < kSums; ++s) {
    for (int v = 0; v < kVectors; ++v) total[s][v] = Vector<Real>{};
  }
  for (int64_t begin = 0; begin < pixels; begin += kPixelChunk) {
    const int64_t end = begin + kPixelChunk < pixels ? begin + kPixelChunk : pixels;
    for (int v = 0; v < kVectors; ++v) {
      Vector<Real> sums[kSums] = {};
      for (int64_t pixel = begin; pixel < end; ++pixel) body(pixel, v, sums);
      for (int s = 0; s < kSums; ++s) total[s][v] += sums[s];
    }
  }
}

// The block's vector v of a pixel. Whole blocks are read without looking at what is left.
template <class Real, bool kWhole, class Storage>
NARSFAST_INLINE Vector<Real> load_pixel(const Storage* image, int64_t pixel, int v, const Block& block) {
  const Storage* at = image + pixel * block.channels + block.first + v * kLanes<Real>;
  if constexpr (kWhole) return load_map<Real>(at);
  const int64_t count = block.left - v * kLanes<Real>;
  return load_some<Real>(count > 0 ? at : image, count > 0 ? count : 0);
}

// Calls body(std::true_type) for a whole block, body(std::false_type) for the last one where channels are
// missing.
template <class Real, class Body>
NARSFAST_INLINE void with_whole(const Block& block, const Body& body) {
  if (block.left >= kBlock<Real>) {
    body(std::true_type{});
  } else {
    body(std::false_type{});
  }
}

// Calls body(channel, count) for the vectors of one pixel.
template <class Real, class Body>
NARSFAST_INLINE void for_channels(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + kLanes<Real> <= channels; c += kLanes<Real>) body(c, static_cast<int64_t>(kLanes<Real>));
  if (c < channels) body(c, channels - c);
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
