// Compiled once per instruction set, in the namespace that NARSFAST_ISA names. It includes no inline
// functions with external linkage: the linker could otherwise choose a copy with instructions that not every
// machine has.
#include "search/kernels.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kNeurons = 12;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kNeurons = 6;
#else
constexpr int kLanes = 4;
constexpr int kNeurons = 6;
#endif
constexpr int kTile = 2 * kLanes;  // two vectors of candidates hide the latency of the multiply-adds

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef Vector Unaligned __attribute__((aligned(4)));

inline __attribute__((always_inline)) Vector load(const float* at) {
  return *reinterpret_cast<const Unaligned*>(at);
}

// The value in all lanes. Compilers reduce this to a broadcast, since subtracting 0 changes no float; adding
// 0 would change -0.
inline __attribute__((always_inline)) Vector broadcast(float value) { return value - Vector{}; }

inline __attribute__((always_inline)) void store(float* at, Vector value) {
  *reinterpret_cast<Unaligned*>(at) = value;
}

// Computes kRows outputs of one tile. Each accumulator starts at the bias and adds the inputs in order, so
// the result of a candidate depends on the candidate alone.
template <int kRows>
void dense_block(const float* weights, const float* bias, const float* input, int64_t inputs, bool relu,
                 float* output) {
  Vector sum[kRows][2];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = broadcast(bias[r]);
  for (int64_t k = 0; k < inputs; ++k) {
    const Vector left = load(input + k * kTile);
    const Vector right = load(input + k * kTile + kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const Vector weight = broadcast(weights[k * kRows + r]);
      sum[r][0] += weight * left;
      sum[r][1] += weight * right;
    }
  }
  const Vector zero{};
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    for (int half = 0; half < 2; ++half) {
      const Vector value =
          relu ? (sum[r][half] < zero ? zero : sum[r][half]) : sum[r][half];  // NaN stays NaN
      store(output + r * kTile + half * kLanes, value);
    }
  }
}

// Calls dense_block for a block of `rows` <= kRows outputs.
template <int kRows>
void dense_rows(int64_t rows, const float* weights, const float* bias, const float* input, int64_t inputs,
                bool relu, float* output) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      dense_block<kRows>(weights, bias, input, inputs, relu, output);
    } else {
      dense_rows<kRows - 1>(rows, weights, bias, input, inputs, relu, output);
    }
  }
}

void dense(const DenseLayer& layer, const float* input, int64_t input_stride, int64_t tiles, float* output,
           int64_t output_stride) {
  for (int64_t first = 0; first < layer.outputs; first += kNeurons) {
    const int64_t rows = layer.outputs - first < kNeurons ? layer.outputs - first : kNeurons;
    for (int64_t t = 0; t < tiles; ++t) {
      dense_rows<kNeurons>(rows, layer.weights + first * layer.inputs, layer.bias + first,
                           input + t * input_stride, layer.inputs, layer.relu,
                           output + t * output_stride + first * kTile);
    }
  }
}

// The products of the lower halves of 64-bit lanes. Compilers emulate a full 64-bit product where they cannot
// know that the upper halves do not matter.
#if defined(__AVX512F__)
typedef uint64_t Wide __attribute__((vector_size(64)));
inline __attribute__((always_inline)) Wide multiply_low(Wide a, Wide b) {
  return (Wide)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}
#elif defined(__AVX2__)
typedef uint64_t Wide __attribute__((vector_size(32)));
inline __attribute__((always_inline)) Wide multiply_low(Wide a, Wide b) {
  return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b);
}
#elif defined(__SSE2__)
typedef uint64_t Wide __attribute__((vector_size(16)));
inline __attribute__((always_inline)) Wide multiply_low(Wide a, Wide b) {
  return (Wide)_mm_mul_epu32((__m128i)a, (__m128i)b);
}
#else
typedef uint64_t Wide __attribute__((vector_size(16)));
inline __attribute__((always_inline)) Wide multiply_low(Wide a, Wide b) {
  return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
}
#endif

inline __attribute__((always_inline)) Wide load_wide(const uint64_t* at) {
  typedef Wide UnalignedWide __attribute__((aligned(8)));
  return *reinterpret_cast<const UnalignedWide*>(at);
}

// Philox with one counter per 64-bit lane; the upper halves of lanes are ignored.
void random_words(PhiloxKey key, uint32_t child, uint32_t parent, uint32_t generation, int32_t blocks,
                  int64_t stride, uint32_t* words) {
  constexpr int kWide = sizeof(Wide) / sizeof(uint64_t);
  const Wide multiplier0 = Wide{} + kPhiloxMultiplier0;
  const Wide multiplier1 = Wide{} + kPhiloxMultiplier1;
  for (int32_t first = 0; first < blocks; first += kWide) {
    uint64_t counters[kWide];
    for (int l = 0; l < kWide; ++l) counters[l] = static_cast<uint64_t>(first + l);
    Wide word[4] = {load_wide(counters), Wide{} + child, Wide{} + parent, Wide{} + generation};
    uint32_t low = key.low;
    uint32_t high = key.high;
#pragma GCC unroll 10
    for (int round = 0; round < kPhiloxRounds; ++round) {
      const Wide product0 = multiply_low(word[0], multiplier0);
      const Wide product1 = multiply_low(word[2], multiplier1);
      word[0] = (product1 >> 32) ^ word[1] ^ (Wide{} + low);
      word[1] = product1;
      word[2] = (product0 >> 32) ^ word[3] ^ (Wide{} + high);
      word[3] = product0;
      low += kPhiloxWeyl0;
      high += kPhiloxWeyl1;
    }
    for (int w = 0; w < 4; ++w) {
      for (int l = 0; l < kWide; ++l) words[w * stride + first + l] = static_cast<uint32_t>(word[w][l]);
    }
  }
}

// Breeds one block of a child's fields. `choice` decides crossover (upper half) and mutation (lower half);
// `value` gives the new value (upper half) and the priority in repair (lower half).
inline __attribute__((always_inline)) void breed_block(
    const int32_t* __restrict sizes, const int32_t* __restrict max_steps, const int16_t* __restrict parent,
    const int16_t* __restrict mate, int32_t crossover, int32_t mutation, const uint32_t* __restrict choice,
    const uint32_t* __restrict value, int16_t* __restrict child, uint16_t* __restrict priorities) {
  for (int f = 0; f < kFieldBlock; ++f) {
    const int32_t size = sizes[f];
    const int32_t max_step = max_steps[f];
    const int32_t draw = static_cast<int32_t>(value[f] >> 16);
    const int32_t from_parent = parent[f];
    const int32_t from_mate = mate[f];
    const int32_t gene = static_cast<int32_t>(choice[f] >> 16) < crossover ? from_mate : from_parent;
    // A range field moves by 1 .. max_step in the direction of the lowest bit, or in the other one at the
    // border.
    const int32_t step = 1 + (((draw >> 1) * max_step) >> 15);
    const int32_t up = gene + step;
    const int32_t down = gene - step;
    const int32_t if_up = up < size ? up : down;
    const int32_t if_down = down < 0 ? up : down;
    const int32_t stepped = (draw & 1) != 0 ? if_up : if_down;
    // A categorical field takes one of the other values.
    const uint32_t others = static_cast<uint32_t>(draw) * static_cast<uint32_t>(size - 1);
    const int32_t next = gene + 1 + static_cast<int32_t>(others >> 16);
    const int32_t other = next >= size ? next - size : next;
    const int32_t mutated = max_step > 0 ? stepped : other;
    child[f] = static_cast<int16_t>(static_cast<int32_t>(choice[f] & 0xFFFFu) < mutation ? mutated : gene);
    priorities[f] = static_cast<uint16_t>(value[f] & 0xFFFFu);
  }
}

void breed(const BreedFields& fields, const Mating& mating, uint32_t* words, int64_t stride, int16_t* child,
           uint16_t* priorities) {
  const int32_t half = (fields.fields + 1) / 2;
  uint32_t* choice = words + 1;
  uint32_t* value = words + stride + 1;
  for (int32_t f = half; f < fields.fields; ++f) {
    choice[f] = words[2 * stride + 1 + f - half];
    value[f] = words[3 * stride + 1 + f - half];
  }
  for (int32_t f = 0; f < fields.fields; f += kFieldBlock) {
    breed_block(fields.sizes + f, fields.max_steps + f, mating.parent + f, mating.mate + f,
                static_cast<int32_t>(mating.crossover), static_cast<int32_t>(mating.mutation), choice + f,
                value + f, child + f, priorities + f);
  }
}

int32_t next_revert(int32_t fields, const int16_t* child, const int16_t* parent, const uint16_t* priorities,
                    const int16_t* revertible) {
  // Priority and column packed into a non-negative int32, since baseline x86 has no unsigned minimum.
  constexpr int32_t kNone = INT32_MAX;
  int32_t best[kFieldBlock];
  for (int l = 0; l < kFieldBlock; ++l) best[l] = kNone;
  for (int32_t f = 0; f < fields; f += kFieldBlock) {
    for (int l = 0; l < kFieldBlock; ++l) {
      const bool differs = child[f + l] != parent[f + l] && revertible[f + l] != 0;
      const int32_t rank = differs ? static_cast<int32_t>(priorities[f + l]) << 14 | (f + l) : kNone;
      best[l] = rank < best[l] ? rank : best[l];
    }
  }
  int32_t least = kNone;
  for (int l = 0; l < kFieldBlock; ++l) least = best[l] < least ? best[l] : least;
  return least == kNone ? -1 : least & 0x3FFF;
}

// exp(-x) for x >= 0, with a relative error below 3e-7; 0 past the smallest normal float.
inline __attribute__((always_inline)) Vector exp_minus(Vector x) {
  typedef int32_t Integers __attribute__((vector_size(4 * kLanes)));
  constexpr float kLog2e = 1.44269504088896341f;
  constexpr float kLog2High = 0.693145751953125f;  // few bits, so that its products are exact
  constexpr float kLog2Low = 1.42860682030941723e-6f;
  const Vector limit = broadcast(87.0f);
  const Vector clamped = x < limit ? x : limit;  // NaN is clamped too
  // Both terms are positive, so truncation rounds to the nearest.
  const Integers whole = __builtin_convertvector(clamped * kLog2e + 0.5f, Integers);
  const Vector count = __builtin_convertvector(whole, Vector);
  const Vector rest = count * kLog2High - clamped + count * kLog2Low;  // in +- log(2) / 2
  Vector sum = rest * (1.0f / 720.0f) + 1.0f / 120.0f;
  sum = sum * rest + 1.0f / 24.0f;
  sum = sum * rest + 1.0f / 6.0f;
  sum = sum * rest + 0.5f;
  sum = sum * rest + 1.0f;
  sum = sum * rest + 1.0f;
  const Integers exponent = (127 - whole) << 23;
  return sum * (Vector)exponent;
}

// The covariances with kBlocks blocks of labels, which start at `first`.
template <int kBlocks>
inline __attribute__((always_inline)) void covariance_blocks(const LabelRows& candidate,
                                                             const float* variances, int64_t first,
                                                             float* out) {
  constexpr int kVectors = kBlocks * static_cast<int>(kLabelBlock) / kLanes;
  Vector total[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) total[v] = Vector{};
  for (int part = 0; part < 2; ++part) {
    if (candidate.counts[part] == 0) continue;
    Vector distance[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) distance[v] = Vector{};
    for (int32_t k = 0; k < candidate.counts[part]; ++k) {
      const float* row = candidate.table + candidate.rows[part][k] * candidate.stride + first;
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) distance[v] += load(row + v * kLanes);
    }
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) total[v] += variances[part] * exp_minus(distance[v]);
  }
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) store(out + first + v * kLanes, total[v]);
}

double covariances(const LabelRows& candidate, const float* variances, const double* weights, float* out) {
  constexpr int kTogether = kLanes == 4 ? 1 : 4;  // as many as registers hold
  int64_t first = 0;
  for (; first + kTogether * kLabelBlock <= candidate.stride; first += kTogether * kLabelBlock) {
    covariance_blocks<kTogether>(candidate, variances, first, out);
  }
  for (; first < candidate.stride; first += kLabelBlock) {
    covariance_blocks<1>(candidate, variances, first, out);
  }
  // In double, since weights may be large and of either sign.
  constexpr int kDoubles = 8;
  typedef double Doubles __attribute__((vector_size(8 * kDoubles)));
  typedef float Halves __attribute__((vector_size(4 * kDoubles)));
  typedef Doubles UnalignedDoubles __attribute__((aligned(8)));
  typedef Halves UnalignedHalves __attribute__((aligned(4)));
  Doubles sums{};
  for (int64_t i = 0; i < candidate.stride; i += kDoubles) {
    const Halves values = *reinterpret_cast<const UnalignedHalves*>(out + i);
    sums +=
        __builtin_convertvector(values, Doubles) * *reinterpret_cast<const UnalignedDoubles*>(weights + i);
  }
  double sum = 0.0;
  for (int d = 0; d < kDoubles; ++d) sum += sums[d];
  return sum;
}

void add_linear(const float* table, int64_t stride, const float* z, int32_t columns, float constant,
                float* out) {
  for (int64_t first = 0; first < stride; first += kLanes) {
    Vector sum = load(out + first) + constant;
    for (int32_t s = 0; s < columns; ++s) sum += z[s] * load(table + s * stride + first);
    store(out + first, sum);
  }
}

}  // namespace

extern const SearchKernels kSearchKernels;
const SearchKernels kSearchKernels = {kTile, kNeurons,    dense,       random_words,
                                      breed, next_revert, covariances, add_linear};

}  // namespace NARSFAST_ISA
}  // namespace narsfast
