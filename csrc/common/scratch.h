#pragma once

#include <cstddef>

namespace narsfast {

// Where a thread's scratch stood before it grew.
struct ScratchMark {
  size_t block, used;
};

// Memory of the calling thread, aligned to a cache line, that stays with it for later calls. Last taken,
// first given back, by the same thread; others may use it meanwhile.
void* take_scratch(size_t bytes, ScratchMark* before);
void give_scratch_back(const ScratchMark& before);

}  // namespace narsfast
