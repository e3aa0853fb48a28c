#include "bindings_tensor.h"

#include <stdexcept>
#include <string>

namespace py = pybind11;

namespace narsfast_py {
namespace {

using narsfast::Dtype;

struct NamedDtype {
  py::object object;
  Dtype dtype;
  bool on_cpu, on_cuda;
};

// What is asked of tensors again and again, made once and kept until the process ends.
struct Torch {
  std::array<NamedDtype, 4> dtypes;
  py::object channels_last, empty_like;
  py::str data_ptr{intern("data_ptr")}, is_contiguous{intern("is_contiguous")}, numel{intern("numel")};
  py::str dtype{intern("dtype")}, shape{intern("shape")}, new_empty_strided{intern("new_empty_strided")};
  py::tuple memory_format = py::make_tuple(intern("memory_format"));
  py::tuple dtype_name = py::make_tuple(intern("dtype"));

  Torch() {
    const auto torch = py::module_::import("torch");
    dtypes = {{{torch.attr("float32"), Dtype::kFloat32, true, true},
               {torch.attr("bfloat16"), Dtype::kBfloat16, true, true},
               {torch.attr("float16"), Dtype::kFloat16, false, true},
               {torch.attr("float64"), Dtype::kFloat64, true, false}}};
    channels_last = torch.attr("channels_last");
    empty_like = torch.attr("empty_like");
  }
  static py::str intern(const char* text) {
    return py::reinterpret_steal<py::str>(PyUnicode_InternFromString(text));
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

py::object attribute(py::handle object, const py::str& name) {
  return checked(PyObject_GetAttr(object.ptr(), name.ptr()));
}

py::object call(py::handle object, const py::str& name) {
  PyObject* arguments[] = {object.ptr()};
  return checked(PyObject_VectorcallMethod(name.ptr(), arguments, 1, nullptr));
}

bool is_channels_last(py::handle tensor) {
  PyObject* arguments[] = {tensor.ptr(), torch().channels_last.ptr()};
  return checked(PyObject_VectorcallMethod(torch().is_contiguous.ptr(), arguments, 1,
                                           torch().memory_format.ptr()))
      .is(py::handle(Py_True));
}

int64_t integer(py::handle value) {
  const long long result = PyLong_AsLongLong(value.ptr());
  if (result == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return result;
}

std::string text(const py::object& value) { return py::str(value).cast<std::string>(); }

py::object sizes(py::handle tensor) { return attribute(tensor, torch().shape); }

// As Python writes a tuple.
std::string shape_text(py::handle tensor) { return text(checked(PySequence_Tuple(sizes(tensor).ptr()))); }

}  // namespace

TensorReader::TensorReader(py::handle like, bool on_cuda)
    : like_(like), map_dtype_(attribute(like, torch().dtype)) {
  std::string names;
  for (const NamedDtype& known : torch().dtypes) {
    if (!(on_cuda ? known.on_cuda : known.on_cpu)) continue;
    if (map_dtype_.is(known.object)) {
      dtype_ = known.dtype;
      return;
    }
    names += (names.empty() ? "" : ", ") + text(known.object);
  }
  throw py::type_error(std::string("a map on ") + (on_cuda ? "cuda" : "cpu") + " is " + text(map_dtype_) +
                       "; it must be one of " + names);
}

void* TensorReader::map(const char* name, py::handle tensor, const MapShape& shape) const {
  const py::object found = attribute(tensor, torch().dtype);
  if (!found.is(map_dtype_) || !(shape_of(tensor) == shape)) {
    throw std::invalid_argument(
        std::string(name) + " is " + text(found) + " of shape " + shape_text(tensor) + "; it must be " +
        text(map_dtype_) + " of shape " +
        text(py::make_tuple(shape.images, shape.channels, shape.height, shape.width)));
  }
  if (!is_channels_last(tensor)) {
    throw std::invalid_argument(std::string(name) + " of shape " + shape_text(tensor) + " has strides " +
                                text(tensor.attr("stride")()) +
                                "; it must lie in channels_last memory: convert it once with "
                                ".contiguous(memory_format=torch.channels_last)");
  }
  return address(tensor);
}

void* TensorReader::vector(const char* name, py::handle tensor, int64_t count) const {
  if (tensor.is_none()) return nullptr;
  const py::object& expected = torch().dtypes[dtype_ == Dtype::kFloat64 ? 3 : 0].object;
  const py::object found = attribute(tensor, torch().dtype);
  if (!found.is(expected)) {
    throw py::type_error(std::string(name) + " must be " + text(expected) + ", not " + text(found));
  }
  if (!call(tensor, torch().is_contiguous).is(py::handle(Py_True))) {
    throw std::invalid_argument(std::string(name) + " must be contiguous, but has strides " +
                                text(tensor.attr("stride")()));
  }
  if (integer(call(tensor, torch().numel)) != count) {
    throw std::invalid_argument(std::string(name) + " of shape " + shape_text(tensor) + " must have " +
                                std::to_string(count) + " elements");
  }
  return address(tensor);
}

py::object TensorReader::empty_map(const MapShape& of, const MapShape& shape) const {
  if (of == shape) return empty_like(like_);  // takes torch half the time
  const int64_t pixel = shape.width * shape.channels;
  return new_empty(py::make_tuple(shape.images, shape.channels, shape.height, shape.width),
                   py::make_tuple(shape.height * pixel, 1, pixel, shape.channels), nullptr);
}

py::object TensorReader::empty_vector(int64_t count) const {
  // Without a dtype torch looks at its arguments for less time.
  const bool other = dtype_ != Dtype::kFloat32 && dtype_ != Dtype::kFloat64;
  return new_empty(py::make_tuple(count), py::make_tuple(1), other ? &torch().dtypes[0].object : nullptr);
}

py::object TensorReader::new_empty(const py::tuple& sizes, const py::tuple& strides,
                                   const py::object* dtype) const {
  PyObject* arguments[] = {like_.ptr(), sizes.ptr(), strides.ptr(), dtype ? dtype->ptr() : nullptr};
  return checked(PyObject_VectorcallMethod(torch().new_empty_strided.ptr(), arguments, 3,
                                           dtype ? torch().dtype_name.ptr() : nullptr));
}

MapShape shape_of(py::handle map) {
  const py::object found = sizes(map);
  if (PyTuple_GET_SIZE(found.ptr()) != 4) {
    throw std::invalid_argument("a map must be (n, c, h, w), not of shape " + shape_text(map));
  }
  const auto at = [&](int i) { return integer(PyTuple_GET_ITEM(found.ptr(), i)); };
  return {at(0), at(1), at(2), at(3)};
}

py::object empty_like(py::handle tensor) {
  PyObject* arguments[] = {tensor.ptr()};
  return checked(PyObject_Vectorcall(torch().empty_like.ptr(), arguments, 1, nullptr));
}

int64_t size_along(py::handle tensor, int dimension) {
  const py::object found = sizes(tensor);
  const auto dimensions = static_cast<int>(PyTuple_GET_SIZE(found.ptr()));
  return integer(PyTuple_GET_ITEM(found.ptr(), dimension < 0 ? dimensions + dimension : dimension));
}

void* address(py::handle tensor) {
  const py::object found = call(tensor, torch().data_ptr);
  return reinterpret_cast<void*>(static_cast<uintptr_t>(PyLong_AsUnsignedLongLong(found.ptr())));
}

}  // namespace narsfast_py
