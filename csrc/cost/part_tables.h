#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cost/statistics.h"
#include "space/tables.h"

namespace narsfast {

// A part of a network as integers. A stage has two parts: its first block, and the remaining `repeats`
// blocks.
enum PartColumn {
  kPartKind = 0,  // PartKind
  kPartKernel,
  kPartExpansion,
  kPartIn,   // channels
  kPartOut,  // channels; of a head its features
  kPartStride,
  kPartSe,
  kPartSide,   // of the input, pixels
  kPartAct,    // as narsfast.space.ACTIVATIONS numbers them
  kPartBlock,  // BlockKind
  kPartStartKernel,
  kPartSeWidth,  // as in squeezed_width; 0 without squeeze-excite
  kPartRepeats,
  kPartColumns
};
enum PartKind : int32_t { kStem = 0, kBlocks, kHead };

// The statistics of every part that a space offers, counted once. A candidate's statistics are sums of one
// entry per part; its peak memory is their maximum. All values are integers that a double represents exactly.
class PartTables {
 public:
  // Returns null if the space has too many parts, sums that a double does not represent exactly, or values
  // that are not of MBConv networks: even kernels, or numbers below 1.
  static std::unique_ptr<PartTables> make(const SpaceTables& space, int32_t in_channels, int32_t classes);

  int64_t parts() const { return static_cast<int64_t>(parts_.size()) / kPartColumns; }
  const int32_t* part(int64_t index) const { return &parts_[static_cast<size_t>(index * kPartColumns)]; }
  // Adds one more statistic, a sum like the others: `cost` (parts,) of each part, repeats included.
  void add_cost(const double* cost);

  // genes (count, F), inside the space -> out: row i, at out + i * stride, gets `columns` statistics:
  // kStatistics, and then the added one. Number is double or int64_t.
  template <typename Number>
  void count(const int16_t* genes, int64_t count, int32_t columns, Number* out, int64_t stride) const;

 private:
  static constexpr int32_t kEntry = kStatistics + 1;
  struct alignas(64) Entry {  // one cache line
    double values[kEntry];
  };
  struct Term {
    int32_t column, step;  // adds gene[column] * step to an index
  };
  struct Slot {
    Term path;      // added to the path, the index of the resolution and the strides so far
    int32_t sides;  // side_entries_[sides + path] is the first entry for the path's side
    int32_t terms;  // number of terms
  };
  class Builder;

  // genes (kCandidates, F) -> their entries (slots, kCandidates).
  template <int kCandidates>
  void find_entries(const int16_t* genes, const Entry** out) const;
  // Counts kCandidates; `found` is workspace for their entries.
  template <int kCandidates, typename Number>
  void sum_entries(const int16_t* genes, int32_t columns, const Entry** found, Number* out,
                   int64_t stride) const;

  int32_t fields_ = 0;
  std::vector<Slot> slots_;
  std::vector<Term> terms_;  // of all slots, in order
  std::vector<int32_t> side_entries_;
  std::vector<Entry> entries_;  // (parts,)
  std::vector<int32_t> parts_;  // (parts, kPartColumns)
};

}  // namespace narsfast
