#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cost/statistics.h"
#include "space/tables.h"

namespace narsfast {

// A part of a network in numbers. A stage is two parts: its first block, and the rest, `repeats` blocks.
enum PartColumn {
  kPartKind = 0,  // PartKind
  kPartKernel,
  kPartExpansion,
  kPartIn,   // channels
  kPartOut,  // channels; of a head its features
  kPartStride,
  kPartSe,
  kPartSide,  // of the input, pixels
  kPartRepeats,
  kPartColumns
};
enum PartKind : int32_t { kStem = 0, kBlocks, kHead };

// What every part that a space offers costs, counted once: a candidate's statistics are the sum, of peak
// memory the largest, of one entry a part. All are whole numbers that a double holds exactly.
class PartTables {
 public:
  // Null if the space has more parts than fit, numbers beyond a double's or no networks of MBConv blocks: an
  // even kernel, or a number below 1.
  static std::unique_ptr<PartTables> make(const SpaceTables& space, int32_t in_channels, int32_t classes);

  int64_t parts() const { return static_cast<int64_t>(parts_.size()) / kPartColumns; }
  const int32_t* part(int64_t index) const { return &parts_[static_cast<size_t>(index * kPartColumns)]; }
  // One further statistic, a sum like the others: `cost` (parts,) of each part, repeats included.
  void add_cost(const double* cost);

  // Genes (count, F), inside the space -> out: row i at out + i * stride holds `columns` statistics,
  // kStatistics and then the further one. Number is double or int64_t.
  template <typename Number>
  void count(const int16_t* genes, int64_t count, int32_t columns, Number* out, int64_t stride) const;

 private:
  static constexpr int32_t kEntry = kStatistics + 1;
  struct alignas(64) Entry {  // one cache line
    double values[kEntry];
  };
  struct Term {
    int32_t column, step;  // an entry is moved by gene[column] * step
  };
  struct Slot {
    Term path;      // what the part before adds to the path: resolution and strides so far
    int32_t sides;  // side_entries_[sides + path] is the entry of the path's side
    int32_t terms;  // number of terms
  };
  class Builder;

  // Genes (kCandidates, F) -> their entries (slots, kCandidates).
  template <int kCandidates>
  void find(const int16_t* genes, const Entry** out) const;
  // Counts kCandidates; `found` is memory for their entries.
  template <int kCandidates, typename Number>
  void sum(const int16_t* genes, int32_t columns, const Entry** found, Number* out, int64_t stride) const;

  int32_t fields_ = 0;
  std::vector<Slot> slots_;
  std::vector<Term> terms_;  // slot after slot
  std::vector<int32_t> side_entries_;
  std::vector<Entry> entries_;  // (parts,)
  std::vector<int32_t> parts_;  // (parts, kPartColumns)
};

}  // namespace narsfast
