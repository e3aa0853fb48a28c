#include "cost/part_tables.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/threads.h"
#include "cost/rows.h"

namespace narsfast {
namespace {

constexpr int64_t kMaxParts = int64_t{1} << 19;  // 100 bytes each
constexpr int64_t kMaxPaths = int64_t{1} << 16;
constexpr double kMaxExactInteger = 9007199254740992.0;  // 2^53: doubles represent all integers up to it
constexpr int64_t kChunk = 256;
constexpr int kBatch = 8;               // candidates looked up together, to overlap memory accesses
constexpr double kSlotNanoseconds = 4;  // to look up one part

using Part = std::array<int32_t, kPartColumns>;

// `head` has what all heads of a space share.
Totals count_part(const Part& part, Head head, int32_t classes) {
  Map map{part[kPartIn], part[kPartSide]};
  if (part[kPartKind] == kStem) return count_stem(part[kPartOut], map);
  if (part[kPartKind] == kHead) {
    head.expansion = part[kPartExpansion];
    head.features = part[kPartOut];
    return count_head(head, classes, map);
  }
  Totals totals;
  if (part[kPartRepeats] == 0) return totals;
  const Block block{part[kPartBlock], part[kPartStartKernel], part[kPartKernel],     part[kPartExpansion], 0,
                    part[kPartOut],   part[kPartStride],      part[kPartKernel] / 2, part[kPartSeWidth]};
  totals.add(count_block(block, map), part[kPartRepeats]);
  return totals;
}

}  // namespace

// Builds the slots in the order of the network's parts.
class PartTables::Builder {
 public:
  Builder(const SpaceTables& space, int32_t classes, PartTables* tables)
      : space_(space), classes_(classes), tables_(tables) {
    tables_->fields_ = space.fields;
    head_.hidden = constant(space.header_columns[kHeadHidden]);
    head_.bias = constant(space.header_columns[kHeadBias]) != 0;
    head_.norm = constant(space.header_columns[kHeadNorm]) != 0;
    const int32_t resolution = space.header_columns[kResolution];
    path_ = {resolution, 1};
    for (int32_t gene = 0; gene < space.sizes[resolution]; ++gene) {
      sides_.push_back(number(resolution, gene));
    }
  }

  // The next slot's parts depend on `field`, if there is one: its values are added to the part's `column`.
  void depend(PartColumn column, int32_t field) {
    if (field < 0) return;
    const auto known = std::find_if(dependencies_.begin(), dependencies_.end(),
                                    [&](const Dependency& dependency) { return dependency.field == field; });
    if (known != dependencies_.end()) {
      known->columns.push_back(column);
    } else {
      dependencies_.push_back({field, {column}});
    }
  }

  // Adds the slot of the next part, and all parts that it can be. Returns false if there are too many.
  bool add(Part part) {
    std::vector<int32_t> distinct = sides_;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    const int64_t first = tables_->parts();
    int64_t parts_per_side = 1;
    for (const Dependency& dependency : dependencies_) {
      parts_per_side *= space_.sizes[dependency.field];
      if (first + parts_per_side * static_cast<int64_t>(distinct.size()) > kMaxParts) return false;
    }

    Slot slot{path_, static_cast<int32_t>(tables_->side_entries_.size()), 0};
    path_ = {path_.column, 0};
    for (const int32_t side : sides_) {
      const auto place = std::lower_bound(distinct.begin(), distinct.end(), side) - distinct.begin();
      tables_->side_entries_.push_back(static_cast<int32_t>(first + place * parts_per_side));
    }
    int64_t step = parts_per_side;
    for (const Dependency& dependency : dependencies_) {
      step /= space_.sizes[dependency.field];
      if (space_.sizes[dependency.field] == 1) continue;
      tables_->terms_.push_back({dependency.field, static_cast<int32_t>(step)});
      ++slot.terms;
    }
    tables_->slots_.push_back(slot);

    std::array<double, kStatistics> largest{};
    for (const int32_t side : distinct) {
      part[kPartSide] = side;
      for (int64_t index = 0; index < parts_per_side; ++index) write(part, index, parts_per_side, &largest);
    }
    for (int s = 0; s < kStatistics; ++s) largest_[s] += largest[s];
    dependencies_.clear();
    return true;
  }

  // Moves past the stem, which has stride 2.
  void apply_stem() {
    for (int32_t& side : sides_) side = (side - 1) / 2 + 1;
  }

  // Moves past a block with the stride of `field`. Returns false if there are too many paths.
  bool apply_stride(int32_t field) {
    const auto paths = static_cast<int64_t>(sides_.size());
    const int64_t size = space_.sizes[field];
    if (paths * size > kMaxPaths) return false;
    std::vector<int32_t> sides;
    for (int64_t gene = 0; gene < size; ++gene) {
      for (const int32_t side : sides_) sides.push_back((side - 1) / number(field, gene) + 1);
    }
    sides_ = std::move(sides);
    path_ = {field, static_cast<int32_t>(paths)};
    return true;
  }

  // Whether doubles represent all sums of entries exactly.
  bool is_exact() const {
    return fits_ &&
           std::all_of(largest_.begin(), largest_.end(), [](double sum) { return sum < kMaxExactInteger; });
  }

 private:
  struct Dependency {
    int32_t field;
    std::vector<PartColumn> columns;
  };

  int32_t number(int32_t field, int64_t gene) const {
    return space_.numbers[static_cast<int64_t>(field) * space_.values + gene];
  }

  // The one value of a field that all networks share; 0 without the field.
  int32_t constant(int32_t field) const { return field < 0 ? 0 : number(field, 0); }

  void write(Part part, int64_t index, int64_t parts, std::array<double, kStatistics>* largest) {
    for (const Dependency& dependency : dependencies_) {
      const int64_t size = space_.sizes[dependency.field];
      parts /= size;
      for (const PartColumn column : dependency.columns) {
        part[column] += number(dependency.field, index / parts % size);
      }
    }
    if (part[kPartSe] == 0) part[kPartSeWidth] = 0;
    tables_->parts_.insert(tables_->parts_.end(), part.begin(), part.end());
    std::array<int64_t, kStatistics> statistics{};
    const Totals totals = count_part(part, head_, classes_);
    fits_ = fits_ && totals.fits;
    totals.write(statistics.data());
    Entry entry{};
    for (int s = 0; s < kStatistics; ++s) {
      entry.values[s] = static_cast<double>(statistics[s]);
      (*largest)[s] = std::max((*largest)[s], entry.values[s]);
    }
    tables_->entries_.push_back(entry);
  }

  const SpaceTables& space_;
  int32_t classes_;
  Head head_{};
  PartTables* tables_;
  std::vector<int32_t> sides_;  // by path, at the current place in the network
  Term path_{0, 0};             // what the next slot adds to the path
  std::vector<Dependency> dependencies_;
  std::array<double, kStatistics> largest_{};
  bool fits_ = true;
};

std::unique_ptr<PartTables> PartTables::make(const SpaceTables& space, int32_t in_channels, int32_t classes) {
  const auto all = [&](int32_t field, bool (*holds)(int32_t)) {
    const int32_t* numbers = space.numbers + static_cast<int64_t>(field) * space.values;
    return std::all_of(numbers, numbers + space.sizes[field], holds);
  };
  const auto positive = [](int32_t number) { return number >= 1; };
  const auto odd = [](int32_t number) { return number >= 1 && number % 2 == 1; };
  for (const int column : {kResolution, kStemChannels}) {
    if (!all(space.header_columns[column], positive)) return nullptr;
  }
  std::unique_ptr<PartTables> tables(new PartTables);
  Builder builder(space, classes, tables.get());
  builder.depend(kPartOut, space.header_columns[kStemChannels]);
  builder.depend(kPartAct, space.header_columns[kNetworkAct]);
  if (!builder.add({kStem, 3, 0, in_channels, 0, 2, 0, 0, 0, 0, 0, 0, 1})) return nullptr;
  builder.apply_stem();
  int32_t in = space.header_columns[kStemChannels];
  for (int32_t stage = 0; stage < space.stages; ++stage) {
    const int32_t* fields = space.stage_columns + static_cast<int64_t>(stage) * kStageColumns;
    for (int column = 0; column < kStageSe; ++column) {
      if (!all(fields[column], positive)) return nullptr;
    }
    if (!all(fields[kKernelFirst], odd) || !all(fields[kKernelRest], odd)) return nullptr;
    builder.depend(kPartKernel, fields[kKernelFirst]);
    builder.depend(kPartExpansion, fields[kExpansionFirst]);
    builder.depend(kPartIn, in);
    builder.depend(kPartOut, fields[kStageChannels]);
    builder.depend(kPartStride, fields[kStageStride]);
    const auto depend_on_options = [&] {
      builder.depend(kPartSe, fields[kStageSe]);
      builder.depend(kPartAct, fields[kStageAct]);
      builder.depend(kPartBlock, fields[kStageKind]);
      builder.depend(kPartStartKernel, fields[kStageStartKernel]);
      builder.depend(kPartSeWidth, fields[kStageSeWidth]);
    };
    const int32_t se_width = fields[kStageSeWidth] < 0 ? kSeInputQuarter : 0;
    depend_on_options();
    if (!builder.add({kBlocks, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, se_width, 1})) return nullptr;
    if (!builder.apply_stride(fields[kStageStride])) return nullptr;
    in = fields[kStageChannels];
    if (all(fields[kDepth], [](int32_t number) { return number == 1; }))
      continue;  // no candidate has a second block
    builder.depend(kPartKernel, fields[kKernelRest]);
    builder.depend(kPartExpansion, fields[kExpansionRest]);
    builder.depend(kPartIn, in);
    builder.depend(kPartOut, in);
    depend_on_options();
    builder.depend(kPartRepeats, fields[kDepth]);
    if (!builder.add({kBlocks, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, se_width, -1})) return nullptr;
  }
  builder.depend(kPartExpansion, space.header_columns[kHeadExpansion]);
  builder.depend(kPartIn, in);
  builder.depend(kPartOut, space.header_columns[kHeadFeatures]);
  builder.depend(kPartAct, space.header_columns[kNetworkAct]);
  if (!builder.add({kHead, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1})) return nullptr;
  return builder.is_exact() ? std::move(tables) : nullptr;
}

void PartTables::add_cost(const double* cost) {
  for (int64_t i = 0; i < parts(); ++i) entries_[static_cast<size_t>(i)].values[kStatistics] = cost[i];
}

template <int kCandidates>
void PartTables::find_entries(const int16_t* genes, const Entry** out) const {
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
void PartTables::sum_entries(const int16_t* genes, int32_t columns, const Entry** found, Number* out,
                             int64_t stride) const {
  find_entries<kCandidates>(genes, found);
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
    found.resize(kBatch * slots_.size());
    int64_t i = begin;
    for (; i + kBatch <= end; i += kBatch) {
      sum_entries<kBatch>(genes + i * fields_, columns, found.data(), out + i * stride, stride);
    }
    for (; i < end; ++i) sum_entries<1>(genes + i * fields_, columns, found.data(), out + i * stride, stride);
  });
}

template void PartTables::count(const int16_t*, int64_t, int32_t, double*, int64_t) const;
template void PartTables::count(const int16_t*, int64_t, int32_t, int64_t*, int64_t) const;

}  // namespace narsfast
