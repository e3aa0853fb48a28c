#pragma once

#include <cstdint>
#include <vector>

namespace narsfast {

// A hash set of keys with open addressing. 0 marks an empty slot; the key 0 is stored as 1.
class KeySet {
 public:
  void clear() {
    slots_.assign(kInitialSlots, 0);
    size_ = 0;
  }
  // Returns false if the key was already in the set.
  bool insert(uint64_t key) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    if (!place(key == 0 ? 1 : key)) return false;
    ++size_;
    return true;
  }

 private:
  static constexpr size_t kInitialSlots = 1024;

  bool place(uint64_t key) {
    const size_t mask = slots_.size() - 1;
    for (size_t at = key & mask;; at = (at + 1) & mask) {
      if (slots_[at] == key) return false;
      if (slots_[at] != 0) continue;
      slots_[at] = key;
      return true;
    }
  }
  void grow() {
    std::vector<uint64_t> old(slots_.empty() ? kInitialSlots : 2 * slots_.size(), 0);
    old.swap(slots_);
    for (const uint64_t key : old) {
      if (key != 0) place(key);
    }
  }

  std::vector<uint64_t> slots_;
  size_t size_ = 0;
};

}  // namespace narsfast
