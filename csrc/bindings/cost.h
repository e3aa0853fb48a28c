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

}  // namespace narsfast::bindings
