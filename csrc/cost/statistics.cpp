#include "cost/statistics.h"

namespace narsfast {
namespace {

void count_row(const int32_t* row, Map& map, Totals& totals) {
  const int64_t repeats = row[kRepeats];
  if (repeats <= 0) return;
  const int64_t half = row[kKernel] / 2;
  const int64_t padding = row[kPadding] < 0 ? half : row[kPadding];
  Block block{row[kKind],           row[kStartKernel], row[kKernel],
              row[kExpansion],      row[kHidden],      row[kChannels],
              row[kStride],         padding,           row[kSe] != 0 ? row[kSeWidth] : 0,
              row[kNoShortcut] == 0};
  totals.add(count_block(block, map), 1);
  if (repeats > 1 && totals.fits) {  // the blocks after the first are identical
    block.stride = 1;
    block.padding = half;
    totals.add(count_block(block, map), repeats - 1);
  }
}

bool count_network(const int32_t* header, const int32_t* rows, int32_t rows_per_network, int32_t in_channels,
                   int32_t classes, int64_t* statistics) {
  Map map{in_channels, header[kResolution]};
  Totals totals = count_stem(header[kStemChannels], map);
  for (int32_t r = 0; r < rows_per_network && totals.fits; ++r)
    count_row(rows + static_cast<int64_t>(r) * kRowColumns, map, totals);
  const Head head{header[kHeadExpansion], header[kHeadHidden], header[kHeadFeatures], header[kHeadBias] != 0,
                  header[kHeadNorm] != 0};
  if (totals.fits) totals.add(count_head(head, classes, map), 1);
  if (totals.fits) totals.write(statistics);
  return totals.fits;
}

}  // namespace

Totals count_stem(int64_t channels, Map& map) {
  Totals totals;
  const int64_t out_side = (map.side - 1) / 2 + 1;
  totals.conv(map.channels, channels, 3, 1, map.side, out_side, 0);
  totals.norm(channels);
  map = {channels, out_side};
  return totals;
}

namespace {

// The convolutions of one block, with the shortcut that is alive beside them.
struct Convolutions {
  Totals& totals;
  int64_t shortcut;  // its elements; 0 without one
  bool first = true;

  // Adds a convolution and its norm, and returns the side of its output. While the first one runs, the
  // shortcut is its own input.
  int64_t add(int64_t in, int64_t out, int64_t kernel, int64_t groups, int64_t side, int64_t stride,
              int64_t padding) {
    const int64_t out_side = (side + 2 * padding - kernel) / stride + 1;
    totals.conv(in, out, kernel, groups, side, out_side, first ? 0 : shortcut);
    totals.norm(out);
    first = false;
    return out_side;
  }

  void add_squeeze_excite(int64_t channels, int64_t squeezed, int64_t side) {
    totals.pool(channels, side);
    totals.conv(channels, squeezed, 1, 1, 1, 1, shortcut);
    totals.bias(squeezed);
    totals.conv(squeezed, channels, 1, 1, 1, 1, shortcut);
    totals.bias(channels);
  }
};

}  // namespace

// Start, expansion, depthwise or dense convolution, squeeze-excite, projection: those that the block has.
Totals count_block(const Block& block, Map& map) {
  Totals totals;
  const int64_t in = map.channels;
  int64_t mid = in;
  if (block.kind != kPlainConv) mid = block.hidden > 0 ? block.hidden : round_width(in * block.expansion);
  const int64_t start_stride = block.kernel == 0 ? block.stride : 1;
  int64_t out_side = (map.side - 1) / start_stride + 1;
  if (block.kernel > 0) out_side = (map.side + 2 * block.padding - block.kernel) / block.stride + 1;
  const bool shortcut = block.adds && block.kind != kPlainConv && block.stride == 1 && in == block.channels &&
                        out_side == map.side;
  Convolutions convolutions{totals, shortcut ? in * map.side * map.side : 0};

  int64_t side = map.side;
  const bool dense = block.kind != kMbconv;
  const bool expands = mid != in;
  if (block.start_kernel > 0) {
    side = convolutions.add(in, in, block.start_kernel, in, side, start_stride, block.start_kernel / 2);
  }
  if (dense) {
    const int64_t width = expands ? mid : block.channels;
    side = convolutions.add(in, width, block.kernel, 1, side, block.stride, block.padding);
  } else {
    if (expands) convolutions.add(in, mid, 1, 1, side, 1, 0);
    if (block.kernel > 0) {
      side = convolutions.add(mid, mid, block.kernel, mid, side, block.stride, block.padding);
    }
  }
  if (block.se_width != 0) {
    convolutions.add_squeeze_excite(mid, squeezed_width(block.se_width, in, mid, block.expansion), side);
  }
  if (!dense || expands) convolutions.add(mid, block.channels, 1, 1, side, 1, 0);
  map = {block.channels, side};
  return totals;
}

Totals count_head(const Head& head, int64_t classes, const Map& map) {
  Totals totals;
  int64_t width = map.channels;
  if (head.hidden > 0 || head.expansion > 0) {
    width = head.hidden > 0 ? head.hidden : round_width(map.channels * head.expansion);
    totals.conv(map.channels, width, 1, 1, map.side, map.side, 0);
    totals.norm(width);
  }
  totals.pool(width, map.side);
  if (head.features > 0) {
    totals.conv(width, head.features, 1, 1, 1, 1, 0);
    if (head.bias) totals.bias(head.features);
    if (head.norm) totals.norm(head.features);
    totals.pool(head.features, 1);  // the published count includes a second pool, over the 1x1 map
    width = head.features;
  }
  totals.linear(width, classes);
  totals.bias(classes);
  return totals;
}

int64_t squeezed_width(int64_t rule, int64_t in, int64_t hidden, int64_t expansion) {
  if (rule > 0) return rule;
  const int64_t code = -rule;
  int64_t width = expansion > 0 ? hidden / expansion : in;
  if ((code & 2) != 0) width = hidden;
  const int64_t quotient = width / (code >> 2);
  return (code & 1) != 0 ? round_width(quotient) : std::max<int64_t>(1, quotient);
}

int64_t round_width(int64_t width) {
  constexpr int64_t kNearEnough = 80;  // above, the nearest is never under 95 %, and 19 * width may overflow
  const int64_t nearest = std::max<int64_t>(8, (width + 4) / 8 * 8);
  return width <= kNearEnough && 20 * nearest < 19 * width ? nearest + 8 : nearest;
}

bool count_rows(const int32_t* header, const int32_t* rows, int64_t count, int32_t rows_per_network,
                int32_t in_channels, int32_t classes, int64_t* statistics) {
  bool all = true;
  for (int64_t i = 0; i < count; ++i) {
    all &= count_network(header + i * kHeaderColumns, rows + i * rows_per_network * kRowColumns,
                         rows_per_network, in_channels, classes, statistics + i * kStatistics);
  }
  return all;
}

}  // namespace narsfast
