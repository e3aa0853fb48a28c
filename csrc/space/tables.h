#pragma once

#include <cstdint>

namespace narsfast {

// A search space: non-owning pointers to the C-contiguous arrays of narsfast.space.SpaceTables. F is the
// number of fields, V the largest number of values of a field, S the number of stages, C the number of
// conditions.
struct SpaceTables {
  int32_t fields = 0;
  int32_t values = 0;
  int32_t stages = 0;

  const int16_t* sizes = nullptr;    // (F,) number of values
  const int8_t* kinds = nullptr;     // (F,) FieldKind
  const int8_t* parts = nullptr;     // (F,) FieldPart
  const int32_t* numbers = nullptr;  // (F, V) architecture values as integers (bool: 0/1), 0 elsewhere
  // (F + 1,) the conditions of field f are [offsets[f], offsets[f + 1])
  const int32_t* condition_offsets = nullptr;
  // (C,) column of the field that decides, always before the field with the condition
  const int32_t* condition_parents = nullptr;
  // (C,) bit i is set if the parent's value i makes the field active
  const uint64_t* condition_masks = nullptr;
  // (8,) columns of the header in the order of HeaderColumn, and of the network's activation; -1: none
  const int32_t* header_columns = nullptr;
  // (S, kStageColumns) columns of a stage, in the order of StageColumn; -1, from kStageAct on: the default
  const int32_t* stage_columns = nullptr;
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
  kStageAct,
  kStageKind,
  kStageStartKernel,
  kStageSeWidth,
  kStageColumns
};

}  // namespace narsfast
