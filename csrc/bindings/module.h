#pragma once

#include <pybind11/pybind11.h>

void bind_depthwise(pybind11::module_& m);
void bind_optimizer(pybind11::module_& m);
