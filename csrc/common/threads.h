#pragma once

#include <cstdint>

namespace narsfast {

// Calls body(begin, end) for every chunk of [0, count). The chunks follow from the shape alone, never from
// the number of threads; without OpenMP they run one after the other. The body must not throw.
template <class Body>
void for_chunks(int64_t count, int64_t chunk, const Body& body) {
  const int64_t chunks = (count + chunk - 1) / chunk;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) if (chunks > 1)
#endif
  for (int64_t i = 0; i < chunks; ++i) {
    const int64_t begin = i * chunk;
    body(begin, begin + chunk < count ? begin + chunk : count);
  }
}

}  // namespace narsfast
