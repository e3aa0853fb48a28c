#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

// Runs CUDA kernels on a CPU. Blocks run one after another. The threads of a block are fibers in an order
// shuffled by a seed, which reveals dependence on the order, or real threads, so that a thread sanitizer
// finds races. Shared memory starts as NaN, which reveals reads before writes. Not emulated: bank conflicts,
// occupancy, timing, and the memory model between barriers.

namespace narsfast::emu {

struct Index {
  unsigned x = 1, y = 1, z = 1;
};

struct Options {
  uint64_t seed = 0;
  int64_t dropped_barrier = -1;  // every thread skips its barrier of this number
  bool threads = false;          // std::thread instead of fibers
  bool count = false;            // see counters.h
};
Options& options();

// The state of one CUDA thread.
struct Thread {
  Index thread, block, block_size, grid_size;
  int number = 0;  // within its block
  int64_t barriers = 0;
};
Thread& current();
char* shared_memory();

// Barriers of the calling thread. launch() throws if threads of a block (or of a warp) wait at different
// lines, or if some of them have ended.
void wait_block(int line);
void wait_warp(int line);
// A shuffle: the value that lane `from` of the warp passes in the same call.
uint64_t exchange(uint64_t value, int from, int line);

constexpr int kWarp = 32;

void launch(Index grid, Index block, size_t shared_bytes, const std::function<void()>& kernel);

}  // namespace narsfast::emu
