#pragma once

#include <cstdint>

// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011). A number is a pure function of a key and a counter: neither threads nor earlier draws change it.
// Everything has internal linkage, because sources compiled per instruction set include this header.

namespace narsfast {

struct PhiloxKey {
  uint32_t low;
  uint32_t high;
};

struct PhiloxBlock {
  uint32_t word[4];
};

constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53u;
constexpr uint32_t kPhiloxMultiplier1 = 0xCD9E8D57u;
constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9u;
constexpr uint32_t kPhiloxWeyl1 = 0xBB67AE85u;
constexpr int kPhiloxRounds = 10;

// The key of one purpose; two purposes with the same seed draw independent numbers.
static inline PhiloxKey make_key(uint64_t seed, uint32_t purpose) {
  return {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32) ^ purpose};
}

// The four words of one counter.
static inline PhiloxBlock philox(PhiloxKey key, PhiloxBlock counter) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t product0 = static_cast<uint64_t>(kPhiloxMultiplier0) * counter.word[0];
    const uint64_t product1 = static_cast<uint64_t>(kPhiloxMultiplier1) * counter.word[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.word[1] ^ key.low,
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.word[3] ^ key.high,
                static_cast<uint32_t>(product0)}};
    key.low += kPhiloxWeyl0;
    key.high += kPhiloxWeyl1;
  }
  return counter;
}

}  // namespace narsfast
