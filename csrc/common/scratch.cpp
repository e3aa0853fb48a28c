#include "common/scratch.h"

#include <cstdlib>
#include <new>
#include <vector>

namespace narsfast {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kMinBlockBytes = size_t{1} << 20;

struct Block {
  char* memory;
  size_t bytes;
};

// Blocks in use never move; those after the current one are empty.
struct Scratch {
  std::vector<Block> blocks;
  size_t current = 0;
  size_t used = 0;  // bytes of the current block
  ~Scratch() {
    for (const Block& block : blocks) std::free(block.memory);
  }
};

thread_local Scratch scratch;

Block allocate(size_t bytes) {
  const size_t size = bytes > kMinBlockBytes ? bytes : kMinBlockBytes;
  void* memory = std::aligned_alloc(kCacheLine, size);
  if (memory == nullptr) throw std::bad_alloc();
  return {static_cast<char*>(memory), size};
}

}  // namespace

void* acquire_scratch(size_t bytes, ScratchMark* before) {
  bytes = (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
  *before = {scratch.current, scratch.used};
  std::vector<Block>& blocks = scratch.blocks;
  if (blocks.empty()) blocks.push_back(allocate(bytes));
  if (blocks[scratch.current].bytes - scratch.used < bytes) {
    const size_t next = scratch.current + 1;
    if (next == blocks.size()) {
      blocks.push_back(allocate(bytes));
    } else if (blocks[next].bytes < bytes) {
      std::free(blocks[next].memory);
      blocks[next] = {nullptr, 0};
      blocks[next] = allocate(bytes);
    }
    scratch.current = next;
    scratch.used = 0;
  }
  void* memory = blocks[scratch.current].memory + scratch.used;
  scratch.used += bytes;
  return memory;
}

void release_scratch(const ScratchMark& before) {
  scratch.current = before.block;
  scratch.used = before.used;
}

int64_t scratch_left() {
  return static_cast<int64_t>(scratch.blocks[scratch.current].bytes) - static_cast<int64_t>(scratch.used);
}

}  // namespace narsfast
