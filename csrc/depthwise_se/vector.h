#pragma once

// Vectors of one instruction set, and maps' elements in and out of them. Only for sources that are compiled
// once per instruction set: everything is internal.

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "depthwise_se/arguments.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

#define NARSFAST_INLINE inline __attribute__((always_inline))

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
constexpr int kLineBytes = 64;  // channels are handled by the cache line
constexpr int kVectors = kLineBytes / kVectorBytes;

template <class Real>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(Real));
// Channels in a block: a line of the accumulator's type.
template <class Real>
constexpr int kBlock = kLineBytes / static_cast<int>(sizeof(Real));

template <class Real>
struct VectorOf {
  typedef Real type __attribute__((vector_size(kVectorBytes)));
};
template <class Real>
using Vector = typename VectorOf<Real>::type;

template <class Real>
NARSFAST_INLINE Vector<Real> load(const Real* at) {
  Vector<Real> value;
  __builtin_memcpy(&value, at, sizeof(value));
  return value;
}

template <class Real>
NARSFAST_INLINE void store(Real* at, Vector<Real> value) {
  __builtin_memcpy(at, &value, sizeof(value));
}

template <class Real>
NARSFAST_INLINE Vector<Real> broadcast(Real value) {
  return value - Vector<Real>{};
}

template <class V>
NARSFAST_INLINE V maximum(V a, V b) {
  return a > b ? a : b;
}

template <class V>
NARSFAST_INLINE V minimum(V a, V b) {
  return a < b ? a : b;
}

// The upper half of a float, rounded to nearest even.
struct Bfloat16 {
  uint16_t bits;
};

NARSFAST_INLINE float to_float(Bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

typedef uint32_t Words __attribute__((vector_size(kVectorBytes)));
typedef uint16_t Halves __attribute__((vector_size(kVectorBytes / 2)));

template <class Real>
NARSFAST_INLINE Vector<Real> load_map(const Real* at) {
  return load(at);
}

template <class Real>
NARSFAST_INLINE Vector<Real> load_map(const Bfloat16* at) {
  static_assert(sizeof(Real) == sizeof(float), "bfloat16 accumulates in float");
  Halves halves;
  __builtin_memcpy(&halves, at, sizeof(halves));
  return reinterpret_cast<Vector<Real>>(__builtin_convertvector(halves, Words) << 16);
}

template <class Real>
NARSFAST_INLINE void store_map(Real* at, Vector<Real> value) {
  store(at, value);
}

template <class Real>
NARSFAST_INLINE void store_map(Bfloat16* at, Vector<Real> value) {
  const Words bits = reinterpret_cast<Words>(value);
  const Words rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const Words quiet = (bits >> 16) | 0x40u;
  const auto nan = value != value;
  const Halves halves = __builtin_convertvector(nan ? quiet : rounded, Halves);
  __builtin_memcpy(at, &halves, sizeof(halves));
}

// Of the first `count` lanes; the others read as 0 and are not written.
template <class Real, class Storage>
NARSFAST_INLINE Vector<Real> load_some(const Storage* at, int64_t count) {
  if (count >= kLanes<Real>) return load_map<Real>(at);
  Storage values[kLanes<Real>] = {};
  if (count > 0) std::memcpy(values, at, static_cast<size_t>(count) * sizeof(Storage));
  return load_map<Real>(values);
}

template <class Real, class Storage>
NARSFAST_INLINE void store_some(Storage* at, Vector<Real> value, int64_t count) {
  if (count >= kLanes<Real>) {
    store_map<Real>(at, value);
    return;
  }
  Storage values[kLanes<Real>];
  store_map<Real>(values, value);
  if (count > 0) std::memcpy(at, values, static_cast<size_t>(count) * sizeof(Storage));
}

// act(z) and act'(z). At the kinks, and for NaN, the derivatives are torch's.
template <Activation kActivation, class Real>
NARSFAST_INLINE Vector<Real> activate(Vector<Real> z) {
  const Vector<Real> zero{};
  if constexpr (kActivation == Activation::kRelu) {
    return z < zero ? zero : z;
  } else if constexpr (kActivation == Activation::kHardSwish) {
    return z * minimum(maximum(z + Real(3), zero), zero + Real(6)) * Real(1.0 / 6);
  } else {
    return z;
  }
}

template <Activation kActivation, class Real>
NARSFAST_INLINE Vector<Real> derivative(Vector<Real> z) {
  const Vector<Real> zero{};
  const Vector<Real> one = zero + Real(1);
  if constexpr (kActivation == Activation::kRelu) {
    return z <= zero ? zero : one;
  } else if constexpr (kActivation == Activation::kHardSwish) {
    const Vector<Real> rising = z > zero - Real(3) ? z * Real(1.0 / 3) + Real(0.5) : zero;
    return z < zero + Real(3) ? rising : one;
  } else {
    return one;
  }
}

// Calls body with the activation as a constant.
template <class Body>
NARSFAST_INLINE void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kRelu:
      body(std::integral_constant<Activation, Activation::kRelu>{});
      break;
    case Activation::kHardSwish:
      body(std::integral_constant<Activation, Activation::kHardSwish>{});
      break;
    default:
      body(std::integral_constant<Activation, Activation::kNone>{});
  }
}

// An affine map with its activation for one block of channels; the vectors past the last channel are 0.
template <class Real>
struct BlockAffine {
  bool active;
  Activation activation;
  Vector<Real> scale[kVectors];
  Vector<Real> shift[kVectors];
};

template <class Real>
NARSFAST_INLINE void load_block(const void* values, int64_t first, int64_t channels, Vector<Real>* out) {
  for (int v = 0; v < kVectors; ++v) {
    const int64_t c = first + v * kLanes<Real>;
    out[v] = load_some<Real>(static_cast<const Real*>(values) + (c < channels ? c : 0), channels - c);
  }
}

template <class Real>
NARSFAST_INLINE void store_block(const Vector<Real>* values, void* out, int64_t first, int64_t channels) {
  for (int v = 0; v < kVectors; ++v) {
    const int64_t c = first + v * kLanes<Real>;
    if (c < channels) store_some<Real>(static_cast<Real*>(out) + c, values[v], channels - c);
  }
}

template <class Real>
NARSFAST_INLINE BlockAffine<Real> load_affine(const Affine& affine, int64_t first, int64_t channels) {
  BlockAffine<Real> block{};
  block.active = affine.scale != nullptr;
  block.activation = affine.activation;
  if (block.active) {
    load_block<Real>(affine.scale, first, channels, block.scale);
    load_block<Real>(affine.shift, first, channels, block.shift);
  }
  return block;
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
