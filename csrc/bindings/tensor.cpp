#include "bindings/tensor.h"

#include <stdexcept>
#include <string>

namespace py = pybind11;

namespace narsfast::bindings {
namespace {

struct NamedDtype {
  py::object object;
  Dtype dtype;
  bool on_cpu, on_cuda;
};

// Python objects that every call needs: made once and kept until the process ends.
struct Torch {
  std::array<NamedDtype, 4> dtypes;
  py::object empty_like;
  py::str new_empty_strided{intern("new_empty_strided")};
  py::tuple dtype_name = py::make_tuple(intern("dtype"));

  Torch() {
    const auto torch = py::module_::import("torch");
    dtypes = {{{torch.attr("float32"), Dtype::kFloat32, true, true},
               {torch.attr("bfloat16"), Dtype::kBfloat16, true, true},
               {torch.attr("float16"), Dtype::kFloat16, false, true},
               {torch.attr("float64"), Dtype::kFloat64, true, false}}};
    empty_like = torch.attr("empty_like");
  }
  static py::str intern(const char* text) {
    return py::reinterpret_steal<py::str>(PyUnicode_InternFromString(text));
  }
  const py::object& object(Dtype dtype) const {
    for (const NamedDtype& named : dtypes) {
      if (named.dtype == dtype) return named.object;
    }
    throw std::logic_error("a dtype without a name");
  }
};

const Torch& torch() {
  static const Torch* const kept = new Torch;
  return *kept;
}

py::object checked(PyObject* result) {
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

std::string text(const py::object& value) { return py::str(value).cast<std::string>(); }

}  // namespace

std::string shape_text(py::handle tensor) {
  return text(checked(PySequence_Tuple(tensor.attr("shape").ptr())));
}

TensorView view_of_given(const char* name, py::handle tensor) {
  if (tensor.is_none()) throw std::invalid_argument(std::string(name) + " is None; it must be a tensor");
  return view_of(tensor);
}

TensorView TensorReader::view_of_other(const char* name, py::handle tensor) const {
  const TensorView view = view_of_given(name, tensor);
  // An address of another device would be read as one of this.
  if (!view.same_device(view_)) {
    throw std::invalid_argument(std::string(name) + " is on " + text(tensor.attr("device")) +
                                "; it must be on " + text(like_.attr("device")) + ", where the map is");
  }
  return view;
}

TensorReader::TensorReader(py::handle like, bool on_cuda) : like_(like), view_(view_of_given("a map", like)) {
  constexpr int32_t kCpu = 1;  // of DLPack
  if (!on_cuda && view_.device_type != kCpu) {
    throw std::invalid_argument("a map on " + text(like.attr("device")) +
                                " was given to the kernels of the CPU");
  }
  std::string names;
  for (const NamedDtype& named : torch().dtypes) {
    if (!(on_cuda ? named.on_cuda : named.on_cpu)) continue;
    if (view_.supported && view_.dtype == named.dtype) return;
    names += (names.empty() ? "" : ", ") + text(named.object);
  }
  throw py::type_error(std::string("a map on ") + (on_cuda ? "cuda" : "cpu") + " is " +
                       text(like.attr("dtype")) + "; it must be one of " + names);
}

MapShape TensorReader::shape() const {
  if (view_.dimensions != 4) {
    throw std::invalid_argument("a map must be (n, c, h, w), not of shape " + shape_text(like_));
  }
  return {view_.sizes[0], view_.sizes[1], view_.sizes[2], view_.sizes[3]};
}

void* TensorReader::map(const char* name, py::handle tensor, const MapShape& shape) const {
  const TensorView view = tensor.is(like_) ? view_ : view_of_other(name, tensor);
  if (!view.supported || view.dtype != view_.dtype || view.dimensions != 4 ||
      !(MapShape{view.sizes[0], view.sizes[1], view.sizes[2], view.sizes[3]} == shape)) {
    throw std::invalid_argument(
        std::string(name) + " is " + text(tensor.attr("dtype")) + " of shape " + shape_text(tensor) +
        "; it must be " + text(torch().object(view_.dtype)) + " of shape " +
        text(py::make_tuple(shape.images, shape.channels, shape.height, shape.width)));
  }
  if (!view.channels_last()) {
    throw std::invalid_argument(std::string(name) + " of shape " + shape_text(tensor) + " has strides " +
                                text(tensor.attr("stride")()) +
                                "; it must lie in channels_last memory: convert it once with "
                                ".contiguous(memory_format=torch.channels_last)");
  }
  return view.data;
}

void* TensorReader::vector(const char* name, py::handle tensor, int64_t count) const {
  const TensorView view = view_of_other(name, tensor);
  const Dtype expected = view_.dtype == Dtype::kFloat64 ? Dtype::kFloat64 : Dtype::kFloat32;
  if (!view.supported || view.dtype != expected) {
    throw py::type_error(std::string(name) + " must be " + text(torch().object(expected)) + ", not " +
                         text(tensor.attr("dtype")));
  }
  if (!view.contiguous()) {
    throw std::invalid_argument(std::string(name) + " must be contiguous, but has strides " +
                                text(tensor.attr("stride")()));
  }
  if (view.elements() != count) {
    throw std::invalid_argument(std::string(name) + " of shape " + shape_text(tensor) + " must have " +
                                std::to_string(count) + " elements");
  }
  return view.data;
}

py::object TensorReader::empty_map(const MapShape& like_shape, const MapShape& shape) const {
  if (like_shape == shape) return empty_like(like_);  // twice as fast
  const int64_t pixel = shape.width * shape.channels;
  return new_empty(py::make_tuple(shape.images, shape.channels, shape.height, shape.width),
                   py::make_tuple(shape.height * pixel, 1, pixel, shape.channels), nullptr);
}

py::object TensorReader::empty_vector(int64_t count) const {
  // torch parses its arguments faster without a dtype.
  const bool needs_dtype = view_.dtype != Dtype::kFloat32 && view_.dtype != Dtype::kFloat64;
  return new_empty(py::make_tuple(count), py::make_tuple(1),
                   needs_dtype ? &torch().dtypes[0].object : nullptr);
}

py::object TensorReader::new_empty(const py::tuple& sizes, const py::tuple& strides,
                                   const py::object* dtype) const {
  PyObject* arguments[] = {like_.ptr(), sizes.ptr(), strides.ptr(), dtype ? dtype->ptr() : nullptr};
  return checked(PyObject_VectorcallMethod(torch().new_empty_strided.ptr(), arguments, 3,
                                           dtype ? torch().dtype_name.ptr() : nullptr));
}

py::object empty_like(py::handle tensor) {
  PyObject* arguments[] = {tensor.ptr()};
  return checked(PyObject_Vectorcall(torch().empty_like.ptr(), arguments, 1, nullptr));
}

void* address(py::handle tensor) { return view_of(tensor).data; }

}  // namespace narsfast::bindings
