#include "emu/counters.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "emu/block.h"

namespace narsfast::emu {
namespace {

constexpr uint64_t kSector = 32;

// For the current block: how often each thread passed each line, and the sectors of each warp instruction.
struct Log {
  std::unordered_map<uint64_t, uint32_t> passed;
  std::unordered_map<uint64_t, std::vector<uint64_t>> sectors;
};
Log& log() {
  static Log one;
  return one;
}

}  // namespace

Counters& counters() {
  static Counters one;
  return one;
}

void count_access(const void* address, size_t bytes, Access access, int line) {
  if (!options().count) return;
  Counters& all = counters();
  const auto size = static_cast<int64_t>(bytes);
  if (access == Access::kOther) {
    all.other += size;
    return;
  }
  (access == Access::kMapRead ? all.map_read : all.map_written) += size;
  const auto number = static_cast<uint64_t>(current().number);
  const auto site = static_cast<uint64_t>(line);
  const uint64_t pass = log().passed[number << 32 | site]++;
  std::vector<uint64_t>& touched = log().sectors[(number / kWarp) << 48 | site << 32 | pass];
  const auto begin = reinterpret_cast<uint64_t>(address);
  for (uint64_t s = begin / kSector; s <= (begin + bytes - 1) / kSector; ++s) touched.push_back(s);
}

void end_block() {
  if (!options().count) return;
  for (auto& [key, touched] : log().sectors) {
    std::sort(touched.begin(), touched.end());
    counters().map_sectors += std::unique(touched.begin(), touched.end()) - touched.begin();
  }
  log() = Log();
}

}  // namespace narsfast::emu
