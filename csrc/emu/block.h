#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

// CUDA threads on a CPU. Blocks run one after another; the threads of a block are fibres in an order shuffled
// by a seed, so that what depends on the order shows, or real threads, so that a thread sanitizer sees races.
// Shared memory starts as NaN: what is read before it is written shows in the output.
// Not shown: bank conflicts, occupancy, timing, and the memory model below barriers.

namespace narsfast::emu {

struct Index {
  unsigned x = 1, y = 1, z = 1;
};

struct Options {
  uint64_t seed = 0;
  int64_t dropped_barrier = -1;  // every thread walks through its barrier of this number
  bool threads = false;          // std::thread instead of fibres
  bool count = false;            // see counters.h
};
Options& options();

// What one CUDA thread knows of itself.
struct Thread {
  Index thread, block, block_size, grid_size;
  int number = 0;  // within its block
  int64_t barriers = 0;
};
Thread& current();
char* shared_memory();

// Barriers of the calling thread. Throws out of launch() where the threads of a block (or of a warp) wait at
// different lines, or some have ended.
void wait_block(int line);
void wait_warp(int line);
// The value that lane `from` of the warp hands over at the same call.
uint64_t exchange(uint64_t value, int from, int line);

constexpr int kWarp = 32;

void launch(Index grid, Index block, size_t shared_bytes, const std::function<void()>& kernel);

}  // namespace narsfast::emu
