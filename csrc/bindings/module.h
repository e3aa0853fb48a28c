#pragma once

#include <pybind11/pybind11.h>

// Each function adds one package's part of the compiled module.
namespace narsfast::bindings {

void bind_common(pybind11::module_& m);
void bind_cost(pybind11::module_& m);
void bind_depthwise_se(pybind11::module_& m);
void bind_optimizer(pybind11::module_& m);
void bind_search(pybind11::module_& m);

}  // namespace narsfast::bindings
