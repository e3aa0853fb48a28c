#pragma once

#include <cstdint>

namespace narsfast {

// What C++ knows of a search space: borrowed pointers to the arrays of narsfast.space.SpaceTables, all
// C-contiguous. F = fields, V = values (the largest number of values a field has), S = stages, C = conditions
// in all.
struct SpaceTables {
  int32_t fields = 0;
  int32_t values = 0;
  int32_t stages = 0;

  const int16_t* sizes = nullptr;    // (F,) number of values of a field
  const int8_t* kinds = nullptr;     // (F,) FieldKind
  const int8_t* parts = nullptr;     // (F,) FieldPart
  const int32_t* numbers = nullptr;  // (F, V) architecture values as integers (bool: 0/1), 0 elsewhere
  const int32_t* condition_offsets =
      nullptr;  // (F + 1,) a field's conditions are [offsets[f], offsets[f + 1])
  const int32_t* condition_parents =
      nullptr;  // (C,) column of the deciding field, always before the field itself
  const uint64_t* condition_masks = nullptr;  // (C,) bit i set: the parent's value i makes the field active
  const int32_t* header_columns =
      nullptr;  // (4,) columns of resolution, stem channels, head expansion, head features
  const int32_t* stage_columns = nullptr;  // (S, 8) columns of a stage, in the order of StageColumn
};

enum FieldKind : int8_t { kCategorical = 0, kRange = 1, kFixed = 2 };
enum FieldPart : int8_t { kArchitecture = 0, kRecipe = 1 };

enum StageColumn {
  kKernelFirst = 0,
  kKernelRest,
  kExpansionFirst,
  kExpansionRest,
  kStageChannels,
  kDepth,
  kStageStride,
  kStageSe,
  kStageColumns
};

}  // namespace narsfast
