#include "common/cuda/memory.cuh"
#include "optimizer/cuda/launchers.h"

namespace narsfast::cuda {
namespace {

// The table of tensors is passed as a kernel argument, which may have 4 KB: nothing is copied to the device,
// and nothing has to outlive the call.
constexpr int kTensors = 48;
constexpr size_t kArgumentBytes = 4096;
constexpr int kQuad = 4;
constexpr int kQuads = 4;  // per thread
constexpr int64_t kBlockElements = kThreads * kQuads * kQuad;

struct Constants {
  float rate, alpha, beta, epsilon, momentum, decay;
};

struct Table {
  RmspropTensor tensors[kTensors];
  Constants constants[kTensors];
  unsigned first[kTensors];  // the first block of each tensor
  int count;
  float ema_step;
};
static_assert(sizeof(Table) <= kArgumentBytes);

template <int kWidth>
__device__ void load(const float* at, float (&values)[kWidth]) {
  if constexpr (kWidth == kQuad) {
    NARSFAST_COUNT(at, sizeof(Quad), kOther, 0);
    const Quad quad = *reinterpret_cast<const Quad*>(at);
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) values[j] = quad.value[j];
  } else {
    values[0] = read(at);
  }
}

template <int kWidth>
__device__ void store(float* at, const float (&values)[kWidth]) {
  if constexpr (kWidth == kQuad) {
    NARSFAST_COUNT(at, sizeof(Quad), kOther, 0);
    Quad quad;
    NARSFAST_UNROLL
    for (int j = 0; j < kWidth; ++j) quad.value[j] = values[j];
    *reinterpret_cast<Quad*>(at) = quad;
  } else {
    write(at, values[0]);
  }
}

// Updates kWidth elements, from the i-th on.
template <int kWidth>
__device__ void step(const Constants& c, float ema_step, const RmspropTensor& t, int64_t i) {
  float weight[kWidth], gradient[kWidth], square[kWidth], velocity[kWidth], average[kWidth];
  load(t.weight + i, weight);
  load(t.gradient + i, gradient);
  load(t.square + i, square);
  load(t.velocity + i, velocity);
  if (t.average != nullptr) load(t.average + i, average);
  NARSFAST_UNROLL
  for (int j = 0; j < kWidth; ++j) {
    const float g = c.decay != 0 ? gradient[j] + c.decay * weight[j] : gradient[j];
    square[j] = c.alpha * square[j] + c.beta * g * g;
    velocity[j] = c.momentum * velocity[j] + c.rate * g / sqrtf(square[j] + c.epsilon);
    weight[j] -= velocity[j];
    if (t.average != nullptr) average[j] += ema_step * (weight[j] - average[j]);
  }
  store(t.weight + i, weight);
  store(t.square + i, square);
  store(t.velocity + i, velocity);
  if (t.average != nullptr) store(t.average + i, average);
}

__device__ bool aligned(const RmspropTensor& t) {
  const auto bits = reinterpret_cast<uintptr_t>(t.weight) | reinterpret_cast<uintptr_t>(t.gradient) |
                    reinterpret_cast<uintptr_t>(t.square) | reinterpret_cast<uintptr_t>(t.velocity) |
                    reinterpret_cast<uintptr_t>(t.average);
  return bits % sizeof(Quad) == 0;
}

__global__ void __launch_bounds__(kThreads) rmsprop_kernel(const Table table) {
  int entry = 0;
  while (entry + 1 < table.count && table.first[entry + 1] <= blockIdx.x) ++entry;
  const RmspropTensor tensor = table.tensors[entry];
  const Constants constants = table.constants[entry];
  const bool quads = aligned(tensor);
  int64_t i = (blockIdx.x - table.first[entry]) * kBlockElements + threadIdx.x * kQuad;
  for (int k = 0; k < kQuads; ++k, i += kThreads * kQuad) {
    if (quads && i + kQuad <= tensor.count) {
      step<kQuad>(constants, table.ema_step, tensor, i);
    } else {
      for (int j = 0; j < kQuad && i + j < tensor.count; ++j) {
        step<1>(constants, table.ema_step, tensor, i + j);
      }
    }
  }
}

}  // namespace

int rmsprop(const RmspropArguments& arguments, void* stream) {
  Table table = {};
  table.ema_step = static_cast<float>(1 - arguments.ema_decay);
  int64_t blocks = 0;
  const auto enqueue = [&] {
    launch(rmsprop_kernel, blocks, 0, stream, table);
    table.count = 0;
    blocks = 0;
  };
  for (int64_t i = 0; i < arguments.count; ++i) {
    const RmspropTensor& tensor = arguments.tensors[i];
    if (tensor.count == 0) continue;
    const RmspropGroup& group = arguments.groups[tensor.group];
    table.tensors[table.count] = tensor;
    table.constants[table.count] = {static_cast<float>(group.rate),      static_cast<float>(group.alpha),
                                    static_cast<float>(1 - group.alpha), static_cast<float>(group.epsilon),
                                    static_cast<float>(group.momentum),  static_cast<float>(group.decay)};
    table.first[table.count] = static_cast<unsigned>(blocks);
    blocks += ceil_div(tensor.count, kBlockElements);
    if (++table.count == kTensors) enqueue();
  }
  enqueue();
  return launch_error();
}

}  // namespace narsfast::cuda
