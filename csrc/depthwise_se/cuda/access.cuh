#pragma once

#include "common/cuda/memory.cuh"
#include "depthwise_se/cuda/dtype.cuh"

namespace narsfast::cuda {

// The channels of a map are divided into slabs of 32; each block works on one slab. A pixel's slab is spread
// over 32 / width lanes, each of which holds `width` channels, 16 bytes of the map. Where the map is aligned,
// lane l holds the channels [l * width, (l + 1) * width) of the slab and moves them in one instruction;
// otherwise it holds l, l + lanes, ... and moves them one at a time, so that the lanes together still access
// whole sectors.
constexpr int kSlab = 32;

template <typename T>
struct Lane {
  static constexpr int kWidth = 16 / sizeof(T);
  static constexpr int kLanes = kSlab / kWidth;
  static constexpr int kSlots = kThreads / kLanes;  // pixels that a block processes at once

  int lane;
  int slot;
  int64_t first;  // the slab's first channel
  int64_t channels;
  bool aligned;

  __device__ Lane(int64_t slab, int64_t channels, bool aligned)
      : lane(static_cast<int>(threadIdx.x) % kLanes),
        slot(static_cast<int>(threadIdx.x) / kLanes),
        first(slab * kSlab),
        channels(channels),
        aligned(aligned) {}

  __device__ int64_t channel(int j) const {
    return first + (aligned ? lane * kWidth + j : j * kLanes + lane);
  }
  __device__ bool holds(int j) const { return channel(j) < channels; }

  // The index of this lane's channel j among the slab's 32 floats in shared memory: each lane's floats lie in
  // quads, so that 8 lanes read 128 bytes without bank conflicts.
  __device__ int position(int j) const { return j / 4 * (kLanes * 4) + lane * 4 + j % 4; }

  // Loads this lane's channels of one pixel; 0 beyond the last channel.
  __device__ void load(const T* pixel, float (&values)[kWidth] NARSFAST_SITE) const {
    if (aligned) {
      T parts[kWidth];
      Words words = {};
      if (holds(0)) {
        NARSFAST_COUNT(pixel + channel(0), sizeof(Words), kMapRead, site);
        words = *reinterpret_cast<const Words*>(pixel + channel(0));
      }
      memcpy(parts, &words, sizeof(words));
      NARSFAST_UNROLL
      for (int j = 0; j < kWidth; ++j) values[j] = to_float(parts[j]);
      return;
    }
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) {
      values[j] = 0;
      if (!holds(j)) continue;
      NARSFAST_COUNT(pixel + channel(j), sizeof(T), kMapRead, site + 4096 * (j + 1));
      values[j] = to_float(pixel[channel(j)]);
    }
  }

  // Rounds the values to T, in place, and stores them.
  __device__ void store(T* pixel, float (&values)[kWidth] NARSFAST_SITE) const {
    T parts[kWidth];
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) {
      from_float(values[j], &parts[j]);
      values[j] = to_float(parts[j]);
    }
    if (aligned) {
      if (!holds(0)) return;
      NARSFAST_COUNT(pixel + channel(0), sizeof(Words), kMapWrite, site);
      Words words;
      memcpy(&words, parts, sizeof(words));
      *reinterpret_cast<Words*>(pixel + channel(0)) = words;
      return;
    }
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) {
      if (!holds(j)) continue;
      NARSFAST_COUNT(pixel + channel(j), sizeof(T), kMapWrite, site + 4096 * (j + 1));
      pixel[channel(j)] = parts[j];
    }
  }

  // Reads this lane's entries of a vector over channels; `missing` where it is null or has no such channel.
  __device__ void read_channels(const float* vector, float missing, float (&values)[kWidth]) const {
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j)
      values[j] = vector != nullptr && holds(j) ? read(vector + channel(j)) : missing;
  }
  __device__ void write_channels(float* vector, const float (&values)[kWidth]) const {
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j)
      if (holds(j)) write(vector + channel(j), values[j]);
  }

  // Reads and writes this lane's entries of a slab's 32 floats in shared memory, in quads.
  __device__ void get(const float* shared, float (&values)[kWidth]) const {
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; j += 4) {
      const Quad quad = *reinterpret_cast<const Quad*>(shared + position(j));
      NARSFAST_UNROLL
      for (int i = 0; i < 4; ++i) values[j + i] = quad.value[i];
    }
  }
  __device__ void put(float* shared, const float (&values)[kWidth]) const {
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; j += 4)
      *reinterpret_cast<Quad*>(shared + position(j)) = {values[j], values[j + 1], values[j + 2],
                                                        values[j + 3]};
  }
};

// Whether lanes can move 16 bytes at once in maps with this number of channels at these addresses.
template <typename T, typename... Maps>
bool aligned_maps(int64_t channels, const Maps*... maps) {
  const uintptr_t bits = (uintptr_t{0} | ... | reinterpret_cast<uintptr_t>(maps));
  return channels % Lane<T>::kWidth == 0 && bits % 16 == 0;
}

}  // namespace narsfast::cuda
