#include "optimizer/rmsprop.h"

#include <vector>

#include "common/threads.h"
#include "optimizer/kernels.h"

namespace narsfast {
namespace {

constexpr int64_t kPiece = 1 << 15;  // elements that one thread works on at a time
constexpr double kNanoseconds = 1;   // of one element: 36 bytes are read or written

// Elements [begin, begin + count) of a tensor.
RmspropTensor part(RmspropTensor tensor, int64_t begin, int64_t count) {
  const auto from = [begin](auto* array) { return array == nullptr ? nullptr : array + begin; };
  return {from(tensor.weight),   from(tensor.gradient), from(tensor.square),
          from(tensor.velocity), from(tensor.average),  count,
          tensor.group};
}

// All tensors in runs of about kPiece elements: a long tensor is cut, short ones stay together.
struct Pieces {
  std::vector<RmspropTensor> parts;
  std::vector<int64_t> ends;  // of the runs, in `parts`
  int64_t elements = 0;

  explicit Pieces(const RmspropArguments& arguments) {
    int64_t filled = 0;
    for (int64_t i = 0; i < arguments.count; ++i) {
      const RmspropTensor& tensor = arguments.tensors[i];
      elements += tensor.count;
      for (int64_t begin = 0; begin < tensor.count; begin += kPiece) {
        const int64_t count = tensor.count - begin < kPiece ? tensor.count - begin : kPiece;
        parts.push_back(part(tensor, begin, count));
        filled += count;
        if (filled >= kPiece) close(&filled);
      }
    }
    if (filled > 0) close(&filled);
  }

  void close(int64_t* filled) {
    ends.push_back(static_cast<int64_t>(parts.size()));
    *filled = 0;
  }
};

}  // namespace

void rmsprop(Isa isa, const RmspropArguments& arguments) {
  const auto step = optimizer_kernels(isa).rmsprop;
  const double share = 1 - arguments.kept;
  const Pieces pieces(arguments);
  const auto runs = static_cast<int64_t>(pieces.ends.size());
  if (runs == 0) return;
  const double each = kNanoseconds * static_cast<double>(pieces.elements) / static_cast<double>(runs);
  for_chunks(runs, 1, each, [&](int64_t run, int64_t) {
    for (int64_t i = run == 0 ? 0 : pieces.ends[run - 1]; i < pieces.ends[run]; ++i) {
      step(arguments.groups[pieces.parts[i].group], share, pieces.parts[i]);
    }
  });
}

}  // namespace narsfast
