#include "cost/statistics.h"

namespace narsfast {
namespace {

void count_row(const int32_t* row, Map& map, Totals& totals) {
  const int64_t repeats = row[kRepeats];
  if (repeats <= 0) return;
  const int64_t half = row[kKernel] / 2;
  const int64_t padding = row[kPadding] < 0 ? half : row[kPadding];
  Block block{row[kKernel], row[kExpansion], row[kChannels], row[kStride], padding, row[kSe] != 0};
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
  if (totals.fits) totals.add(count_head(header[kHeadExpansion], header[kHeadFeatures], classes, map), 1);
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

// An inverted residual: expand, depthwise, squeeze-excite, project.
Totals count_block(const Block& block, Map& map) {
  Totals totals;
  const int64_t in = map.channels;
  const int64_t mid = round_width(in * block.expansion);
  const int64_t out_side = (map.side + 2 * block.padding - block.kernel) / block.stride + 1;
  const bool shortcut = block.stride == 1 && in == block.channels && out_side == map.side;
  const int64_t shortcut_size = shortcut ? in * map.side * map.side : 0;
  const bool expands = mid != in;

  if (expands) {
    totals.conv(in, mid, 1, 1, map.side, map.side, 0);
    totals.norm(mid);
  }
  totals.conv(mid, mid, block.kernel, mid, map.side, out_side, expands ? shortcut_size : 0);
  totals.norm(mid);
  if (block.se) {
    const int64_t squeezed = round_width(mid / (4 * block.expansion));
    totals.pool(mid, out_side);
    totals.conv(mid, squeezed, 1, 1, 1, 1, shortcut_size);
    totals.bias(squeezed);
    totals.conv(squeezed, mid, 1, 1, 1, 1, shortcut_size);
    totals.bias(mid);
  }
  totals.conv(mid, block.channels, 1, 1, out_side, out_side, shortcut_size);
  totals.norm(block.channels);
  map = {block.channels, out_side};
  return totals;
}

Totals count_head(int64_t expansion, int64_t features, int64_t classes, const Map& map) {
  Totals totals;
  const int64_t mid = round_width(map.channels * expansion);
  totals.conv(map.channels, mid, 1, 1, map.side, map.side, 0);
  totals.norm(mid);
  totals.pool(mid, map.side);
  totals.conv(mid, features, 1, 1, 1, 1, 0);
  totals.pool(features, 1);  // the published count includes a second pool, over the 1x1 map
  totals.linear(features, classes);
  totals.bias(classes);
  return totals;
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
