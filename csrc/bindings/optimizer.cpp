// The optimiser step for Python: addresses and sizes, checked by the caller (narsfast/training).
#include "bindings/module.h"

#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <vector>

#include "bindings/space.h"
#include "optimizer/launch.h"
#include "optimizer/rmsprop.h"

namespace py = pybind11;

namespace {

using narsfast_py::require;
using GroupValues = std::array<double, 5>;    // as in RmspropGroup
using TensorValues = std::array<int64_t, 7>;  // as in RmspropTensor

template <class Value>
Value* pointer(int64_t address) {
  return reinterpret_cast<Value*>(address);
}

// stream: None for the CPU, else a stream of the current CUDA device, where the tensors are.
void rmsprop(const std::vector<GroupValues>& groups, const std::vector<TensorValues>& tensors, double kept,
             std::optional<uintptr_t> stream) {
  std::vector<narsfast::RmspropGroup> constants;
  for (const auto& [rate, alpha, epsilon, momentum, decay] : groups) {
    constants.push_back({rate, alpha, epsilon, momentum, decay});
  }
  std::vector<narsfast::RmspropTensor> rows;
  for (const auto& [weight, gradient, square, velocity, average, count, group] : tensors) {
    require(count >= 0, "a count must be at least 0");
    require(count == 0 || (weight != 0 && gradient != 0 && square != 0 && velocity != 0),
            "a weight, its gradient and its states need addresses");
    require(group >= 0 && group < static_cast<int64_t>(groups.size()), "a group is unknown");
    rows.push_back({pointer<float>(weight), pointer<float>(gradient), pointer<float>(square),
                    pointer<float>(velocity), pointer<float>(average), count, group});
  }
  const narsfast::RmspropArguments arguments{constants.data(), rows.data(), static_cast<int64_t>(rows.size()),
                                             kept};
  if (stream) {
    narsfast::launch_rmsprop(arguments, *stream);
    return;
  }
  const narsfast::Isa isa = narsfast::choose_isa();
  const py::gil_scoped_release release;
  narsfast::rmsprop(isa, arguments);
}

}  // namespace

void bind_optimizer(py::module_& m) {
  m.def("rmsprop", &rmsprop, py::arg("groups"), py::arg("tensors"), py::arg("kept"), py::arg("stream"),
        "One step of RMSProp and of the averages. groups: (rate, alpha, epsilon, momentum, decay); tensors: "
        "addresses of weight, gradient, square, velocity, average (0: none), then the number "
        " of elements and the index of the group; stream: None, or that of a CUDA device.");
}
