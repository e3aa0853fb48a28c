#pragma once

#include <cstdint>

#include "space/tables.h"

namespace narsfast {

// The form to which definitions and genes are lowered: a header and R rows per network, all int32.
// The width of the head's first convolution is that of `hidden`, or the expansion's; where both are 0 there
// is none.
enum HeaderColumn {
  kResolution = 0,
  kStemChannels,
  kHeadExpansion,
  kHeadFeatures,  // 0: the head has no second convolution
  kHeadHidden,
  kHeadBias,  // of the second convolution
  kHeadNorm,  // after it
  kHeaderColumns
};
constexpr int32_t kNetworkAct = kHeaderColumns;  // its column in SpaceTables.header_columns

// A row is `repeats` blocks: the first has the row's stride and padding, the others have stride 1 and padding
// kernel / 2. A padding of -1 means kernel / 2. A row with 0 repeats is absent, and all its columns are 0.
enum RowColumn {
  kKernel = 0,  // 0: no depthwise convolution
  kExpansion,   // 0: the hidden width is that of kHidden
  kChannels,
  kStride,
  kRepeats,
  kSe,
  kPadding,
  kHidden,
  kKind,         // BlockKind
  kStartKernel,  // 0: no depthwise convolution before the expansion
  kSeWidth,      // as in squeezed_width
  kRowColumns
};
enum BlockKind : int32_t { kMbconv = 0, kFused, kPlainConv, kBlockKinds };

constexpr int32_t kSeInputQuarter = -17;  // the rule of the released FBNetV3 models

// Rows per candidate: the first block and the remaining blocks of every stage.
inline int32_t rows_per_candidate(const SpaceTables& tables) { return 2 * tables.stages; }

// genes (count, F) -> header (count, kHeaderColumns), rows (count, rows_per_candidate, kRowColumns). Genes
// must be inside the space. Does not allocate and has no state: any thread may lower any slice of a batch.
void lower_genes(const SpaceTables& tables, const int16_t* genes, int64_t count, int32_t* header,
                 int32_t* rows);

}  // namespace narsfast
