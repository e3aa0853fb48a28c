#pragma once

// Vectors of one instruction set, and maps' elements in and out of them. Only for sources that are compiled
// once per instruction set: everything is internal.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "depthwise_se/arguments.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

#define NARSFAST_INLINE inline __attribute__((always_inline))
#define NARSFAST_APART __attribute__((noinline))  // one copy of what is long

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif
constexpr int kLineBytes = 64;
constexpr int kVectors = kLineBytes / kVectorBytes;  // in a cache line

template <class Real>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(Real));
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

// The value, kept in a register: compilers read memory again for every use that can take it from there.
template <class Real>
NARSFAST_INLINE Vector<Real> in_register(Vector<Real> value) {
#if defined(__AVX512F__)
  asm("" : "+v"(value));
#elif defined(__x86_64__)
  asm("" : "+x"(value));
#elif defined(__aarch64__)
  asm("" : "+w"(value));
#endif
  return value;
}

// a > b ? a : b, and a < b ? a : b; compilers do not find the instructions themselves.
template <class Real>
NARSFAST_INLINE Vector<Real> maximum(Vector<Real> a, Vector<Real> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Real) == sizeof(float)) return (Vector<Real>)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  if constexpr (sizeof(Real) == sizeof(float)) return (Vector<Real>)_mm256_max_ps((__m256)a, (__m256)b);
#endif
  return a > b ? a : b;
}

template <class Real>
NARSFAST_INLINE Vector<Real> minimum(Vector<Real> a, Vector<Real> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Real) == sizeof(float)) return (Vector<Real>)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  if constexpr (sizeof(Real) == sizeof(float)) return (Vector<Real>)_mm256_min_ps((__m256)a, (__m256)b);
#endif
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

template <class Real>
NARSFAST_INLINE Vector<Real> square_root(Vector<Real> value) {
#if defined(__AVX512F__)
  if constexpr (sizeof(Real) == sizeof(float)) return (Vector<Real>)_mm512_sqrt_ps((__m512)value);
#elif defined(__AVX2__)
  if constexpr (sizeof(Real) == sizeof(float)) return (Vector<Real>)_mm256_sqrt_ps((__m256)value);
#endif
  for (int l = 0; l < kLanes<Real>; ++l) value[l] = std::sqrt(value[l]);
  return value;
}

#if defined(__AVX2__) && !defined(__AVX512F__)
// All ones in the first `count` lanes.
NARSFAST_INLINE __m256i first_lanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

// Of the first `count` lanes, or of all where there are fewer; the others read as 0 and are not touched in
// memory.
template <class Real, class Storage>
NARSFAST_INLINE Vector<Real> load_some(const Storage* at, int64_t count) {
  if (count >= kLanes<Real>) return load_map<Real>(at);
#if defined(__AVX512F__)
  const auto mask = static_cast<__mmask16>((1u << count) - 1);
  if constexpr (std::is_same_v<Storage, float>) return (Vector<Real>)_mm512_maskz_loadu_ps(mask, at);
  if constexpr (std::is_same_v<Storage, Bfloat16>) {
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at));
    return (Vector<Real>)_mm512_slli_epi32(words, 16);
  }
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<Storage, float>) {
    return (Vector<Real>)_mm256_maskload_ps(at, first_lanes(count));
  }
#endif
  Storage values[kLanes<Real>] = {};
  for (int64_t l = 0; l < count; ++l) values[l] = at[l];
  return load_map<Real>(values);
}

template <class Real, class Storage>
NARSFAST_INLINE void store_some(Storage* at, Vector<Real> value, int64_t count) {
  if (count >= kLanes<Real>) return store_map<Real>(at, value);
#if defined(__AVX512F__)
  const auto mask = static_cast<__mmask16>((1u << count) - 1);
  if constexpr (std::is_same_v<Storage, float>) return _mm512_mask_storeu_ps(at, mask, (__m512)value);
#elif defined(__AVX2__)
  if constexpr (std::is_same_v<Storage, float>) {
    return _mm256_maskstore_ps(at, first_lanes(count), (__m256)value);
  }
#endif
  Storage values[kLanes<Real>];
  store_map<Real>(values, value);
  for (int64_t l = 0; l < count; ++l) at[l] = values[l];
}

// Whether reading a part of a vector costs no more than reading all of it.
#if defined(__AVX512F__)
constexpr bool kMasks = true;
#else
constexpr bool kMasks = false;
#endif

// Reads the first `count` lanes, where masks are; else all.
template <class Real>
struct LaneReader {
#if defined(__AVX512F__)
  __mmask16 mask;
  explicit LaneReader(int64_t count) : mask(static_cast<__mmask16>((1u << count) - 1)) {}
  NARSFAST_INLINE Vector<Real> load(const Real* at) const {
    static_assert(sizeof(Real) == sizeof(float));
    return (Vector<Real>)_mm512_maskz_loadu_ps(mask, at);
  }
#else
  explicit LaneReader(int64_t) {}
  NARSFAST_INLINE Vector<Real> load(const Real* at) const { return narsfast::NARSFAST_ISA::load(at); }
#endif
};

// act(z) and act'(z). At the kinks, and for NaN, the derivatives are torch's.
template <Activation kActivation, class Real>
NARSFAST_INLINE Vector<Real> activate(Vector<Real> z) {
  const Vector<Real> zero{};
  if constexpr (kActivation == Activation::kRelu) {
    return z < zero ? zero : z;
  } else if constexpr (kActivation == Activation::kHardSwish) {
    return z * minimum<Real>(maximum<Real>(z * Real(1.0 / 6) + Real(0.5), zero), zero + Real(1));
  } else {
    return z;
  }
}

// What z is multiplied by beforehand, where that costs nothing, so that activate_scaled takes less: for w = z
// / sqrt(6), hard-swish is w * min(max(w + sqrt(6) / 2, 0), sqrt(6)), whose addition does not keep the units
// busy that multiply.
template <class Real>
constexpr Real kRootOf6 = Real(2.4494897427831780981972840747059);

template <class Real>
constexpr Real activation_scale(Activation activation) {
  return activation == Activation::kHardSwish ? 1 / kRootOf6<Real> : Real(1);
}

template <Activation kActivation, class Real>
NARSFAST_INLINE Vector<Real> activate_scaled(Vector<Real> w) {
  if constexpr (kActivation == Activation::kHardSwish) {
    const Vector<Real> zero{};
    return w * minimum<Real>(maximum<Real>(w + kRootOf6<Real> / 2, zero), zero + kRootOf6<Real>);
  } else {
    return activate<kActivation, Real>(w);
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

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
