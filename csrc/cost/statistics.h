#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "cost/rows.h"

namespace narsfast {

// The statistics of a network, in the order of narsfast.cost.STATISTICS.
enum Statistic {
  kMacs = 0,         // multiply-adds of convolutions and linear layers
  kFlopsPublished,   // macs + elements read by every average pool, one over the head's features included
  kParams,           // all parameters (no bias in the stem)
  kParamsPublished,  // weights of convolutions and linear layers only
  kActivations,      // elements of all convolutions' outputs, batch 1
  kPeakMemory,       // bytes: 4 x the largest input + output + live shortcut of one convolution, batch 1
  kNetworkDepth,     // number of convolutions
  kStatistics
};

// The most multiply-adds of a network. No convolution has more outputs than multiply-adds, so that no other
// statistic is more than four times as large, and all of them fit an int64.
constexpr int64_t kMaxMacs = (int64_t{1} << 61) - 1;
constexpr const char* kTooLarge = "a network has 2^61 multiply-adds or more";

// Running totals of a network or a part of one; sizes of maps are in elements.
struct Totals {
  bool fits = true;  // false: there are more than kMaxMacs multiply-adds, and the totals have no meaning
  int64_t macs = 0;
  int64_t pooled = 0;   // elements that average pools read
  int64_t weights = 0;  // of convolutions and linear layers
  int64_t biases = 0;   // biases, and scales and shifts of norms
  int64_t activations = 0;
  int64_t peak = 0;
  int64_t depth = 0;

  // Adds a convolution on square maps. `shortcut` is the size of a live shortcut, unless it is the input
  // itself.
  void conv(int64_t in, int64_t out, int64_t kernel, int64_t groups, int64_t in_side, int64_t out_side,
            int64_t shortcut) {
    multiply_adds({out, in / groups, kernel, kernel}, out_side);
    if (!fits) return;
    const int64_t in_elements = in * in_side * in_side;
    const int64_t out_elements = out * out_side * out_side;
    activations += out_elements;
    peak = std::max(peak, in_elements + out_elements + shortcut);
    ++depth;
  }

  // Adds a linear layer.
  void linear(int64_t in, int64_t out) { multiply_adds({out, in, 1, 1}, 1); }

  void norm(int64_t channels) { biases += 2 * channels; }
  void bias(int64_t channels) { biases += channels; }
  void pool(int64_t channels, int64_t side) {
    if (fits) pooled += channels * side * side;
  }

  void add(const Totals& part, int64_t times) {
    int64_t added = 0;
    fits = fits && part.fits && !__builtin_mul_overflow(times, part.macs, &added) && added <= kMaxMacs - macs;
    if (!fits) return;
    macs += added;
    pooled += times * part.pooled;
    weights += times * part.weights;
    biases += times * part.biases;
    activations += times * part.activations;
    peak = std::max(peak, part.peak);
    depth += times * part.depth;
  }

  // Writes the statistics (kStatistics,). Statistics of parts can be added as well, except the peak memory,
  // of which a network has the largest.
  void write(int64_t* out) const {
    out[kMacs] = macs;
    out[kFlopsPublished] = macs + pooled;
    out[kParams] = weights + biases;
    out[kParamsPublished] = weights;
    out[kActivations] = activations;
    out[kPeakMemory] = 4 * peak;
    out[kNetworkDepth] = depth;
  }

 private:
  // Adds the weights of a layer, the product of `sizes`, and its multiply-adds on an output of `side` pixels.
  void multiply_adds(const std::array<int64_t, 4>& sizes, int64_t side) {
    int64_t layer_weights = 1, layer_macs = 0;
    for (const int64_t size : sizes)
      fits = fits && !__builtin_mul_overflow(layer_weights, size, &layer_weights);
    fits = fits && !__builtin_mul_overflow(layer_weights, side, &layer_macs) &&
           !__builtin_mul_overflow(layer_macs, side, &layer_macs) && layer_macs <= kMaxMacs - macs;
    if (!fits) return;
    macs += layer_macs;
    weights += layer_weights;
  }
};

// The map between two blocks.
struct Map {
  int64_t channels;
  int64_t side;
};

struct Block {
  int64_t kind;
  int64_t start_kernel, kernel, expansion, hidden, channels, stride, padding;
  int64_t se_width;  // as in squeezed_width; 0: no squeeze-excite
};

struct Head {
  int64_t expansion, hidden, features;
  bool bias, norm;
};

// Count the parts of a network. All but the head update `map` from their input to their output.
Totals count_stem(int64_t channels, Map& map);
Totals count_block(const Block& block, Map& map);
Totals count_head(const Head& head, int64_t classes, const Map& map);

// header (count, kHeaderColumns), rows (count, rows_per_network, kRowColumns) -> statistics (count,
// kStatistics). Returns false where a network has more than kMaxMacs multiply-adds; its statistics are then
// not written. Does not allocate and has no state: any thread may count any slice of a batch.
bool count_rows(const int32_t* header, const int32_t* rows, int64_t count, int32_t rows_per_network,
                int32_t in_channels, int32_t classes, int64_t* statistics);

// Rounds to a multiple of 8: the nearest (halves up), at least 8, plus 8 where that is under 95 % of the
// width.
int64_t round_width(int64_t width);

// The inner width of a squeeze-excite on `hidden` channels of a block with `in` channels. A positive rule is
// the width. A negative one is -(4 * divisor + 2 * of_hidden + rounded): the quotient of a width and the
// divisor, rounded as by round_width or else down, but to at least 1. The width is that of `hidden`, or of
// the input, which is counted as hidden / expansion where there is an expansion.
int64_t squeezed_width(int64_t rule, int64_t in, int64_t hidden, int64_t expansion);

}  // namespace narsfast
