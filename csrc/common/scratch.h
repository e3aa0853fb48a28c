#pragma once

#include <cstddef>
#include <cstdint>

namespace narsfast {

// The state of a thread's scratch memory before an allocation; release_scratch() returns to it.
struct ScratchMark {
  size_t block, used;
};

// Allocates from memory that belongs to the calling thread and is reused by later calls, aligned to a cache
// line. Allocations are a stack: each thread releases the last one first.
void* acquire_scratch(size_t bytes, ScratchMark* before);
void release_scratch(const ScratchMark& before);

// The bytes of the block of the last allocation that are behind it; never negative.
int64_t scratch_left();

}  // namespace narsfast
