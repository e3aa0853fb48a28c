#pragma once

#include <cstdint>
#include <vector>

#include "space/tables.h"

namespace narsfast {

// What the fields of a space say about genes, prepared from its tables (which it keeps only while it is
// made).
class GeneRules {
 public:
  explicit GeneRules(const SpaceTables& tables);

  int32_t fields() const { return fields_; }
  const std::vector<int32_t>& sizes() const { return sizes_; }
  // Largest step of a range field before it shrinks: its number of values; 0 for other kinds.
  const std::vector<int32_t>& ranges() const { return ranges_; }
  const std::vector<int32_t>& architecture_fields() const { return architecture_fields_; }

  // Sets the genes of inactive fields to 0. A field is active if it has no condition, or if one of its
  // conditions' parents is active and has one of the values named.
  void canonical(int16_t* genes) const;
  // Fields that are active and have more than one value, of canonical genes.
  int32_t searched(const int16_t* genes) const;

  // Width of the features of a part.
  int32_t features(FieldPart part) const { return widths_[part]; }
  // What a layer needs to read of a part: its features, but for the first value of every one-hot field that
  // is always active. That value is 1 less the others, so that `reference`, its feature, can be taken from
  // their weights and be added to the bias; -1 for other features.
  struct Input {
    int32_t feature;
    int32_t reference;
  };
  const std::vector<Input>& inputs(FieldPart part) const { return inputs_[part]; }
  // Writes the inputs of a part of `count` candidates, genes (count, F), as (inputs, stride): candidate after
  // candidate in a row, as the kernels want them. Leaves the columns count .. stride at 0.
  void write_inputs(FieldPart part, const int16_t* genes, int64_t count, int64_t stride, float* out) const;

 private:
  struct Condition {
    int32_t parent;
    uint64_t mask;
  };
  struct Conditional {
    int32_t field;
    std::vector<Condition> conditions;
  };
  struct FeatureField {
    int32_t field;
    int32_t column;  // among the inputs, of the first value that has one
    int32_t size;
    bool range;
    int32_t conditional;  // index among the conditional fields, or -1
  };

  // Activity of the conditional fields, in order: out (conditionals,).
  void conditional_activity(const int16_t* genes, uint8_t* out) const;
  bool holds(const Conditional& conditional, const int16_t* genes, const uint8_t* activity) const;

  int32_t fields_;
  std::vector<int32_t> sizes_;
  std::vector<int32_t> ranges_;
  std::vector<int32_t> architecture_fields_;
  std::vector<int32_t> conditional_of_;  // (F,) index among the conditional fields, or -1
  std::vector<Conditional> conditionals_;
  std::vector<FeatureField> feature_fields_[2];
  std::vector<Input> inputs_[2];
  int32_t widths_[2] = {0, 0};
};

// Hash of canonical genes (F,): the same number as narsfast.space.Space.keys gives.
inline uint64_t gene_key(const int16_t* genes, int32_t fields) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (int32_t f = 0; f < fields; ++f) {
    const uint64_t gene = static_cast<uint64_t>(static_cast<int64_t>(genes[f]));
    hash = (hash ^ (gene + 0x9E3779B97F4A7C15u)) * 0x100000001B3u;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace narsfast
