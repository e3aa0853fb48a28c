#pragma once

#include <cstdint>

// What the kernels of the depthwise squeeze-excite block take, on the CPU as on CUDA. Plain structs of pointers
// and sizes: whoever calls owns all memory.
//
// Maps are NHWC without gaps and hold `dtype`. Everything else (weights, per-channel and per-image vectors) holds
// the accumulator's type: double where dtype is kFloat64, else float; in the comments `Real`.
//
// Words: x is the convolution's input, y its output, z = scale * y + shift its normalised output, a = act(z) the
// activated one, and out = gate * a. A gradient is named after its map: d_out, d_x.

namespace narsfast {

enum class Dtype : int32_t { kFloat32 = 0, kBfloat16, kFloat16, kFloat64 };

enum class Activation : int32_t { kNone = 0, kRelu, kHardSwish };

// act(scale * value + shift) for every channel; identity where scale is null.
struct Affine {
  const void* scale = nullptr;  // (channels,)
  const void* shift = nullptr;  // (channels,)
  Activation activation = Activation::kNone;
};

// A depthwise convolution's shape. out_height = (height + 2 * padding - kernel) / stride + 1, likewise the width.
struct Window {
  int64_t images, height, width, channels;
  int64_t out_height, out_width;
  int64_t kernel, stride, padding;  // kernel 3, 5, 7; stride 1, 2
};

// Squeeze-excite: gate = hard_sigmoid(expand(act(reduce(mean of a)))). Left out where squeezed is 0.
struct Excite {
  int64_t squeezed = 0;
  Activation activation = Activation::kHardSwish;
  const void* reduce_weight = nullptr;  // (squeezed, channels)
  const void* reduce_bias = nullptr;    // (squeezed,)
  const void* expand_weight = nullptr;  // (channels, squeezed)
  const void* expand_bias = nullptr;    // (channels,)
};

// y = conv(input(x)) and, over images and pixels, mean(y) and m2 = sum((y - mean)^2).
struct ConvolveArguments {
  Dtype dtype;
  Window window;
  const void* x;
  Affine input;        // applied to x before it is padded
  const void* weight;  // (channels, kernel, kernel)
  void* y;
  void* mean;  // (channels,)
  void* m2;    // (channels,)
  void* workspace;
};

// mean(y) and m2 of a map alone.
struct MomentsArguments {
  Dtype dtype;
  int64_t images, pixels, channels;
  const void* y;
  void* mean;  // (channels,)
  void* m2;    // (channels,)
  void* workspace;
};

// out = gate * act(scale * y + shift).
struct NormaliseArguments {
  Dtype dtype;
  int64_t images, pixels, channels;
  const void* y;
  Affine norm;
  Excite excite;
  void* out;
  void* pooled;  // (images, channels): mean of a
  void* hidden;  // (images, squeezed): before its activation
  void* gate;    // (images, channels): before hard_sigmoid
};

// The sums that the gradient of a norm needs, and all gradients of squeeze-excite.
struct ReduceArguments {
  Dtype dtype;
  int64_t images, pixels, channels;
  const void* y;
  const void* d_out;
  Affine norm;
  const void* mean;  // (channels,)
  Excite excite;
  const void* pooled;  // as NormaliseArguments left them
  const void* hidden;
  const void* gate;
  void* d_z_sum;       // (channels,): sum of d_z
  void* d_z_y_sum;     // (channels,): sum of d_z * (y - mean)
  void* d_pooled;      // (images, channels): gradient of the mean of a
  void* d_reduce_weight;
  void* d_reduce_bias;
  void* d_expand_weight;
  void* d_expand_bias;
  void* workspace;
};

// How d_y follows from d_out: d_a = gate * d_out + d_pooled / pixels (gate and d_pooled null: d_a = d_out),
// d_z = act'(z) * d_a, d_y = by_z * d_z + by_y * y + constant.
struct NormGradient {
  const void* y;
  const void* d_out;
  Affine norm;
  const void* gate;      // (images, channels), before hard_sigmoid
  const void* d_pooled;  // (images, channels)
  const void* by_z;      // (channels,)
  const void* by_y;      // (channels,)
  const void* constant;  // (channels,)
};

struct NormGradientArguments {
  Dtype dtype;
  int64_t images, pixels, channels;
  NormGradient norm;
  void* d_y;
};

// Gradients of y = conv(input(x)): d_weight and d_x, where d_y follows from `norm`. Where `input` is there, d_x is
// the gradient of scale * x + shift instead, and its sums come with it.
struct ConvolveGradientArguments {
  Dtype dtype;
  Window window;
  NormGradient norm;
  const void* x;
  Affine input;
  const void* input_mean;  // (channels,)
  const void* weight;      // (channels, kernel, kernel)
  void* d_x;
  void* d_weight;
  void* d_input_sum;    // (channels,): sum of d_x
  void* d_input_x_sum;  // (channels,): sum of d_x * (x - input_mean)
  void* workspace;
};

// act(scale * conv(input(x)) + shift), pooled and gated, in one call.
struct InferArguments {
  Dtype dtype;
  Window window;
  const void* x;
  Affine input;
  const void* weight;  // (channels, kernel, kernel)
  Affine norm;
  Excite excite;
  void* out;
  void* workspace;
};

}  // namespace narsfast
