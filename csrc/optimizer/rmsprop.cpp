#include "optimizer/rmsprop.h"

#include <vector>

#include "common/threads.h"
#include "optimizer/kernels.h"

namespace narsfast {
namespace {

constexpr int64_t kChunkElements = 1 << 15;  // elements that a thread processes at a time
constexpr double kElementNanoseconds = 1;    // per element, of which 36 bytes are read or written

// Elements [begin, begin + count) of a tensor.
RmspropTensor slice(RmspropTensor tensor, int64_t begin, int64_t count) {
  const auto from = [begin](auto* array) { return array == nullptr ? nullptr : array + begin; };
  return {from(tensor.weight),   from(tensor.gradient), from(tensor.square),
          from(tensor.velocity), from(tensor.average),  count,
          tensor.group};
}

// All tensors in chunks of about kChunkElements: long tensors are cut into slices, short ones share a chunk.
struct Chunks {
  std::vector<RmspropTensor> slices;
  std::vector<int64_t> ends;  // of the chunks, as indices of `slices`
  int64_t elements = 0;

  explicit Chunks(const RmspropArguments& arguments) {
    int64_t filled = 0;
    for (int64_t i = 0; i < arguments.count; ++i) {
      const RmspropTensor& tensor = arguments.tensors[i];
      elements += tensor.count;
      for (int64_t begin = 0; begin < tensor.count; begin += kChunkElements) {
        const int64_t count = tensor.count - begin < kChunkElements ? tensor.count - begin : kChunkElements;
        slices.push_back(slice(tensor, begin, count));
        filled += count;
        if (filled >= kChunkElements) close(&filled);
      }
    }
    if (filled > 0) close(&filled);
  }

  void close(int64_t* filled) {
    ends.push_back(static_cast<int64_t>(slices.size()));
    *filled = 0;
  }
};

}  // namespace

void rmsprop(Isa isa, const RmspropArguments& arguments) {
  const auto step = optimizer_kernels(isa).rmsprop;
  const double ema_step = 1 - arguments.ema_decay;
  const Chunks chunks(arguments);
  const auto count = static_cast<int64_t>(chunks.ends.size());
  if (count == 0) return;
  const double nanoseconds =
      kElementNanoseconds * static_cast<double>(chunks.elements) / static_cast<double>(count);
  for_chunks(count, 1, nanoseconds, [&](int64_t chunk, int64_t) {
    for (int64_t i = chunk == 0 ? 0 : chunks.ends[chunk - 1]; i < chunks.ends[chunk]; ++i) {
      step(arguments.groups[chunks.slices[i].group], ema_step, chunks.slices[i]);
    }
  });
}

}  // namespace narsfast
