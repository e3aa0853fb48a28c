#pragma once

#include <cstddef>
#include <cstdint>

// Memory traffic of kernels, counted where Options::count is set. Maps are counted separately from parameters
// and partial sums. A warp instruction is the k-th access at one line by the lanes of one warp; it costs
// every 32-byte sector that it touches.

namespace narsfast::emu {

struct Counters {
  int64_t map_read = 0;     // bytes
  int64_t map_written = 0;  // bytes
  int64_t other = 0;        // bytes
  int64_t map_sectors = 0;  // sectors touched, summed over warp instructions
  int64_t launches = 0;     // kernels
};
Counters& counters();

enum class Access { kMapRead, kMapWrite, kOther };

void count_access(const void* address, size_t bytes, Access access, int line);
void end_block();

}  // namespace narsfast::emu
