#include "cost/part_tables.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/threads.h"
#include "cost/rows.h"

namespace narsfast {
namespace {

constexpr int64_t kMostParts = int64_t{1} << 19;  // 100 bytes each
constexpr int64_t kMostPaths = int64_t{1} << 16;
constexpr double kExact = 9007199254740992.0;  // 2^53: a double holds every whole number up to it
constexpr int64_t kChunk = 256;
constexpr int kTogether = 8;            // candidates looked up together, so that memory answers meanwhile
constexpr double kSlotNanoseconds = 4;  // of looking up one part

using Part = std::array<int32_t, kPartColumns>;

Totals count_part(const Part& part, int32_t classes) {
  Map map{part[kPartIn], part[kPartSide]};
  if (part[kPartKind] == kStem) return count_stem(part[kPartOut], map);
  if (part[kPartKind] == kHead) return count_head(part[kPartExpansion], part[kPartOut], classes, map);
  Totals totals;
  if (part[kPartRepeats] == 0) return totals;
  const Block block{part[kPartKernel], part[kPartExpansion],  part[kPartOut],
                    part[kPartStride], part[kPartKernel] / 2, part[kPartSe] != 0};
  totals.add(count_block(block, map), part[kPartRepeats]);
  return totals;
}

}  // namespace

// Lays the slots out in the order of the network.
class PartTables::Builder {
 public:
  Builder(const SpaceTables& space, int32_t classes, PartTables* tables)
      : space_(space), classes_(classes), tables_(tables) {
    tables_->fields_ = space.fields;
    const int32_t resolution = space.header_columns[kResolution];
    path_ = {resolution, 1};
    for (int32_t gene = 0; gene < space.sizes[resolution]; ++gene) {
      sides_.push_back(number(resolution, gene));
    }
  }

  // A field whose numbers a column of the next slot's parts takes; they are added to what the part has there.
  void vary(PartColumn column, int32_t field) {
    const auto known = std::find_if(varying_.begin(), varying_.end(),
                                    [&](const Varying& varying) { return varying.field == field; });
    if (known != varying_.end()) {
      known->columns.push_back(column);
    } else {
      varying_.push_back({field, {column}});
    }
  }

  // The parts of one place in the network. False if they are too many.
  bool add(Part part) {
    std::vector<int32_t> distinct = sides_;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    const int64_t first = tables_->parts();
    int64_t each = 1;  // parts a side
    for (const Varying& varying : varying_) {
      each *= space_.sizes[varying.field];
      if (first + each * static_cast<int64_t>(distinct.size()) > kMostParts) return false;
    }

    Slot slot{path_, static_cast<int32_t>(tables_->side_entries_.size()), 0};
    path_ = {path_.column, 0};
    for (const int32_t side : sides_) {
      const auto place = std::lower_bound(distinct.begin(), distinct.end(), side) - distinct.begin();
      tables_->side_entries_.push_back(static_cast<int32_t>(first + place * each));
    }
    int64_t step = each;
    for (const Varying& varying : varying_) {
      step /= space_.sizes[varying.field];
      if (space_.sizes[varying.field] == 1) continue;
      tables_->terms_.push_back({varying.field, static_cast<int32_t>(step)});
      ++slot.terms;
    }
    tables_->slots_.push_back(slot);

    std::array<double, kStatistics> most{};
    for (const int32_t side : distinct) {
      part[kPartSide] = side;
      for (int64_t index = 0; index < each; ++index) write(part, index, each, &most);
    }
    for (int s = 0; s < kStatistics; ++s) largest_[s] += most[s];
    varying_.clear();
    return true;
  }

  // Goes on behind the stem.
  void halve() {
    for (int32_t& side : sides_) side = (side - 1) / 2 + 1;
  }

  // Goes on behind a stride. False if the paths are too many.
  bool stride(int32_t field) {
    const auto paths = static_cast<int64_t>(sides_.size());
    const int64_t size = space_.sizes[field];
    if (paths * size > kMostPaths) return false;
    std::vector<int32_t> sides;
    for (int64_t gene = 0; gene < size; ++gene) {
      for (const int32_t side : sides_) sides.push_back((side - 1) / number(field, gene) + 1);
    }
    sides_ = std::move(sides);
    path_ = {field, static_cast<int32_t>(paths)};
    return true;
  }

  // Whether doubles hold all sums of entries.
  bool exact() const {
    return std::all_of(largest_.begin(), largest_.end(), [](double sum) { return sum < kExact; });
  }

 private:
  struct Varying {
    int32_t field;
    std::vector<PartColumn> columns;
  };

  int32_t number(int32_t field, int64_t gene) const {
    return space_.numbers[static_cast<int64_t>(field) * space_.values + gene];
  }

  void write(Part part, int64_t index, int64_t each, std::array<double, kStatistics>* most) {
    for (const Varying& varying : varying_) {
      const int64_t size = space_.sizes[varying.field];
      each /= size;
      for (const PartColumn column : varying.columns) {
        part[column] += number(varying.field, index / each % size);
      }
    }
    tables_->parts_.insert(tables_->parts_.end(), part.begin(), part.end());
    std::array<int64_t, kStatistics> statistics{};
    count_part(part, classes_).write(statistics.data());
    Entry entry{};
    for (int s = 0; s < kStatistics; ++s) {
      entry.values[s] = static_cast<double>(statistics[s]);
      (*most)[s] = std::max((*most)[s], entry.values[s]);
    }
    tables_->entries_.push_back(entry);
  }

  const SpaceTables& space_;
  int32_t classes_;
  PartTables* tables_;
  std::vector<int32_t> sides_;  // by path, where the network is now
  Term path_{0, 0};             // what the next slot adds to the path
  std::vector<Varying> varying_;
  std::array<double, kStatistics> largest_{};
};

std::unique_ptr<PartTables> PartTables::make(const SpaceTables& space, int32_t in_channels, int32_t classes) {
  const auto all = [&](int32_t field, bool (*holds)(int32_t)) {
    const int32_t* numbers = space.numbers + static_cast<int64_t>(field) * space.values;
    return std::all_of(numbers, numbers + space.sizes[field], holds);
  };
  const auto positive = [](int32_t number) { return number >= 1; };
  const auto odd = [](int32_t number) { return number >= 1 && number % 2 == 1; };
  for (int column = 0; column < kHeaderColumns; ++column) {
    if (!all(space.header_columns[column], positive)) return nullptr;
  }
  std::unique_ptr<PartTables> tables(new PartTables);
  Builder builder(space, classes, tables.get());
  builder.vary(kPartOut, space.header_columns[kStemChannels]);
  if (!builder.add({kStem, 3, 0, in_channels, 0, 2, 0, 0, 1})) return nullptr;
  builder.halve();
  int32_t in = space.header_columns[kStemChannels];
  for (int32_t stage = 0; stage < space.stages; ++stage) {
    const int32_t* fields = space.stage_columns + static_cast<int64_t>(stage) * kStageColumns;
    for (int column = 0; column < kStageColumns; ++column) {
      if (column != kStageSe && !all(fields[column], positive)) return nullptr;
    }
    if (!all(fields[kKernelFirst], odd) || !all(fields[kKernelRest], odd)) return nullptr;
    builder.vary(kPartKernel, fields[kKernelFirst]);
    builder.vary(kPartExpansion, fields[kExpansionFirst]);
    builder.vary(kPartIn, in);
    builder.vary(kPartOut, fields[kStageChannels]);
    builder.vary(kPartStride, fields[kStageStride]);
    builder.vary(kPartSe, fields[kStageSe]);
    if (!builder.add({kBlocks, 0, 0, 0, 0, 0, 0, 0, 1})) return nullptr;
    if (!builder.stride(fields[kStageStride])) return nullptr;
    in = fields[kStageChannels];
    if (all(fields[kDepth], [](int32_t number) { return number == 1; }))
      continue;  // no candidate has more than the first block
    builder.vary(kPartKernel, fields[kKernelRest]);
    builder.vary(kPartExpansion, fields[kExpansionRest]);
    builder.vary(kPartIn, in);
    builder.vary(kPartOut, in);
    builder.vary(kPartSe, fields[kStageSe]);
    builder.vary(kPartRepeats, fields[kDepth]);
    if (!builder.add({kBlocks, 0, 0, 0, 0, 1, 0, 0, -1})) return nullptr;
  }
  builder.vary(kPartExpansion, space.header_columns[kHeadExpansion]);
  builder.vary(kPartIn, in);
  builder.vary(kPartOut, space.header_columns[kHeadFeatures]);
  if (!builder.add({kHead, 0, 0, 0, 0, 1, 0, 0, 1})) return nullptr;
  return builder.exact() ? std::move(tables) : nullptr;
}

void PartTables::add_cost(const double* cost) {
  for (int64_t i = 0; i < parts(); ++i) entries_[static_cast<size_t>(i)].values[kStatistics] = cost[i];
}

template <int kCandidates>
void PartTables::find(const int16_t* genes, const Entry** out) const {
  const Term* term = terms_.data();
  int32_t path[kCandidates] = {};
  for (const Slot& slot : slots_) {
    int32_t at[kCandidates];
    for (int c = 0; c < kCandidates; ++c) {
      path[c] += genes[c * fields_ + slot.path.column] * slot.path.step;
      at[c] = side_entries_[static_cast<size_t>(slot.sides + path[c])];
    }
    for (const Term* last = term + slot.terms; term != last; ++term) {
      const int16_t* gene = genes + term->column;
      for (int c = 0; c < kCandidates; ++c) at[c] += gene[c * fields_] * term->step;
    }
    for (int c = 0; c < kCandidates; ++c) {
      *out = &entries_[static_cast<size_t>(at[c])];
      __builtin_prefetch(*out++);
    }
  }
}

template <int kCandidates, typename Number>
void PartTables::sum(const int16_t* genes, int32_t columns, const Entry** found, Number* out,
                     int64_t stride) const {
  find<kCandidates>(genes, found);
  for (int c = 0; c < kCandidates; ++c) {
    Entry sum{};
    double peak = 0.0;
    for (size_t slot = 0; slot < slots_.size(); ++slot) {
      const double* values = found[slot * kCandidates + static_cast<size_t>(c)]->values;
      for (int32_t s = 0; s < kEntry; ++s) sum.values[s] += values[s];
      peak = std::max(peak, values[kPeakMemory]);
    }
    sum.values[kPeakMemory] = peak;
    for (int32_t s = 0; s < kStatistics; ++s) out[c * stride + s] = static_cast<Number>(sum.values[s]);
    if (columns > kStatistics) out[c * stride + kStatistics] = static_cast<Number>(sum.values[kStatistics]);
  }
}

template <typename Number>
void PartTables::count(const int16_t* genes, int64_t count, int32_t columns, Number* out,
                       int64_t stride) const {
  const double nanoseconds = kSlotNanoseconds * static_cast<double>(slots_.size());
  for_chunks(count, kChunk, nanoseconds, [&](int64_t begin, int64_t end) {
    thread_local std::vector<const Entry*> found;
    found.resize(kTogether * slots_.size());
    int64_t i = begin;
    for (; i + kTogether <= end; i += kTogether) {
      sum<kTogether>(genes + i * fields_, columns, found.data(), out + i * stride, stride);
    }
    for (; i < end; ++i) sum<1>(genes + i * fields_, columns, found.data(), out + i * stride, stride);
  });
}

template void PartTables::count(const int16_t*, int64_t, int32_t, double*, int64_t) const;
template void PartTables::count(const int16_t*, int64_t, int32_t, int64_t*, int64_t) const;

}  // namespace narsfast
