#include "depthwise_se/cuda/convolve.cuh"
#include "depthwise_se/cuda/elementwise.cuh"
#include "depthwise_se/cuda/excite.cuh"
#include "depthwise_se/cuda/launchers.h"
#include "depthwise_se/cuda/partials.cuh"

namespace narsfast::cuda {
namespace {

// The workspace: the moments of a for every image, strip and tile, `partials` of them; then pooled, hidden
// and gate, at these offsets in floats.
struct WorkspaceLayout {
  int64_t partials, pooled, hidden, gate, size;

  explicit WorkspaceLayout(const InferArguments& a) {
    const Window& w = a.window;
    partials = w.images * image_partials(a.dtype, w);
    pooled = 3 * partials * w.channels;
    const int64_t maps = a.excite.squeezed > 0 ? w.images : 0;
    hidden = pooled + maps * w.channels;
    gate = hidden + maps * a.excite.squeezed;
    size = gate + maps * w.channels;
  }
};

// pooled (images, channels) from the moments of each image's `count` partials.
__global__ void __launch_bounds__(kThreads)
    join_means_kernel(const float* partials, int64_t images, int64_t count, int64_t channels, float* pooled) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= images * channels) return;
  const float* at = partials + index / channels * count * channels + index % channels;
  const int64_t plane = images * count * channels;
  float pixels = 0;
  float sum = 0;
  for (int64_t p = 0; p < count; ++p) {
    const float part = read(at + p * channels);
    pixels += part;
    sum += part * read(at + p * channels + plane);
  }
  write(pooled + index, sum / pixels);
}

}  // namespace

size_t infer_workspace(const InferArguments& a) {
  return sizeof(float) * static_cast<size_t>(WorkspaceLayout(a).size);
}

int infer(const InferArguments& a, void* stream) {
  const Window& w = a.window;
  const WorkspaceLayout layout(a);
  auto* floats = static_cast<float*>(a.workspace);
  int error = enqueue_convolve({a.dtype, w, a.x, DeviceNorm(a.input), static_cast<const float*>(a.weight),
                                DeviceNorm(a.norm), a.out, floats},
                               stream);
  if (error != 0 || a.excite.squeezed == 0) return error;
  float* pooled = floats + layout.pooled;
  launch(join_means_kernel, ceil_div(w.images * w.channels, kThreads), 0, stream, floats, w.images,
         image_partials(a.dtype, w), w.channels, pooled);
  excite(DeviceExcite(a.excite, w.channels), w.images, pooled, floats + layout.hidden, floats + layout.gate,
         stream);
  return apply({a.dtype, w.images, w.out_height * w.out_width, w.channels, a.out, DeviceNorm(),
                floats + layout.gate, a.excite.gate_kind, a.out},
               stream);
}

}  // namespace narsfast::cuda
