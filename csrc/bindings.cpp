// The only file that knows Python: checks shapes, releases the GIL, and calls the plain C++ of the core.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "common/version.h"

namespace py = pybind11;

PYBIND11_MODULE(_native, m) {
  m.doc() = "Compiled parts of narsfast.";
  m.def("abi_version", &narsfast::abi_version);
}
