#include "common/scratch.h"

#include <cstdlib>
#include <new>

namespace narsfast {
namespace {

constexpr size_t kLine = 64;

struct Scratch {
  void* memory = nullptr;
  size_t bytes = 0;
  ~Scratch() { std::free(memory); }
};

thread_local Scratch scratch;

}  // namespace

void* thread_scratch(size_t bytes) {
  if (bytes > scratch.bytes) {
    std::free(scratch.memory);
    scratch.bytes = (bytes + kLine - 1) / kLine * kLine;
    scratch.memory = std::aligned_alloc(kLine, scratch.bytes);
    if (scratch.memory == nullptr) {
      scratch.bytes = 0;
      throw std::bad_alloc();
    }
  }
  return scratch.memory;
}

}  // namespace narsfast
