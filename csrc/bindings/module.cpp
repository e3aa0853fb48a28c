// The compiled module. Only this folder knows Python: each of its files checks the arguments of one package,
// releases the GIL and calls the core. narsfast/_native.pyi has the types.
#include "bindings/module.h"

PYBIND11_MODULE(_native, m) {
  m.doc() = "Compiled parts of narsfast.";
  narsfast::bindings::bind_common(m);
  narsfast::bindings::bind_cost(m);
  narsfast::bindings::bind_search(m);
  narsfast::bindings::bind_depthwise_se(m);
  narsfast::bindings::bind_optimizer(m);
}
