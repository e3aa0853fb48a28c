#include "cost/rows.h"

namespace narsfast {
namespace {

// A candidate's architecture values by column.
struct Values {
  const SpaceTables& tables;
  const int16_t* genes;

  int32_t operator[](int32_t column) const { return get(column, 0); }
  int32_t get(int32_t column, int32_t without) const {
    if (column < 0) return without;
    return tables.numbers[static_cast<int64_t>(column) * tables.values + genes[column]];
  }
};

struct Shared {  // by the rows of a stage
  int32_t channels, se, kind, start_kernel, se_width;
};

void write_row(int32_t* row, int32_t kernel, int32_t expansion, int32_t stride, int32_t repeats,
               const Shared& stage) {
  const bool present = repeats > 0;
  row[kKernel] = present ? kernel : 0;
  row[kExpansion] = present ? expansion : 0;
  row[kChannels] = present ? stage.channels : 0;
  row[kStride] = present ? stride : 0;
  row[kRepeats] = present ? repeats : 0;
  row[kSe] = present ? stage.se : 0;
  row[kPadding] = present ? -1 : 0;
  row[kHidden] = 0;
  row[kKind] = present ? stage.kind : 0;
  row[kStartKernel] = present ? stage.start_kernel : 0;
  row[kSeWidth] = present && stage.se != 0 ? stage.se_width : 0;
}

}  // namespace

void lower_genes(const SpaceTables& tables, const int16_t* genes, int64_t count, int32_t* header,
                 int32_t* rows) {
  for (int64_t i = 0; i < count; ++i) {
    const Values values{tables, genes + i * tables.fields};
    for (int column = 0; column < kHeaderColumns; ++column) {
      *header++ = values[tables.header_columns[column]];
    }
    for (int32_t stage = 0; stage < tables.stages; ++stage) {
      const int32_t* columns = tables.stage_columns + static_cast<int64_t>(stage) * kStageColumns;
      const int32_t depth = values[columns[kDepth]];
      const Shared shared{values[columns[kStageChannels]], values[columns[kStageSe]],
                          values[columns[kStageKind]], values[columns[kStageStartKernel]],
                          values.get(columns[kStageSeWidth], kSeInputQuarter)};
      write_row(rows, values[columns[kKernelFirst]], values[columns[kExpansionFirst]],
                values[columns[kStageStride]], depth > 0 ? 1 : 0, shared);
      write_row(rows + kRowColumns, values[columns[kKernelRest]], values[columns[kExpansionRest]], 1,
                depth - 1, shared);
      rows += 2 * kRowColumns;
    }
  }
}

}  // namespace narsfast
