#pragma once

#include <cstdint>
#include <vector>

namespace narsfast {

// A set of hashes by open addressing that grows with its content; 0 is stood for by 1.
class KeySet {
 public:
  void clear() {
    slots_.assign(kFewest, 0);
    size_ = 0;
  }
  // False if the key was there.
  bool insert(uint64_t key) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    if (!place(key == 0 ? 1 : key)) return false;
    ++size_;
    return true;
  }

 private:
  static constexpr size_t kFewest = 1024;

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
    std::vector<uint64_t> old(slots_.empty() ? kFewest : 2 * slots_.size(), 0);
    old.swap(slots_);
    for (const uint64_t key : old) {
      if (key != 0) place(key);
    }
  }

  std::vector<uint64_t> slots_;
  size_t size_ = 0;
};

}  // namespace narsfast
