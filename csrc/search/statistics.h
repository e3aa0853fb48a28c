#pragma once

#include <cstdint>

#include "search/rows.h"

namespace narsfast {

// What a network costs, in the order of narsfast.cost.STATISTICS.
enum Statistic {
  kMacs = 0,         // multiply-adds of convolutions and linear layers
  kFlopsPublished,   // macs + elements read by every average pool, one over the head's features included
  kParams,           // all parameters (no bias in the stem)
  kParamsPublished,  // weights of convolutions and linear layers only
  kActivations,      // elements of all convolutions' outputs, batch 1
  kPeakMemory,       // bytes: 4 x the largest input + output + held shortcut of one convolution, batch 1
  kNetworkDepth,     // number of convolutions
  kStatistics
};

// header (count, 4), rows (count, rows_each, 7) -> statistics (count, kStatistics).
// Allocates nothing, holds no state: any thread may count any slice of a batch.
void count_rows(const int32_t* header, const int32_t* rows, int64_t count, int32_t rows_each,
                int32_t in_channels, int32_t classes, int64_t* statistics);

// A multiple of 8: the nearest (halves up), at least 8, and 8 more where that is under 95 % of the width.
int32_t round_width(int64_t width);

}  // namespace narsfast
