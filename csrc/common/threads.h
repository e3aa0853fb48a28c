#pragma once

#include <cstdint>

namespace narsfast {

// Less work than this runs on the calling thread: waking the others, and waiting for them on a busy machine,
// costs more than it saves.
constexpr double kMinParallelNanoseconds = 2e5;

// Calls body(begin, end) for every chunk of [0, count), on several threads where the total work, estimated at
// `nanoseconds` per item, is worth it. Chunks and this decision depend on the shape alone, never on the
// number of threads. Without OpenMP the chunks run one after the other. The body must not throw.
template <class Body>
void for_chunks(int64_t count, int64_t chunk, double nanoseconds, const Body& body) {
  const int64_t chunks = (count + chunk - 1) / chunk;
#ifdef _OPENMP
  const bool parallel = chunks > 1 && static_cast<double>(count) * nanoseconds > kMinParallelNanoseconds;
#pragma omp parallel for schedule(dynamic) if (parallel)
#else
  static_cast<void>(nanoseconds);
#endif
  for (int64_t i = 0; i < chunks; ++i) {
    const int64_t begin = i * chunk;
    body(begin, begin + chunk < count ? begin + chunk : count);
  }
}

}  // namespace narsfast
