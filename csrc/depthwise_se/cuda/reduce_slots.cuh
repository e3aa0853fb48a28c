#pragma once

#include "depthwise_se/cuda/activation.cuh"

namespace narsfast::cuda {

// Sums for the mean and m2 (the sum of squared deviations) of a thread's values. They are shifted by the
// first value, which avoids cancellation where the mean is far from zero.
struct ShiftedSums {
  float first = 0, sum = 0, squares = 0;

  __device__ void add(float value, int count) {
    if (count == 0) first = value;
    const float distance = value - first;
    sum += distance;
    squares += distance * distance;
  }
  __device__ void moments(float count, float* mean, float* m2) const {
    const float shift = count > 0 ? sum / count : 0;
    *mean = first + shift;
    *m2 = fmaxf(squares - sum * shift, 0.0f);
  }
};

// Combines (count, mean, m2) of two sets.
struct JoinMoments {
  __device__ void operator()(float (&a)[3], const float (&b)[3]) const {
    const float count = a[0] + b[0];
    if (b[0] == 0) return;
    const float delta = b[1] - a[1];
    const float share = b[0] / count;
    a[0] = count;
    a[1] += delta * share;
    a[2] += b[2] + delta * delta * (count - b[0]) * share;
  }
};

template <int kFields>
struct JoinSums {
  __device__ void operator()(float (&a)[kFields], const float (&b)[kFields]) const {
    NARSFAST_UNROLL
    for (int f = 0; f < kFields; ++f) a[f] += b[f];
  }
};

template <typename T, int kFields>
constexpr size_t reduce_slots_bytes() {
  return sizeof(float) * kFields * kSlab * Lane<T>::kSlots;
}

// Combines the fields of all slots by a tree of fixed shape; slot 0 gets the result. Other threads may still
// use `shared` when this is called.
template <typename T, int kFields, typename Join>
__device__ void reduce_slots(const Lane<T>& lane, float* shared, float (&values)[Lane<T>::kWidth][kFields],
                             const Join& join) {
  constexpr int kStride = kFields * kSlab;
  float* own = shared + lane.slot * kStride;
  __syncthreads();
  for (int distance = 1; distance < Lane<T>::kSlots; distance *= 2) {
    // Slots that are done write nothing: their values may still be read.
    NARSFAST_UNROLL
    for (int j = 0; j < Lane<T>::kWidth && lane.slot % distance == 0; ++j)
      for (int f = 0; f < kFields; ++f) own[f * kSlab + lane.position(j)] = values[j][f];
    __syncthreads();
    if (lane.slot % (2 * distance) != 0) continue;
    const float* other = own + distance * kStride;
    NARSFAST_UNROLL
    for (int j = 0; j < Lane<T>::kWidth; ++j) {
      float partner[kFields];
      for (int f = 0; f < kFields; ++f) partner[f] = other[f * kSlab + lane.position(j)];
      join(values[j], partner);
    }
  }
}

// Writes field f of the lane's channels to `out + f * plane`.
template <typename T, int kFields>
__device__ void write_fields(const Lane<T>& lane, const float (&values)[Lane<T>::kWidth][kFields], float* out,
                             int64_t plane) {
  for (int f = 0; f < kFields; ++f) {
    float field[Lane<T>::kWidth];
    for (int j = 0; j < Lane<T>::kWidth; ++j) field[j] = values[j][f];
    lane.write_channels(out + f * plane, field);
  }
}

// Writes count, mean and m2 of the values of the block's threads, `plane` floats apart.
template <typename T>
__device__ void write_moments(const Lane<T>& lane, float* shared, const ShiftedSums (&sums)[Lane<T>::kWidth],
                              int count, float* partial, int64_t plane) {
  constexpr int kWidth = Lane<T>::kWidth;
  float fields[kWidth][3];
  for (int j = 0; j < kWidth; ++j) {
    fields[j][0] = static_cast<float>(count);
    sums[j].moments(fields[j][0], &fields[j][1], &fields[j][2]);
  }
  reduce_slots<T, 3>(lane, shared, fields, JoinMoments());
  if (lane.slot == 0) write_fields(lane, fields, partial, plane);
}

}  // namespace narsfast::cuda
