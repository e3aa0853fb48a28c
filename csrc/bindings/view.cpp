#include "bindings/view.h"

#include <pybind11/stl.h>

#include <array>
#include <stdexcept>
#include <string>

namespace py = pybind11;

namespace narsfast::bindings {
namespace {

// The part of DLPack's version 1 ABI that is used here.
namespace dlpack {
struct Tensor {
  void* data;
  int32_t device_type, device_id;
  int32_t dimensions;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t* sizes;
  int64_t* strides;
  uint64_t offset;
};
struct Exchange {
  uint32_t major, minor;
  const Exchange* older;
  void *allocate, *from_object, *to_object;
  int (*view)(void* object, Tensor* out);
  void* current_stream;
};
constexpr uint8_t kFloat = 2, kBfloat = 4;
}  // namespace dlpack

const dlpack::Exchange* find_exchange() {
  const auto tensor = py::module_::import("torch").attr("Tensor");
  if (!py::hasattr(tensor, "__dlpack_c_exchange_api__")) return nullptr;
  const py::object capsule = tensor.attr("__dlpack_c_exchange_api__");
  const auto* found =
      static_cast<const dlpack::Exchange*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (found == nullptr) PyErr_Clear();
  while (found != nullptr && found->major != 1) found = found->older;
  return found == nullptr || found->view == nullptr ? nullptr : found;
}

void set_sizes(TensorView& view, int dimensions, const int64_t* sizes, const int64_t* strides) {
  if (dimensions > TensorView::kMaxDimensions) {
    throw std::invalid_argument("a tensor has " + std::to_string(dimensions) +
                                " dimensions; there must be at most " +
                                std::to_string(TensorView::kMaxDimensions));
  }
  view.dimensions = dimensions;
  for (int i = 0; i < dimensions; ++i) {
    view.sizes[i] = sizes[i];
    view.strides[i] = strides[i];
  }
}

}  // namespace

int64_t TensorView::elements() const {
  int64_t count = 1;
  for (int i = 0; i < dimensions; ++i) count *= sizes[i];
  return count;
}

bool TensorView::contiguous() const {
  if (elements() == 0) return true;
  int64_t expected = 1;
  for (int i = dimensions - 1; i >= 0; --i) {
    if (sizes[i] != 1 && strides[i] != expected) return false;
    expected *= sizes[i];
  }
  return true;
}

bool TensorView::channels_last() const {
  int64_t expected = 1;
  for (const int i : {1, 3, 2, 0}) {
    if (sizes[i] != 1 && strides[i] != expected) return false;
    expected *= sizes[i];
  }
  return true;
}

TensorView view_by_attributes(py::handle tensor) {
  static const auto* const dtypes = [] {
    const auto torch = py::module_::import("torch");
    return new std::array<std::pair<py::object, Dtype>, 4>{{{torch.attr("float32"), Dtype::kFloat32},
                                                            {torch.attr("bfloat16"), Dtype::kBfloat16},
                                                            {torch.attr("float16"), Dtype::kFloat16},
                                                            {torch.attr("float64"), Dtype::kFloat64}}};
  }();
  TensorView view{};
  const auto device = tensor.attr("__dlpack_device__")().cast<std::pair<int32_t, int32_t>>();
  view.device_type = device.first;
  view.device_index = device.second;
  const py::object dtype = tensor.attr("dtype");
  for (const auto& [object, kind] : *dtypes) {
    if (!dtype.is(object)) continue;
    view.supported = true;
    view.dtype = kind;
  }
  const auto shape = tensor.attr("shape").cast<py::tuple>();
  const auto stride = tensor.attr("stride")().cast<py::tuple>();
  int64_t sizes[TensorView::kMaxDimensions], strides[TensorView::kMaxDimensions];
  for (size_t i = 0; i < shape.size() && i < TensorView::kMaxDimensions; ++i) {
    sizes[i] = shape[i].cast<int64_t>();
    strides[i] = stride[i].cast<int64_t>();
  }
  set_sizes(view, static_cast<int>(shape.size()), sizes, strides);
  view.data = reinterpret_cast<void*>(tensor.attr("data_ptr")().cast<uintptr_t>());
  return view;
}

TensorView view_of(py::handle tensor) {
  static const dlpack::Exchange* const exchange = find_exchange();
  if (exchange == nullptr) return view_by_attributes(tensor);
  dlpack::Tensor found{};
  if (exchange->view(tensor.ptr(), &found) != 0) throw py::error_already_set();
  TensorView view{};
  view.supported = found.lanes == 1;
  view.device_type = found.device_type;
  view.device_index = found.device_id;
  if (found.code == dlpack::kFloat && found.bits == 32) {
    view.dtype = Dtype::kFloat32;
  } else if (found.code == dlpack::kBfloat && found.bits == 16) {
    view.dtype = Dtype::kBfloat16;
  } else if (found.code == dlpack::kFloat && found.bits == 16) {
    view.dtype = Dtype::kFloat16;
  } else if (found.code == dlpack::kFloat && found.bits == 64) {
    view.dtype = Dtype::kFloat64;
  } else {
    view.supported = false;
  }
  set_sizes(view, found.dimensions, found.sizes, found.strides);
  view.data = static_cast<char*>(found.data) + found.offset;
  return view;
}

}  // namespace narsfast::bindings
