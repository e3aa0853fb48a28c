// Instruction sets, random numbers and scratch memory for Python.
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bindings/module.h"
#include "bindings/space.h"
#include "common/dispatch.h"
#include "common/random.h"
#include "common/scratch.h"

namespace py = pybind11;

namespace narsfast::bindings {
namespace {

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const Isa isa : available_isas()) names.emplace_back(isa_name(isa));
  return names;
}

Array<uint32_t> philox_words(uint64_t seed, uint32_t purpose, const Array<uint32_t>& counters) {
  require(counters.ndim() == 2 && counters.shape(1) == 4, "counters must be (n, 4) uint32");
  Array<uint32_t> words({counters.shape(0), py::ssize_t{4}});
  uint32_t* out = words.mutable_data();
  for (py::ssize_t i = 0; i < counters.shape(0); ++i) {
    const uint32_t* counter = counters.data(i, 0);
    const PhiloxBlock block =
        philox(make_key(seed, purpose), {{counter[0], counter[1], counter[2], counter[3]}});
    std::copy_n(block.word, 4, out + 4 * i);
  }
  return words;
}

// Allocates scratch memory of the calling thread for all sizes at once, and releases it; for tests.
std::vector<int64_t> scratch_left_behind(const std::vector<size_t>& sizes) {
  std::vector<int64_t> left;
  std::vector<ScratchMark> marks(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    acquire_scratch(sizes[i], &marks[i]);
    left.push_back(scratch_left());
  }
  while (!marks.empty()) {
    release_scratch(marks.back());
    marks.pop_back();
  }
  return left;
}

}  // namespace

void bind_common(py::module_& m) {
  using py::arg;
  m.def(
      "isa", [] { return isa_name(choose_isa()); },
      "Return the instruction set that kernels use now: the fastest, or the one that NARSFAST_ISA names.");
  m.def("isas", &isa_names,
        "Return the instruction sets that this build contains and this machine supports, slowest first.");
  m.def("philox", &philox_words, arg("seed"), arg("purpose"), arg("counters").noconvert(),
        "Return the random words (n, 4) uint32 of counters (n, 4) uint32.");
  m.def("scratch_left", &scratch_left_behind, arg("sizes"),
        "Allocate scratch memory of these sizes in bytes at once; return what is left of its block behind "
        "each.");
}

}  // namespace narsfast::bindings
