#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "space/tables.h"

// Arrays and checks that the bindings share.
namespace narsfast::bindings {

template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style>;

inline void require(bool holds, const char* message) {
  if (!holds) throw std::invalid_argument(message);
}

// The arrays of a narsfast.space.SpaceTables: references that keep them alive, and the view of them.
struct SpaceArrays {
  Array<int16_t> sizes;
  Array<int8_t> kinds, parts;
  Array<int32_t> numbers, offsets, parents, header_columns, stage_columns;
  Array<uint64_t> masks;
  SpaceTables view;

  explicit SpaceArrays(const pybind11::object& tables)
      : sizes(tables.attr("sizes")),
        kinds(tables.attr("kinds")),
        parts(tables.attr("parts")),
        numbers(tables.attr("numbers")),
        offsets(tables.attr("condition_offsets")),
        parents(tables.attr("condition_parents")),
        header_columns(tables.attr("header_columns")),
        stage_columns(tables.attr("stage_columns")),
        masks(tables.attr("condition_masks")) {
    const pybind11::ssize_t fields = sizes.size();
    require(kinds.size() == fields && parts.size() == fields && offsets.size() == fields + 1,
            "sizes, kinds, parts and condition_offsets must be of one space");
    require(numbers.ndim() == 2 && numbers.shape(0) == fields, "numbers must be (fields, values) int32");
    require(offsets.at(fields) == parents.size() && parents.size() == masks.size(),
            "condition_parents and condition_masks must have as many entries as the last offset says");
    for (pybind11::ssize_t f = 0; f < fields; ++f) {
      require(sizes.at(f) >= 1 && sizes.at(f) <= numbers.shape(1), "a field's size is outside the table");
      require(parts.at(f) == kArchitecture || parts.at(f) == kRecipe, "a part is unknown");
      require(offsets.at(f) >= 0 && offsets.at(f) <= offsets.at(f + 1), "condition_offsets must not fall");
      for (int32_t c = offsets.at(f); c < offsets.at(f + 1); ++c) {
        require(parents.at(c) >= 0 && parents.at(c) < f && sizes.at(parents.at(c)) <= 64,
                "the parent of a condition must be a field before its own, with at most 64 values");
      }
    }
    require(stage_columns.ndim() == 2 && stage_columns.shape(1) == kStageColumns,
            "stage_columns must be (stages, 12) int32");
    view.fields = static_cast<int32_t>(fields);
    view.values = static_cast<int32_t>(numbers.shape(1));
    view.stages = static_cast<int32_t>(stage_columns.shape(0));
    if (view.stages > 0) {
      require(header_columns.size() == 8, "header_columns must be (8,) int32");
      check_columns(header_columns, view.fields, 8, 2);
      check_columns(stage_columns, view.fields, kStageColumns, kStageAct);
    }
    view.sizes = sizes.data();
    view.kinds = kinds.data();
    view.parts = parts.data();
    view.numbers = numbers.data();
    view.condition_offsets = offsets.data();
    view.condition_parents = parents.data();
    view.condition_masks = masks.data();
    view.header_columns = header_columns.data();
    view.stage_columns = stage_columns.data();
  }

  // Throws std::invalid_argument unless every gene is the index of a value of its field.
  void check(const Array<int16_t>& genes) const {
    require(genes.ndim() == 2 && genes.shape(1) == view.fields, "genes must be (n, fields) int16");
    const int16_t* gene = genes.data();
    int16_t outside = 0;  // negative if any gene, or its distance to the last value, is negative
    for (pybind11::ssize_t i = 0; i < genes.shape(0); ++i, gene += view.fields) {
      for (int32_t f = 0; f < view.fields; ++f) {
        outside = static_cast<int16_t>(outside | gene[f] | static_cast<int16_t>(view.sizes[f] - 1 - gene[f]));
      }
    }
    require(outside >= 0, "a gene is outside its field's values");
  }

  // Whether genes of one space are genes of the other, with the same meaning.
  bool same(const SpaceArrays& other) const {
    return equal(sizes, other.sizes) && equal(kinds, other.kinds) && equal(parts, other.parts) &&
           equal(numbers, other.numbers) && equal(offsets, other.offsets) && equal(parents, other.parents) &&
           equal(masks, other.masks) && equal(header_columns, other.header_columns) &&
           equal(stage_columns, other.stage_columns);
  }

  // The view of a space that has stages; throws std::invalid_argument otherwise.
  const SpaceTables& networks() const {
    require(view.stages > 0, "the space has no stages");
    return view;
  }

 private:
  template <typename T>
  static bool equal(const Array<T>& one, const Array<T>& other) {
    return one.size() == other.size() && std::equal(one.data(), one.data() + one.size(), other.data());
  }

  // In each group of `group` columns, the first `required` must be fields; others may be -1.
  static void check_columns(const Array<int32_t>& columns, int32_t fields, int group, int required) {
    const int32_t* column = columns.data();
    for (pybind11::ssize_t i = 0; i < columns.size(); ++i) {
      const int32_t least = i % group < required ? 0 : -1;
      require(column[i] >= least && column[i] < fields, "a column is outside the fields");
    }
  }
};

}  // namespace narsfast::bindings
