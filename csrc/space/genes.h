#pragma once

#include <cstdint>
#include <vector>

#include "space/tables.h"

namespace narsfast {

// The rules of a space's fields for genes: activity, canonical form and features. Copies what it needs from
// the tables.
class GeneRules {
 public:
  explicit GeneRules(const SpaceTables& tables);

  int32_t fields() const { return fields_; }
  const std::vector<int32_t>& sizes() const { return sizes_; }
  // The number of values of range fields; 0 for other kinds.
  const std::vector<int32_t>& ranges() const { return ranges_; }
  const std::vector<int32_t>& architecture_fields() const { return architecture_fields_; }

  // Sets the genes of inactive fields to 0. A field is active if it has no conditions, or if the parent of
  // one of them is active and has one of the condition's values.
  void canonicalize(int16_t* genes) const;
  // Writes canonical genes (F,) with the number of values of a field where it is inactive.
  void codes(const int16_t* genes, int32_t* out) const;
  // The number of fields that are active and have more than one value, for canonical genes.
  int32_t count_searched(const int16_t* genes) const;

  // The number of features of a part.
  int32_t features(FieldPart part) const { return widths_[part]; }
  // The features of a part that a layer has to read: all but the first value of every one-hot field that is
  // always active. That value is 1 minus the others, so a layer can subtract its weights from theirs and add
  // them to the bias. `reference` is the feature of that first value, or -1 for features of other fields.
  struct Input {
    int32_t feature;
    int32_t reference;
  };
  const std::vector<Input>& inputs(FieldPart part) const { return inputs_[part]; }
  // Writes the inputs of a part, (inputs, stride), for genes (count, F): one column per candidate. The
  // columns [count, stride) are 0.
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
    int32_t column;  // the first input of the field
    int32_t size;
    bool range;
    int32_t conditional;  // index among the conditional fields, or -1
  };

  // Computes the activity of the conditional fields, in order: out (conditionals,).
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

// The hash of canonical genes (F,), equal to narsfast.space.Space.keys.
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
