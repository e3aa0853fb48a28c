// The CUDA kernels on the emulator, for tests; not part of wheels. Python fills the argument structs field by
// field, with pointers as integers, and keeps the memory alive.
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "bindings/module.h"
#include "depthwise_se/cuda/launchers.h"
#include "depthwise_se/kernels.h"
#include "emu/block.h"
#include "emu/counters.h"
#include "optimizer/rmsprop.h"

namespace py = pybind11;

namespace narsfast {
namespace {

template <typename Class, typename Pointer>
void pointer(py::class_<Class>& c, const char* name, Pointer Class::* member) {
  c.def_property(
      name, [=](const Class& self) { return reinterpret_cast<uintptr_t>(self.*member); },
      [=](Class& self, uintptr_t value) { self.*member = reinterpret_cast<Pointer>(value); });
}

template <typename Class>
void fields(py::class_<Class>&) {}

template <typename Class, typename Member, typename... Rest>
void fields(py::class_<Class>& c, const char* name, Member Class::* member, Rest... rest) {
  if constexpr (std::is_pointer_v<Member>) {
    pointer(c, name, member);
  } else if constexpr (std::is_enum_v<Member>) {
    c.def_property(
        name, [=](const Class& self) { return static_cast<int>(self.*member); },
        [=](Class& self, int value) { self.*member = static_cast<Member>(value); });
  } else {
    c.def_readwrite(name, member);
  }
  fields(c, rest...);
}

template <typename Class, typename... Fields>
void bind(py::module_& m, const char* name, Fields... all) {
  py::class_<Class> c(m, name);
  c.def(py::init([] { return Class{}; }));
  fields(c, all...);
}

void check(int error) {
  if (error != 0) throw std::invalid_argument("no kernel for this dtype or window");
}

template <typename Arguments>
void launcher(py::module_& m, const char* name, int (*run)(const Arguments&, void*),
              size_t (*workspace)(const Arguments&) = nullptr) {
  m.def(name, [=](const Arguments& arguments) { check(run(arguments, nullptr)); });
  if (workspace != nullptr) m.def((std::string(name) + "_workspace").c_str(), workspace);
}

}  // namespace

// The bindings also refer to the kernels of the CPU, which this module does not contain.
Isa choose_isa() { return Isa::kBaseline; }
const DepthwiseKernels& depthwise_kernels(Isa, Dtype, int64_t) {
  throw std::logic_error("the emulator has no kernels of the CPU");
}
void rmsprop(Isa, const RmspropArguments&) {
  throw std::logic_error("the emulator has no kernels of the CPU");
}

}  // namespace narsfast

#define FIELD(Class, name) #name, &Class::name

PYBIND11_MODULE(_emu, m) {
  using namespace narsfast;
  bindings::bind_depthwise_se(m);
  bindings::bind_optimizer(m);
  m.doc() = "The CUDA kernels of narsfast on an emulated device.";
  bind<Norm>(m, "Norm", FIELD(Norm, weight), FIELD(Norm, bias), FIELD(Norm, mean), FIELD(Norm, var),
             FIELD(Norm, eps), FIELD(Norm, activation));
  bind<Window>(m, "Window", FIELD(Window, images), FIELD(Window, height), FIELD(Window, width),
               FIELD(Window, channels), FIELD(Window, out_height), FIELD(Window, out_width),
               FIELD(Window, kernel), FIELD(Window, stride), FIELD(Window, top), FIELD(Window, left));
  bind<Excite>(m, "Excite", FIELD(Excite, squeezed), FIELD(Excite, activation), FIELD(Excite, gate_kind),
               FIELD(Excite, reduce_weight), FIELD(Excite, reduce_bias), FIELD(Excite, expand_weight),
               FIELD(Excite, expand_bias));
  using C = ConvolveArguments;
  bind<C>(m, "ConvolveArguments", FIELD(C, dtype), FIELD(C, window), FIELD(C, x), FIELD(C, input),
          FIELD(C, weight), FIELD(C, y), FIELD(C, mean), FIELD(C, var), FIELD(C, workspace));
  using M = MomentsArguments;
  bind<M>(m, "MomentsArguments", FIELD(M, dtype), FIELD(M, images), FIELD(M, pixels), FIELD(M, channels),
          FIELD(M, y), FIELD(M, mean), FIELD(M, var), FIELD(M, workspace));
  using N = NormalizeArguments;
  bind<N>(m, "NormalizeArguments", FIELD(N, dtype), FIELD(N, images), FIELD(N, pixels), FIELD(N, channels),
          FIELD(N, y), FIELD(N, norm), FIELD(N, excite), FIELD(N, out), FIELD(N, pooled), FIELD(N, hidden),
          FIELD(N, gate));
  using R = ReduceArguments;
  bind<R>(m, "ReduceArguments", FIELD(R, dtype), FIELD(R, images), FIELD(R, pixels), FIELD(R, channels),
          FIELD(R, y), FIELD(R, d_out), FIELD(R, norm), FIELD(R, excite), FIELD(R, pooled), FIELD(R, hidden),
          FIELD(R, gate), FIELD(R, d_weight), FIELD(R, d_bias), FIELD(R, d_pooled), FIELD(R, d_reduce_weight),
          FIELD(R, d_reduce_bias), FIELD(R, d_expand_weight), FIELD(R, d_expand_bias), FIELD(R, workspace));
  using G = NormGradient;
  bind<G>(m, "NormGradient", FIELD(G, y), FIELD(G, d_out), FIELD(G, norm), FIELD(G, gate), FIELD(G, d_pooled),
          FIELD(G, gate_kind), FIELD(G, d_weight), FIELD(G, d_bias), FIELD(G, count));
  using D = NormGradientArguments;
  bind<D>(m, "NormGradientArguments", FIELD(D, dtype), FIELD(D, images), FIELD(D, pixels), FIELD(D, channels),
          FIELD(D, norm), FIELD(D, d_y));
  using B = ConvolveGradientArguments;
  bind<B>(m, "ConvolveGradientArguments", FIELD(B, dtype), FIELD(B, window), FIELD(B, norm), FIELD(B, x),
          FIELD(B, input), FIELD(B, weight), FIELD(B, d_x), FIELD(B, d_weight), FIELD(B, d_input_weight),
          FIELD(B, d_input_bias), FIELD(B, workspace));
  using I = InferArguments;
  bind<I>(m, "InferArguments", FIELD(I, dtype), FIELD(I, window), FIELD(I, x), FIELD(I, input),
          FIELD(I, weight), FIELD(I, norm), FIELD(I, excite), FIELD(I, out), FIELD(I, workspace));

  launcher(m, "convolve", &cuda::convolve, &cuda::convolve_workspace);
  launcher(m, "moments", &cuda::moments, &cuda::moments_workspace);
  launcher(m, "normalize", &cuda::normalize);
  launcher(m, "reduce", &cuda::reduce, &cuda::reduce_workspace);
  launcher(m, "norm_gradient", &cuda::norm_gradient);
  launcher(m, "convolve_gradient", &cuda::convolve_gradient, &cuda::convolve_gradient_workspace);
  launcher(m, "infer", &cuda::infer, &cuda::infer_workspace);

  bind<emu::Options>(m, "Options", FIELD(emu::Options, seed), FIELD(emu::Options, dropped_barrier),
                     FIELD(emu::Options, threads), FIELD(emu::Options, count));
  bind<emu::Counters>(m, "Counters", FIELD(emu::Counters, map_read), FIELD(emu::Counters, map_written),
                      FIELD(emu::Counters, other), FIELD(emu::Counters, map_sectors),
                      FIELD(emu::Counters, launches));
  m.def("set_options", [](const emu::Options& options) { emu::options() = options; });
  m.def("take_counters", [] {
    const emu::Counters taken = emu::counters();
    emu::counters() = emu::Counters();
    return taken;
  });
  m.def(
      "diverge",
      [](bool in_warp) {
        emu::launch({1}, {64}, 0, [=] {
          if (emu::current().number % 2 != 0) return;
          if (in_warp)
            emu::wait_warp(1);
          else
            emu::wait_block(1);
        });
      },
      "A kernel whose odd threads miss a barrier: must raise.");
}
