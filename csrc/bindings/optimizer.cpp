// The optimizer step for Python. Tensors come as addresses and sizes, checked by the caller
// (narsfast/training).
#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <vector>

#include "bindings/module.h"
#include "bindings/space.h"
#include "optimizer/launch.h"
#include "optimizer/rmsprop.h"

namespace py = pybind11;

namespace narsfast::bindings {
namespace {

using GroupValues = std::array<double, 5>;    // the members of RmspropGroup
using TensorValues = std::array<int64_t, 7>;  // the members of RmspropTensor

template <class Value>
Value* pointer(int64_t address) {
  return reinterpret_cast<Value*>(address);
}

// stream: None for the CPU, otherwise a stream of the current CUDA device, where the tensors are.
void run_rmsprop(const std::vector<GroupValues>& groups, const std::vector<TensorValues>& tensors,
                 double ema_decay, std::optional<uintptr_t> stream) {
  std::vector<RmspropGroup> constants;
  for (const auto& [rate, alpha, epsilon, momentum, decay] : groups) {
    constants.push_back({rate, alpha, epsilon, momentum, decay});
  }
  std::vector<RmspropTensor> rows;
  for (const auto& [weight, gradient, square, velocity, average, count, group] : tensors) {
    require(count >= 0, "a count must be at least 0");
    require(count == 0 || (weight != 0 && gradient != 0 && square != 0 && velocity != 0),
            "a weight, its gradient and its states need addresses");
    require(group >= 0 && group < static_cast<int64_t>(groups.size()), "a group is unknown");
    rows.push_back({pointer<float>(weight), pointer<float>(gradient), pointer<float>(square),
                    pointer<float>(velocity), pointer<float>(average), count, group});
  }
  const RmspropArguments arguments{constants.data(), rows.data(), static_cast<int64_t>(rows.size()),
                                   ema_decay};
  if (stream) {
    launch_rmsprop(arguments, *stream);
    return;
  }
  const Isa isa = choose_isa();
  const py::gil_scoped_release release;
  rmsprop(isa, arguments);
}

}  // namespace

void bind_optimizer(py::module_& m) {
  using py::arg;
  m.def(
      "rmsprop", &run_rmsprop, arg("groups"), arg("tensors"), arg("ema_decay"), arg("stream"),
      "Do one step of RMSProp and of the moving averages. groups: (rate, alpha, epsilon, momentum, decay) "
      "each; tensors: the addresses of weight, gradient, square, velocity and average (0: none), the number "
      "of elements and the index of the group each; stream: of a CUDA device, or None for the CPU.");
}

}  // namespace narsfast::bindings
