#include "cost/rows.h"

namespace narsfast {
namespace {

// A candidate's architecture values by column.
struct Values {
  const SpaceTables& tables;
  const int16_t* genes;

  int32_t operator[](int32_t column) const {
    return tables.numbers[static_cast<int64_t>(column) * tables.values + genes[column]];
  }
};

void write_row(int32_t* row, int32_t kernel, int32_t expansion, int32_t channels, int32_t stride,
               int32_t repeats, int32_t se) {
  const bool present = repeats > 0;
  row[kKernel] = present ? kernel : 0;
  row[kExpansion] = present ? expansion : 0;
  row[kChannels] = present ? channels : 0;
  row[kStride] = present ? stride : 0;
  row[kRepeats] = present ? repeats : 0;
  row[kSe] = present ? se : 0;
  row[kPadding] = present ? -1 : 0;
  row[kHidden] = 0;
  row[kKind] = kMbconv;
  row[kStartKernel] = 0;
  row[kSeWidth] = present && se != 0 ? kSeInputQuarter : 0;
}

}  // namespace

void lower_genes(const SpaceTables& tables, const int16_t* genes, int64_t count, int32_t* header,
                 int32_t* rows) {
  for (int64_t i = 0; i < count; ++i) {
    const Values values{tables, genes + i * tables.fields};
    for (int column = 0; column < kHeaderColumns; ++column) {
      *header++ = column <= kHeadFeatures ? values[tables.header_columns[column]] : 0;
    }
    for (int32_t stage = 0; stage < tables.stages; ++stage) {
      const int32_t* columns = tables.stage_columns + static_cast<int64_t>(stage) * kStageColumns;
      const int32_t depth = values[columns[kDepth]];
      const int32_t channels = values[columns[kStageChannels]];
      const int32_t se = values[columns[kStageSe]];
      write_row(rows, values[columns[kKernelFirst]], values[columns[kExpansionFirst]], channels,
                values[columns[kStageStride]], depth > 0 ? 1 : 0, se);
      write_row(rows + kRowColumns, values[columns[kKernelRest]], values[columns[kExpansionRest]], channels,
                1, depth - 1, se);
      rows += 2 * kRowColumns;
    }
  }
}

}  // namespace narsfast
