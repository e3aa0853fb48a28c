#pragma once

#include "depthwise_se/cuda/dtype.cuh"

// Every access to global memory of the kernels, so that the emulator can count them.

#ifdef NARSFAST_EMU
#define NARSFAST_SITE , int site = __builtin_LINE()
#define NARSFAST_COUNT(address, bytes, access, line) \
  ::narsfast::emu::count_access(address, bytes, ::narsfast::emu::Access::access, line)
#else
#define NARSFAST_SITE
#define NARSFAST_COUNT(address, bytes, access, line)
#endif

namespace narsfast::cuda {

// Parameters, statistics and partial sums.
__device__ inline float read(const float* address) {
  NARSFAST_COUNT(address, sizeof(float), kOther, 0);
  return *address;
}
__device__ inline void write(float* address, float value) {
  NARSFAST_COUNT(address, sizeof(float), kOther, 0);
  *address = value;
}

struct alignas(16) Words {
  uint32_t word[4];
};
struct alignas(16) Quad {
  float value[4];
};

// Channels of a map come in slabs of 32: a block works on one. A pixel's slab is shared by 32 / width lanes,
// each of which holds `width` channels, 16 bytes of the map. Where the map's rows are aligned, lane l holds
// the channels [l * width, (l + 1) * width) of the slab and moves them at once; else l, l + lanes, ..., one
// at a time, so that the lanes together still touch whole sectors.
constexpr int kSlab = 32;

template <typename T>
struct Lane {
  static constexpr int kWidth = 16 / sizeof(T);
  static constexpr int kLanes = kSlab / kWidth;
  static constexpr int kSlots = kThreads / kLanes;  // pixels that a block works on at once

  int lane;
  int slot;
  int64_t first;  // channel of the slab
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

  // Where channel j of this lane stands among 32 floats in shared memory: quads of one lane, so that 8 lanes
  // read 128 bytes without a conflict of banks.
  __device__ int position(int j) const { return j / 4 * (kLanes * 4) + lane * 4 + j % 4; }

  // One pixel's channels; 0 beyond the last.
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

  // Rounds values to T, in place, and stores them.
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

  // A vector over channels; `missing` where the vector is null or the channel is none.
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

  // The same of 32 floats in shared memory, in quads.
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

// Whether lanes may move 16 bytes at once in maps of `channels` at these addresses.
template <typename T, typename... Maps>
bool aligned_maps(int64_t channels, const Maps*... maps) {
  const uintptr_t bits = (uintptr_t{0} | ... | reinterpret_cast<uintptr_t>(maps));
  return channels % Lane<T>::kWidth == 0 && bits % 16 == 0;
}

}  // namespace narsfast::cuda
