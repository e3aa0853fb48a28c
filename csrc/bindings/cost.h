#pragma once

#include <pybind11/pybind11.h>

#include "bindings/space.h"
#include "cost/sources.h"

namespace narsfast::bindings {

// Counts the statistics of a space's networks, for Python and for evolution.
struct NetworkCounter {
  SpaceArrays space;
  NetworkSource source;

  NetworkCounter(const pybind11::object& tables, int32_t in_channels, int32_t classes);
};

// Counts the statistics of candidates from entries per part, for Python and for evolution.
struct PartCounter {
  SpaceArrays space;
  PartSource source;

  PartCounter(const pybind11::object& tables, const Array<int32_t>& parts, const Array<int32_t>& terms,
              const Array<int32_t>& gates, const Array<double>& entries, int32_t largest);
};

}  // namespace narsfast::bindings
