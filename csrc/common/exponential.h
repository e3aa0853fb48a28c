#pragma once

// exp of vectors: accurate to about one unit in the last place, for NaN and infinity too, and without
// -ffast-math.

#include "common/vector.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// ln(2) = kHigh + kLow, where kHigh has so few bits that its product with an exponent is exact. kShift: added
// to a number, it leaves the nearest integer in the last bits. Below kLowest, exp rounds to 0. kTerms: of the
// Taylor series for |r| <= ln(2) / 2, whose error is then below that of rounding.
template <class Real>
struct ExponentialConstants;

template <>
struct ExponentialConstants<float> {
  using Integer = int32_t;
  static constexpr float kLowest = -104, kShift = 0x1.8p23f, kHigh = 0x1.63p-1f,
                         kLow = -2.12194440054690583e-4f;
  static constexpr uint32_t kMantissa = 23, kBias = 127;
  static constexpr int kTerms = 7;
};

template <>
struct ExponentialConstants<double> {
  using Integer = int64_t;
  static constexpr double kLowest = -746, kShift = 0x1.8p52, kHigh = 6.93145751953125e-1,
                          kLow = 1.42860682030941723212e-6;
  static constexpr uint64_t kMantissa = 52, kBias = 1023;
  static constexpr int kTerms = 13;
};

// 1 / k! for k up to kTerms.
template <class Real>
struct InverseFactorials {
  Real at[ExponentialConstants<Real>::kTerms + 1] = {};

  constexpr InverseFactorials() {
    double factorial = 1;
    for (int k = 0; k <= ExponentialConstants<Real>::kTerms; ++k) {
      if (k > 0) factorial *= k;
      at[k] = Real(1 / factorial);
    }
  }
};

// exp(t) for t <= 0.
template <class Real>
NARSFAST_INLINE Vector<Real> exponential(Vector<Real> t) {
  using Constants = ExponentialConstants<Real>;
  typedef typename Constants::Integer Integers __attribute__((vector_size(kVectorBytes)));
  typedef std::make_unsigned_t<typename Constants::Integer> Bits __attribute__((vector_size(kVectorBytes)));
  constexpr Real kLog2E = Real(1.4426950408889634073599246810019);
  const Vector<Real> bounded = maximum<Real>(broadcast(Constants::kLowest), t);  // NaN stays NaN
  const Vector<Real> shifted = bounded * kLog2E + Constants::kShift;
  const Vector<Real> whole = shifted - Constants::kShift;
  const Vector<Real> rest = (bounded - whole * Constants::kHigh) - whole * Constants::kLow;
  constexpr InverseFactorials<Real> kFactors;
  Vector<Real> sum = broadcast(kFactors.at[Constants::kTerms]);
#pragma GCC unroll 16
  for (int k = Constants::kTerms - 1; k >= 0; --k) sum = sum * rest + kFactors.at[k];
  // 2^whole in two factors: by itself it may be too small for a normal number.
  const Vector<Real> shift = broadcast(Constants::kShift);
  const Bits power = reinterpret_cast<Bits>(shifted) - reinterpret_cast<Bits>(shift);
  const Bits half = reinterpret_cast<Bits>(reinterpret_cast<Integers>(power) >> 1);
  const auto power_of_2 = [](Bits exponent) {
    return reinterpret_cast<Vector<Real>>((exponent + Constants::kBias) << Constants::kMantissa);
  };
  return sum * power_of_2(half) * power_of_2(power - half);
}

}  // namespace
}  // namespace NARSFAST_ISA
}  // namespace narsfast
