#include "search/statistics.h"

#include <algorithm>

namespace narsfast {
namespace {

// Running totals of one network; the unit of all maps is elements.
struct Totals {
  int64_t macs = 0;
  int64_t pooled = 0;   // elements that average pools read
  int64_t weights = 0;  // of convolutions and linear layers
  int64_t others = 0;   // biases, and scales and shifts of norms
  int64_t activations = 0;
  int64_t peak = 0;
  int64_t depth = 0;

  // A convolution on square maps. `held` is the shortcut kept for later, when it is not the input itself.
  void conv(int64_t in, int64_t out, int64_t kernel, int64_t groups, int64_t in_side, int64_t out_side,
            int64_t held) {
    const int64_t layer_weights = out * (in / groups) * kernel * kernel;
    const int64_t in_elements = in * in_side * in_side;
    const int64_t out_elements = out * out_side * out_side;
    macs += layer_weights * out_side * out_side;
    weights += layer_weights;
    activations += out_elements;
    peak = std::max(peak, in_elements + out_elements + held);
    ++depth;
  }

  void norm(int64_t channels) { others += 2 * channels; }
  void bias(int64_t channels) { others += channels; }
  void pool(int64_t channels, int64_t side) { pooled += channels * side * side; }

  void add(const Totals& part, int64_t times) {
    macs += times * part.macs;
    pooled += times * part.pooled;
    weights += times * part.weights;
    others += times * part.others;
    activations += times * part.activations;
    peak = std::max(peak, part.peak);
    depth += times * part.depth;
  }
};

// The map that flows from block to block.
struct Map {
  int64_t channels;
  int64_t side;
};

struct Block {
  int64_t kernel, expansion, channels, stride, padding;
  bool se;
};

// One inverted residual: expand, depthwise, squeeze-excite, project. Moves `map` on.
Totals count_block(const Block& block, Map& map) {
  Totals totals;
  const int64_t in = map.channels;
  const int64_t mid = round_width(in * block.expansion);
  const int64_t out_side = (map.side + 2 * block.padding - block.kernel) / block.stride + 1;
  const bool shortcut = block.stride == 1 && in == block.channels && out_side == map.side;
  const int64_t held = shortcut ? in * map.side * map.side : 0;
  const bool expands = mid != in;

  if (expands) {
    totals.conv(in, mid, 1, 1, map.side, map.side, 0);
    totals.norm(mid);
  }
  totals.conv(mid, mid, block.kernel, mid, map.side, out_side, expands ? held : 0);
  totals.norm(mid);
  if (block.se) {
    const int64_t squeezed = round_width(mid / (4 * block.expansion));
    totals.pool(mid, out_side);
    totals.conv(mid, squeezed, 1, 1, 1, 1, held);
    totals.bias(squeezed);
    totals.conv(squeezed, mid, 1, 1, 1, 1, held);
    totals.bias(mid);
  }
  totals.conv(mid, block.channels, 1, 1, out_side, out_side, held);
  totals.norm(block.channels);
  map = {block.channels, out_side};
  return totals;
}

void count_row(const int32_t* row, Map& map, Totals& totals) {
  const int64_t repeats = row[kRepeats];
  if (repeats <= 0) return;
  const int64_t half = row[kKernel] / 2;
  const int64_t padding = row[kPadding] < 0 ? half : row[kPadding];
  Block block{row[kKernel], row[kExpansion], row[kChannels], row[kStride], padding, row[kSe] != 0};
  totals.add(count_block(block, map), 1);
  if (repeats > 1) {  // the blocks after the first are all alike
    block.stride = 1;
    block.padding = half;
    totals.add(count_block(block, map), repeats - 1);
  }
}

void count_network(const int32_t* header, const int32_t* rows, int32_t rows_each, int32_t in_channels,
                   int32_t classes, int64_t* statistics) {
  Totals totals;
  const int64_t resolution = header[kResolution];
  Map map{header[kStemChannels], (resolution - 1) / 2 + 1};
  totals.conv(in_channels, map.channels, 3, 1, resolution, map.side, 0);
  totals.norm(map.channels);
  for (int32_t r = 0; r < rows_each; ++r)
    count_row(rows + static_cast<int64_t>(r) * kRowColumns, map, totals);

  const int64_t mid = round_width(map.channels * header[kHeadExpansion]);
  const int64_t features = header[kHeadFeatures];
  totals.conv(map.channels, mid, 1, 1, map.side, map.side, 0);
  totals.norm(mid);
  totals.pool(mid, map.side);
  totals.conv(mid, features, 1, 1, 1, 1, 0);
  totals.pool(features, 1);  // the published count has one more pool, over the 1x1 map
  totals.macs += features * classes;
  totals.weights += features * classes;
  totals.bias(classes);

  statistics[kMacs] = totals.macs;
  statistics[kFlopsPublished] = totals.macs + totals.pooled;
  statistics[kParams] = totals.weights + totals.others;
  statistics[kParamsPublished] = totals.weights;
  statistics[kActivations] = totals.activations;
  statistics[kPeakMemory] = 4 * totals.peak;
  statistics[kNetworkDepth] = totals.depth;
}

}  // namespace

int32_t round_width(int64_t width) {
  const int64_t nearest = std::max<int64_t>(8, (width + 4) / 8 * 8);
  return static_cast<int32_t>(20 * nearest < 19 * width ? nearest + 8 : nearest);
}

void count_rows(const int32_t* header, const int32_t* rows, int64_t count, int32_t rows_each,
                int32_t in_channels, int32_t classes, int64_t* statistics) {
  for (int64_t i = 0; i < count; ++i) {
    count_network(header + i * kHeaderColumns, rows + i * rows_each * kRowColumns, rows_each, in_channels,
                  classes, statistics + i * kStatistics);
  }
}

}  // namespace narsfast
