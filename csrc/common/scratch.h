#pragma once

#include <cstddef>

namespace narsfast {

// Memory of the calling thread, aligned to a cache line, that stays until the thread ends or asks for more. What it
// holds is undefined; a second call takes the first one's memory away.
void* thread_scratch(size_t bytes);

}  // namespace narsfast
