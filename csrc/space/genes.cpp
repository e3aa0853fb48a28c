#include "space/genes.h"

#include <algorithm>

namespace narsfast {

GeneRules::GeneRules(const SpaceTables& tables) : fields_(tables.fields) {
  for (int32_t f = 0; f < fields_; ++f) {
    const int32_t size = tables.sizes[f];
    const bool range = tables.kinds[f] == kRange && size > 1;
    sizes_.push_back(size);
    ranges_.push_back(range ? size : 0);
    if (tables.parts[f] == kArchitecture) architecture_fields_.push_back(f);

    Conditional conditional{f, {}};
    for (int32_t c = tables.condition_offsets[f]; c < tables.condition_offsets[f + 1]; ++c) {
      conditional.conditions.push_back({tables.condition_parents[c], tables.condition_masks[c]});
    }
    const bool has_conditions = !conditional.conditions.empty();
    conditional_of_.push_back(has_conditions ? static_cast<int32_t>(conditionals_.size()) : -1);
    if (has_conditions) conditionals_.push_back(conditional);

    if (tables.kinds[f] == kFixed) continue;
    const int part = tables.parts[f];
    const bool one_hot = tables.kinds[f] != kRange;
    const int32_t skipped = one_hot && !has_conditions ? 1 : 0;
    const auto column = static_cast<int32_t>(inputs_[part].size());
    feature_fields_[part].push_back({f, column, size, !one_hot, conditional_of_[f]});
    const int32_t width = one_hot ? size : 1;
    for (int32_t value = skipped; value < width; ++value) {
      inputs_[part].push_back({widths_[part] + value, skipped != 0 ? widths_[part] : -1});
    }
    widths_[part] += width;
  }
}

bool GeneRules::holds(const Conditional& conditional, const int16_t* genes, const uint8_t* activity) const {
  for (const Condition& condition : conditional.conditions) {
    const int32_t parent = conditional_of_[condition.parent];
    if (parent >= 0 && activity[parent] == 0) continue;
    if ((condition.mask >> genes[condition.parent]) & 1u) return true;
  }
  return false;
}

void GeneRules::conditional_activity(const int16_t* genes, uint8_t* out) const {
  for (size_t i = 0; i < conditionals_.size(); ++i) out[i] = holds(conditionals_[i], genes, out);
}

void GeneRules::canonicalize(int16_t* genes) const {
  // The parent of a condition is always before the field, so one pass in order suffices.
  thread_local std::vector<uint8_t> activity;
  activity.resize(conditionals_.size());
  for (size_t i = 0; i < conditionals_.size(); ++i) {
    activity[i] = holds(conditionals_[i], genes, activity.data());
    if (activity[i] == 0) genes[conditionals_[i].field] = 0;
  }
}

void GeneRules::codes(const int16_t* genes, int32_t* out) const {
  thread_local std::vector<uint8_t> activity;
  activity.resize(conditionals_.size());
  conditional_activity(genes, activity.data());
  for (int32_t f = 0; f < fields_; ++f) {
    const int32_t conditional = conditional_of_[f];
    out[f] = conditional < 0 || activity[conditional] != 0 ? genes[f] : sizes_[f];
  }
}

int32_t GeneRules::count_searched(const int16_t* genes) const {
  std::vector<uint8_t> activity(conditionals_.size());
  conditional_activity(genes, activity.data());
  int32_t total = 0;
  for (int32_t f = 0; f < fields_; ++f) {
    const int32_t conditional = conditional_of_[f];
    total += sizes_[f] > 1 && (conditional < 0 || activity[conditional] != 0);
  }
  return total;
}

void GeneRules::write_inputs(FieldPart part, const int16_t* genes, int64_t count, int64_t stride,
                             float* out) const {
  const size_t conditionals = conditionals_.size();
  thread_local std::vector<uint8_t> activity;
  activity.resize(conditionals * static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    conditional_activity(genes + i * fields_, activity.data() + i * conditionals);

  std::fill(out, out + static_cast<int64_t>(inputs_[part].size()) * stride, 0.0f);
  for (const FeatureField& field : feature_fields_[part]) {
    const uint8_t* active = field.conditional < 0 ? nullptr : activity.data() + field.conditional;
    float* column = out + field.column * stride;
    const int16_t* gene = genes + field.field;
    if (field.range) {
      const float last = static_cast<float>(std::max(field.size - 1, 1));
      // The gene of an inactive field is 0, and so is its feature.
      for (int64_t i = 0; i < count; ++i) column[i] = static_cast<float>(gene[i * fields_]) / last;
    } else if (active == nullptr) {
      for (int64_t i = 0; i < count; ++i) {
        const int64_t value = gene[i * fields_];
        if (value > 0) column[(value - 1) * stride + i] = 1.0f;
      }
    } else {
      for (int64_t i = 0; i < count; ++i) {
        column[gene[i * fields_] * stride + i] = static_cast<float>(active[i * conditionals]);
      }
    }
  }
}

}  // namespace narsfast
