#pragma once

// Vectors of one instruction set, and how they load and store elements of maps. Only for sources that are
// compiled once per instruction set: everything has internal linkage.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

#define NARSFAST_INLINE inline __attribute__((always_inline))
#define NARSFAST_NOINLINE __attribute__((noinline))  // one copy of a long function

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
constexpr int kVectorsPerLine = kLineBytes / kVectorBytes;

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

// The value, held in a register: compilers would otherwise load it from memory again at every use.
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

// a > b ? a : b, and a < b ? a : b, in one instruction, which compilers do not find themselves.
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

// Access to the first `count` lanes, or to all lanes if `count` is larger. The other lanes load as 0; their
// memory is not touched.
template <class Real, class Storage>
NARSFAST_INLINE Vector<Real> load_partial(const Storage* at, int64_t count) {
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
NARSFAST_INLINE void store_partial(Storage* at, Vector<Real> value, int64_t count) {
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

// Whether loading a part of a vector is as fast as loading all of it.
#if defined(__AVX512F__)
constexpr bool kHasMaskedLoads = true;
#else
constexpr bool kHasMaskedLoads = false;
#endif

// Loads the first `count` lanes where masked loads exist; all lanes elsewhere.
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

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
