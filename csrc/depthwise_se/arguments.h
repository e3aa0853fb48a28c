#pragma once

#include <cstdint>

// Arguments of the kernels of the depthwise squeeze-excite block, for the CPU and CUDA. Plain structs of
// pointers and sizes; the caller owns all memory.
//
// Maps are contiguous NHWC arrays of `dtype`. Everything else (weights, per-channel and per-image vectors)
// has the accumulator's type: double where dtype is kFloat64, float otherwise; comments call it `Real`.
//
// Names: x is the convolution's input, y its output, z the normalized output, a = act(z), and out = gate * a.
// A gradient is named after its map: d_out, d_x.

namespace narsfast {

enum class Dtype : int32_t { kFloat32 = 0, kBfloat16, kFloat16, kFloat64 };

enum class Activation : int32_t { kNone = 0, kRelu, kHardSwish, kRelu6, kSilu };

// What a squeeze-excite multiplies by: min(max(t + 3, 0), 6) / 6, or 1 / (1 + exp(-t)).
enum class Gate : int32_t { kHardSigmoid = 0, kSigmoid };

// A batch norm and the activation after it: act(weight * (value - mean) / sqrt(var + eps) + bias) per
// channel; the identity where weight is null.
struct Norm {
  const void* weight = nullptr;  // (channels,)
  const void* bias = nullptr;    // (channels,)
  const void* mean = nullptr;    // (channels,)
  const void* var = nullptr;     // (channels,)
  double eps = 0;
  Activation activation = Activation::kNone;
};

// The shape of a depthwise convolution. `top` and `left` rows and columns of zeros are before the map; how
// many are after it follows from the size of the output.
struct Window {
  int64_t images, height, width, channels;
  int64_t out_height, out_width;
  int64_t kernel, stride;  // 3, 5, 7; 1, 2
  int64_t top, left;
};

// Squeeze-excite: gate = gate_kind(expand(act(reduce(mean of a)))). Absent where squeezed is 0.
struct Excite {
  int64_t squeezed = 0;
  Activation activation = Activation::kHardSwish;
  Gate gate_kind = Gate::kHardSigmoid;
  const void* reduce_weight = nullptr;  // (squeezed, channels)
  const void* reduce_bias = nullptr;    // (squeezed,)
  const void* expand_weight = nullptr;  // (channels, squeezed)
  const void* expand_bias = nullptr;    // (channels,)
};

// y = conv(input(x)) and, over images and pixels, mean(y) and var(y), the biased variance.
struct ConvolveArguments {
  Dtype dtype;
  Window window;
  const void* x;
  Norm input;          // applied to x before it is padded
  const void* weight;  // (channels, kernel, kernel)
  void* y;
  void* mean;  // (channels,)
  void* var;   // (channels,)
  void* workspace;
};

// mean(y) and var(y) of a map.
struct MomentsArguments {
  Dtype dtype;
  int64_t images, pixels, channels;
  const void* y;
  void* mean;  // (channels,)
  void* var;   // (channels,)
  void* workspace;
};

// out = gate * act(z).
struct NormalizeArguments {
  Dtype dtype;
  int64_t images, pixels, channels;
  const void* y;
  Norm norm;
  Excite excite;
  void* out;
  void* pooled;  // (images, channels): mean of a
  void* hidden;  // (images, squeezed): before its activation
  void* gate;    // (images, channels): before gate_kind
};

// The gradients of the norm's weight and bias, and of squeeze-excite.
struct ReduceArguments {
  Dtype dtype;
  int64_t images, pixels, channels;
  const void* y;
  const void* d_out;
  Norm norm;
  Excite excite;
  const void* pooled;  // the outputs of NormalizeArguments
  const void* hidden;
  const void* gate;
  void* d_weight;  // (channels,): sum of d_z * (y - mean) / sqrt(var + eps)
  void* d_bias;    // (channels,): sum of d_z
  void* d_pooled;  // (images, channels): gradient of the mean of a
  void* d_reduce_weight;
  void* d_reduce_bias;
  void* d_expand_weight;
  void* d_expand_bias;
  void* workspace;
};

// The gradient d_y of a norm's input from d_out:
//   d_a = gate * d_out + d_pooled / pixels, or d_out where gate and d_pooled are null
//   d_z = act'(z) * d_a
//   d_y = weight * inverse * (d_z - (d_bias + (y - mean) * inverse * d_weight) / count)
// with inverse = 1 / sqrt(var + eps).
struct NormGradient {
  const void* y;
  const void* d_out;
  Norm norm;
  const void* gate;      // (images, channels), before gate_kind
  const void* d_pooled;  // (images, channels)
  Gate gate_kind;
  const void* d_weight;  // (channels,)
  const void* d_bias;    // (channels,)
  // The number of values that mean and var were computed from; 0 where they are constants, so that
  // d_y = weight * inverse * d_z.
  double count;
};

struct NormGradientArguments {
  Dtype dtype;
  int64_t images, pixels, channels;
  NormGradient norm;  // without a gate on the CPU
  void* d_y;          // may be norm.d_out itself
};

// The gradients d_weight and d_x of y = conv(input(x)), with d_y from `norm`. Where `input` is a norm, d_x is
// instead the gradient of its z, before the activation, and the gradients of its weight and bias are computed
// too.
struct ConvolveGradientArguments {
  Dtype dtype;
  Window window;
  NormGradient norm;
  const void* x;
  Norm input;
  const void* weight;  // (channels, kernel, kernel)
  void* d_x;
  void* d_weight;
  void* d_input_weight;  // (channels,)
  void* d_input_bias;    // (channels,)
  void* workspace;
};

// The whole block in evaluation: out = gate * act(norm(conv(input(x)))).
struct InferArguments {
  Dtype dtype;
  Window window;
  const void* x;
  Norm input;
  const void* weight;  // (channels, kernel, kernel)
  Norm norm;
  Excite excite;
  void* out;
  void* workspace;
};

}  // namespace narsfast
