// The kernels of the depthwise squeeze-excite block for Python. Each function takes the arguments of its
// torch operator, grouped in the named tuples of narsfast/ops/_arguments.py, and where to run, and makes the
// tensors of its results.
#include <pybind11/stl.h>

#include <array>
#include <initializer_list>
#include <optional>
#include <tuple>

#include "bindings/depthwise_se_arguments.h"
#include "bindings/module.h"
#include "depthwise_se/kernels.h"
#include "depthwise_se/launch.h"

namespace py = pybind11;

namespace narsfast::bindings {
namespace {

template <class Arguments, class = void>
struct has_workspace : std::false_type {};
template <class Arguments>
struct has_workspace<Arguments, std::void_t<decltype(Arguments::workspace)>> : std::true_type {};

template <class Arguments, class = void>
struct has_window : std::false_type {};
template <class Arguments>
struct has_window<Arguments, std::void_t<decltype(Arguments::window)>> : std::true_type {};

template <class Arguments>
int64_t channels_of(const Arguments& arguments) {
  if constexpr (has_window<Arguments>::value) {
    return arguments.window.channels;
  } else {
    return arguments.channels;
  }
}

// The shape of a convolution's output.
MapShape output_of(const Window& window) {
  return {window.images, window.channels, window.out_height, window.out_width};
}

int64_t taps_of(const Window& window) { return window.channels * window.kernel * window.kernel; }

int64_t pixels_of(const MapShape& shape) { return shape.height * shape.width; }

// The tensors of a list of results and their addresses; later ones may be missing.
class Results {
 public:
  Results(std::initializer_list<py::object> first) {
    for (const py::object& tensor : first) add(tensor);
  }
  void add(const py::object& tensor) {
    addresses_[all_.size()] = address(tensor);
    all_.append(tensor);
  }
  // Null, and None, for a missing result.
  void* operator[](size_t index) const { return addresses_[index]; }
  py::object object(size_t index) const { return index < all_.size() ? py::object(all_[index]) : py::none(); }
  py::list list() const { return all_; }

 private:
  std::array<void*, 7> addresses_{};
  py::list all_;
};

// LaunchContext: a stream of the current CUDA device, and a function that allocates memory there, bytes to
// address; None for the CPU.
using LaunchContext = std::optional<std::tuple<uintptr_t, py::function>>;

// Runs `kernel` of the CPU's instruction set, or the CUDA kernel for the same arguments.
template <class Arguments>
void run(void (*DepthwiseKernels::*kernel)(const Arguments&), Arguments arguments,
         const LaunchContext& context) {
  if (!context) {
    const auto& kernels = depthwise_kernels(choose_isa(), arguments.dtype, channels_of(arguments));
    const py::gil_scoped_release release;
    (kernels.*kernel)(arguments);
    return;
  }
  const auto& [stream, allocate] = *context;
  if constexpr (has_workspace<Arguments>::value) {
    const size_t bytes = narsfast::workspace(arguments);
    arguments.workspace =
        bytes == 0 ? nullptr : reinterpret_cast<void*>(allocate(bytes).template cast<uintptr_t>());
  }
  const py::gil_scoped_release release;
  narsfast::launch(arguments, stream);
}

py::tuple moments(Tensor y, const LaunchContext& launch) {
  const TensorReader read(y, launch.has_value());
  const MapShape shape = read.shape();
  const py::object mean = read.empty_vector(shape.channels), var = read.empty_vector(shape.channels);
  run(&DepthwiseKernels::moments,
      MomentsArguments{read.dtype(), shape.images, pixels_of(shape), shape.channels, read.map("y", y, shape),
                       address(mean), address(var), nullptr},
      launch);
  return py::make_tuple(mean, var);
}

py::tuple convolve(Tensor x, Tensor kernel, Args input_norm, Args window_args, const LaunchContext& launch) {
  const TensorReader read(x, launch.has_value());
  const MapShape shape = read.shape();
  const auto window = window_of(shape, kernel, window_args);
  const py::object y = read.empty_map(shape, output_of(window));
  const py::object mean = read.empty_vector(shape.channels), var = read.empty_vector(shape.channels);
  run(&DepthwiseKernels::convolve,
      ConvolveArguments{
          read.dtype(), window, read.map("x", x, shape), input_norm_of(read, shape.channels, input_norm),
          read.vector("kernel", kernel, taps_of(window)), address(y), address(mean), address(var), nullptr},
      launch);
  return py::make_tuple(y, mean, var);
}

// Returns the map, and with squeeze-excite also the state for its gradient.
py::list normalize(Tensor y, Args norm, Args excite_args, const LaunchContext& launch) {
  const TensorReader read(y, launch.has_value());
  const MapShape shape = read.shape();
  const auto excite = excite_of(read, shape.channels, excite_args);
  Results results{read.empty_map(shape, shape)};
  if (excite.squeezed > 0) {
    results.add(read.empty_vector(shape.images * (2 * shape.channels + excite.squeezed)));
  }
  const ExciteState state = state_of(read, results.object(1), shape, excite.squeezed);
  run(&DepthwiseKernels::normalize,
      NormalizeArguments{read.dtype(), shape.images, pixels_of(shape), shape.channels,
                         read.map("y", y, shape), norm_of(read, shape.channels, norm), excite, results[0],
                         state.pooled, state.hidden, state.gate},
      launch);
  return results.list();
}

// Returns the gradients of the norm's weight and bias; with squeeze-excite also those of the pooled map,
// flat, and of its weights.
py::list reduce(Tensor d_out, Tensor y, Args norm, Tensor state, Args excite_args,
                const LaunchContext& launch) {
  const TensorReader read(y, launch.has_value());
  const MapShape shape = read.shape();
  const auto excite = excite_of(read, shape.channels, excite_args);
  const ExciteState saved = state_of(read, state, shape, excite.squeezed);
  Results results{read.empty_vector(shape.channels), read.empty_vector(shape.channels)};
  if (excite.squeezed > 0) {
    results.add(read.empty_vector(shape.images * shape.channels));
    const Items<4> weights(excite_args, "ExciteArgs");
    for (int i = 0; i < 4; ++i) results.add(empty_like(weights[i]));
  }
  run(&DepthwiseKernels::reduce,
      ReduceArguments{read.dtype(), shape.images, pixels_of(shape), shape.channels, read.map("y", y, shape),
                      read.map("d_out", d_out, shape), norm_of(read, shape.channels, norm), excite,
                      saved.pooled, saved.hidden, saved.gate, results[0], results[1], results[2], results[3],
                      results[4], results[5], results[6], nullptr},
      launch);
  return results.list();
}

py::object norm_gradient(Tensor d_out, Tensor y, Args norm, Args sums, const LaunchContext& launch) {
  const TensorReader read(y, launch.has_value());
  const MapShape shape = read.shape();
  const py::object d_y = read.empty_map(shape, shape);
  run(&DepthwiseKernels::norm_gradient,
      NormGradientArguments{read.dtype(), shape.images, pixels_of(shape), shape.channels,
                            norm_gradient_of(read, shape, d_out, y, norm, sums), address(d_y)},
      launch);
  return d_y;
}

// Returns the gradients of x and the kernel, and with an input norm those of its weight and bias. With an
// input norm and without input_count, the first is the gradient of the normalized x, and the caller continues
// with norm_gradient; otherwise it includes that step.
py::list convolve_gradient(Tensor d_out, Tensor y, Args norm, Tensor state, Tensor d_pooled, py::handle gate,
                           Args sums, Tensor x, Tensor kernel, Args input_norm,
                           std::optional<double> input_count, Args window_args, const LaunchContext& launch) {
  const TensorReader read(x, launch.has_value());
  const MapShape shape = read.shape();
  const auto window = window_of(shape, kernel, window_args);
  const MapShape out_shape = output_of(window);
  const int64_t channels = shape.channels;
  const Norm input = input_norm_of(read, channels, input_norm);
  Results results{read.empty_map(shape, shape), empty_like(kernel)};
  if (input.weight != nullptr) {
    results.add(read.empty_vector(channels));
    results.add(read.empty_vector(channels));
  }
  NormGradient gradient = norm_gradient_of(read, out_shape, d_out, y, norm, sums);
  add_gate(read, state, d_pooled, gate, shape.images, &gradient, channels);
  const ConvolveGradientArguments arguments{read.dtype(), window,
                                            gradient,     read.map("x", x, shape),
                                            input,        read.vector("kernel", kernel, taps_of(window)),
                                            results[0],   results[1],
                                            results[2],   results[3],
                                            nullptr};
  run(&DepthwiseKernels::convolve_gradient, arguments, launch);
  if (input.weight == nullptr || !input_count) return results.list();
  Norm linear = input;  // d_x is already the gradient before the activation
  linear.activation = Activation::kNone;
  run(&DepthwiseKernels::norm_gradient,
      NormGradientArguments{read.dtype(),
                            shape.images,
                            pixels_of(shape),
                            channels,
                            {arguments.x, arguments.d_x, linear, nullptr, nullptr, Gate::kHardSigmoid,
                             arguments.d_input_weight, arguments.d_input_bias, *input_count},
                            arguments.d_x},
      launch);
  return results.list();
}

py::object infer(Tensor x, Tensor kernel, Args input_norm, Args norm, Args excite_args, Args window_args,
                 const LaunchContext& launch) {
  const TensorReader read(x, launch.has_value());
  const MapShape shape = read.shape();
  const auto window = window_of(shape, kernel, window_args);
  const py::object out = read.empty_map(shape, output_of(window));
  run(&DepthwiseKernels::infer,
      InferArguments{read.dtype(), window, read.map("x", x, shape),
                     input_norm_of(read, shape.channels, input_norm),
                     read.vector("kernel", kernel, taps_of(window)), norm_of(read, shape.channels, norm),
                     excite_of(read, shape.channels, excite_args), address(out), nullptr},
      launch);
  return out;
}

py::tuple layout_of(const TensorView& view) {
  const size_t dimensions = static_cast<size_t>(view.dimensions);
  py::tuple sizes(dimensions), strides(dimensions);
  for (size_t i = 0; i < dimensions; ++i) {
    sizes[i] = view.sizes[i];
    strides[i] = view.strides[i];
  }
  return py::make_tuple(reinterpret_cast<uintptr_t>(view.data), view.supported, static_cast<int>(view.dtype),
                        sizes, strides, view.contiguous(), view.dimensions == 4 && view.channels_last());
}

// Both ways of reading a tensor, for tests.
py::tuple views(Tensor tensor) {
  return py::make_tuple(layout_of(view_of(tensor)), layout_of(view_by_attributes(tensor)));
}

}  // namespace

void bind_depthwise_se(py::module_& m) {
  using py::arg;
  m.def("views", &views, arg("tensor"),
        "Read a tensor's layout by DLPack and by its attributes: (address, supported, dtype, sizes, strides, "
        "contiguous, channels_last) each.");
  m.def("cuda_built", &cuda_built, "Return whether this build has CUDA kernels.");
  m.def("cuda_architectures", &cuda_architectures,
        "Return the CUDA architectures of this build as CMake names them, separated by commas; empty without "
        "CUDA kernels.");
  m.def("has_cuda", &has_device,
        "Return whether there is a device for the CUDA kernels; False without a driver.");
  m.def("depthwise_moments", &moments, arg("y"), arg("launch"),
        "Return mean and biased variance (channels,) of a map.");
  m.def("depthwise_convolve", &convolve, arg("x"), arg("kernel"), arg("input_norm"), arg("window"),
        arg("launch"), "Normalize and convolve a map; return the output, its mean and its biased variance.");
  m.def("depthwise_normalize", &normalize, arg("y"), arg("norm"), arg("excite"), arg("launch"),
        "Normalize and gate a map; return the output, and with squeeze-excite the state for its gradient.");
  m.def("depthwise_reduce", &reduce, arg("d_out"), arg("y"), arg("norm"), arg("state"), arg("excite"),
        arg("launch"),
        "Return the gradients of a norm's weight and bias; with squeeze-excite also those of the pooled map, "
        "flat, and of its weights.");
  m.def("depthwise_norm_gradient", &norm_gradient, arg("d_out"), arg("y"), arg("norm"), arg("sums"),
        arg("launch"), "Return the gradient of a norm's input.");
  m.def("depthwise_convolve_gradient", &convolve_gradient, arg("d_out"), arg("y"), arg("norm"), arg("state"),
        arg("d_pooled"), arg("gate"), arg("sums"), arg("x"), arg("kernel"), arg("input_norm"),
        arg("input_count"), arg("window"), arg("launch"),
        "Return the gradients of x and the kernel, and with an input norm those of its weight and bias.");
  m.def("depthwise_infer", &infer, arg("x"), arg("kernel"), arg("input_norm"), arg("norm"), arg("excite"),
        arg("window"), arg("launch"), "Compute the whole block in evaluation.");
}

}  // namespace narsfast::bindings
