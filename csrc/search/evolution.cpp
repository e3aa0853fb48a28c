#include "search/evolution.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "common/threads.h"

namespace narsfast {

namespace {

constexpr uint32_t kPurpose = 0x65766F6C;  // "evol": the purpose of evolution's random numbers
constexpr int64_t kChunk = 64;             // children that a thread processes at a time
constexpr double kBreedNanoseconds = 150;  // per child, measured with about 60 fields
constexpr double kRevertNanoseconds = 60;
constexpr double kKeyNanoseconds = 50;
constexpr double kUnit = 65536.0;  // probabilities are compared with 16 random bits

uint32_t threshold(double probability) {
  return static_cast<uint32_t>(std::floor(std::min(std::max(probability, 0.0), 1.0) * kUnit));
}

// The distance between the rows of a child's random words.
int64_t word_stride(int32_t fields) { return padded(fields) + kFieldBlock; }

void require_finite(const std::vector<double>& scores, int64_t count) {
  const bool finite =
      std::all_of(scores.begin(), scores.begin() + count, [](double s) { return std::isfinite(s); });
  if (!finite) throw std::invalid_argument("a score is not finite");
}

}  // namespace

void Evolution::Population::resize(int64_t individuals, int32_t fields, int32_t columns) {
  size = individuals;
  genes.resize(static_cast<size_t>(individuals * fields + kFieldBlock));  // the last row is read with padding
  statistics.resize(static_cast<size_t>(individuals * columns));
  scores.resize(static_cast<size_t>(individuals));
  keys.resize(static_cast<size_t>(individuals));
}

Evolution::Evolution(const SpaceTables& tables, std::vector<StatisticsSource*> sources, Scorer* scorer,
                     const EvolutionOptions& options, Isa isa)
    : rules_(tables),
      sources_(std::move(sources)),
      scorer_(scorer),
      options_(options),
      kernels_(search_kernels(isa)),
      stride_(padded(tables.fields)),
      sizes_(static_cast<size_t>(stride_), 1),
      max_steps_(static_cast<size_t>(stride_), 0),
      revertible_(static_cast<size_t>(stride_), 0) {
  if (options.population_size < 1 || options.children < 1 || options.patience < 1) {
    throw std::invalid_argument("population_size, children and patience must be at least 1");
  }
  if (tables.fields < 1) throw std::invalid_argument("evolution needs a space with at least one field");
  if (tables.fields >= 1 << 14) throw std::invalid_argument("a space may have at most 16383 fields");
  for (const StatisticsSource* source : sources_) columns_ += source->columns();
  std::copy(rules_.sizes().begin(), rules_.sizes().end(), sizes_.begin());
  for (const int32_t f : rules_.architecture_fields()) revertible_[f] = 1;
}

void Evolution::count(const int16_t* genes, int64_t count, double* out) {
  if (count == 0) return;
  int32_t offset = 0;
  for (StatisticsSource* source : sources_) {
    source->count(genes, count, out + offset, columns_);
    offset += source->columns();
  }
}

bool Evolution::inside(const double* statistics, const std::vector<Bound>& bounds) const {
  return std::all_of(bounds.begin(), bounds.end(), [&](const Bound& bound) {
    return statistics[bound.column] >= bound.low && statistics[bound.column] <= bound.high;
  });
}

EvolutionResult Evolution::run(const int16_t* start, int64_t count, const std::vector<Bound>& bounds) {
  if (count < 1) throw std::invalid_argument("evolution needs at least one candidate to start from");
  offspring_.resize(count, rules_.fields(), columns_);
  offspring_.genes.assign(start, start + count * rules_.fields());
  this->count(offspring_.genes.data(), count, offspring_.statistics.data());
  statistics_ = offspring_.statistics;
  children_ = offspring_.genes;
  rejected_.assign(static_cast<size_t>(count), 0);
  for (int64_t i = 0; i < count; ++i) {
    if (!inside(&statistics_[static_cast<size_t>(i * columns_)], bounds)) {
      throw std::invalid_argument("a candidate to start from is outside the bounds");
    }
  }
  population_.resize(0, rules_.fields(), columns_);
  seen_.clear();
  hash_children();
  EvolutionResult result;
  finish_generation(&result);
  result.num_offspring = result.num_evaluated = 0;  // the start does not count
  for (int32_t generation = 1; generation <= options_.generations; ++generation) {
    breed(generation);
    repair(bounds);
    finish_generation(&result);
    if (options_.each_generation) options_.each_generation(generation);
    if (stalled(result.history)) break;
  }
  const bool front = !options_.objectives.empty();
  if (front) search_neighbors(bounds, &result);
  result.size = front ? front_size_ : population_.size;
  result.genes.assign(population_.genes.begin(), population_.genes.begin() + result.size * rules_.fields());
  result.statistics.assign(population_.statistics.begin(),
                           population_.statistics.begin() + result.size * columns_);
  result.scores.assign(population_.scores.begin(), population_.scores.begin() + result.size);
  result.std.resize(static_cast<size_t>(result.size));
  scorer_->deviation(result.genes.data(), result.statistics.data(), result.size, result.std.data());
  return result;
}

void Evolution::finish_generation(EvolutionResult* result) {
  evaluate_new();
  result->num_offspring += static_cast<int64_t>(rejected_.size());
  result->num_evaluated += offspring_.size;
  if (options_.objectives.empty()) {
    select();
    result->history.push_back(population_.scores[0]);
  } else {
    select_front();
    result->history.push_back(static_cast<double>(num_new_));
  }
}

// Whether the best score gained at most `epsilon` over the last `patience` generations; for a front, whether
// nothing new entered it.
bool Evolution::stalled(const std::vector<double>& history) const {
  const auto patience = static_cast<size_t>(options_.patience);
  if (history.size() <= patience) return false;
  if (options_.objectives.empty()) {
    return history.back() - history[history.size() - 1 - patience] <= options_.epsilon;
  }
  return std::all_of(history.end() - options_.patience, history.end(), [](double n) { return n == 0.0; });
}

// The adaptive rates of Srinivas and Patnaik: `a` is 1 for scores at or below the average and falls linearly
// to 0 for the best. The probability of crossover is crossover * a, that of mutation mutation * (1 + 2 a) /
// (searched fields).
std::vector<Evolution::Rates> Evolution::rates() const {
  const std::vector<double>& scores = population_.scores;
  const double best = scores[0];
  const bool front = !options_.objectives.empty();  // all individuals of a front are equally good
  double sum = 0.0;
  for (int64_t i = 0; i < population_.size; ++i) sum += scores[static_cast<size_t>(i)];
  const double mean = sum / static_cast<double>(population_.size);
  std::vector<Rates> rates;
  for (int64_t i = 0; i < population_.size; ++i) {
    const double above = best - mean;
    const double share = !front && above > 0.0 ? (best - scores[static_cast<size_t>(i)]) / above : 1.0;
    const double a = std::min(std::max(share, 0.0), 1.0);
    const int32_t searched =
        rules_.count_searched(&population_.genes[static_cast<size_t>(i * rules_.fields())]);
    const double mutation = options_.mutation * (1.0 + 2.0 * a) / std::max(searched, 1);
    rates.push_back({threshold(options_.crossover * a), threshold(mutation)});
  }
  return rates;
}

void Evolution::breed(int32_t generation) {
  const int32_t fields = rules_.fields();
  const int64_t parents = population_.size;
  const int64_t count = parents * options_.children;
  raw_.resize(static_cast<size_t>(count * stride_));
  priorities_.resize(raw_.size());
  children_.resize(static_cast<size_t>(count * fields));
  for (int32_t f = 0; f < fields; ++f) {
    const int64_t range = rules_.ranges()[f];
    const int64_t left = std::max(options_.generations - generation, 0);
    // The largest step of a range field shrinks over the generations, from half of the range to 1.
    const int64_t max_step =
        (range - 1) * left / (2 * static_cast<int64_t>(std::max(options_.generations, 1)));
    max_steps_[f] = range > 0 ? static_cast<int32_t>(std::max<int64_t>(max_step, 1)) : 0;
  }
  const BreedFields breed_fields{fields, sizes_.data(), max_steps_.data()};
  const std::vector<Rates> rates = this->rates();
  const PhiloxKey key = make_key(options_.seed, kPurpose);
  const int64_t stride = word_stride(fields);
  for_chunks(count, kChunk, kBreedNanoseconds, [&](int64_t begin, int64_t end) {
    thread_local std::vector<uint32_t> words;
    words.resize(static_cast<size_t>(4 * stride));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t parent = i / options_.children;
      kernels_.random_words(key, static_cast<uint32_t>(i % options_.children), static_cast<uint32_t>(parent),
                            static_cast<uint32_t>(generation), (fields + 1) / 2 + 1, stride, words.data());
      // Block 0 picks the mate among the others.
      int64_t mate =
          parents > 1 ? static_cast<int64_t>(words[0] * static_cast<uint64_t>(parents - 1) >> 32) : 0;
      mate += parents > 1 && mate >= parent;
      const Mating mating{&population_.genes[static_cast<size_t>(parent * fields)],
                          &population_.genes[static_cast<size_t>(mate * fields)],
                          rates[static_cast<size_t>(parent)].crossover,
                          rates[static_cast<size_t>(parent)].mutation};
      int16_t* raw = &raw_[static_cast<size_t>(i * stride_)];
      kernels_.breed(breed_fields, mating, words.data(), stride, raw,
                     &priorities_[static_cast<size_t>(i * stride_)]);
      int16_t* child = &children_[static_cast<size_t>(i * fields)];
      std::copy(raw, raw + fields, child);
      rules_.canonicalize(child);
    }
  });
}

// Reverts architecture fields of a child to the parent's values, one at a time in the child's random order,
// until its genes have changed. Returns false if there is nothing left to revert.
bool Evolution::revert(int64_t child) {
  const int32_t fields = rules_.fields();
  int16_t* raw = &raw_[static_cast<size_t>(child * stride_)];
  const uint16_t* priorities = &priorities_[static_cast<size_t>(child * stride_)];
  const int16_t* parent = &population_.genes[static_cast<size_t>(child / options_.children * fields)];
  int16_t* genes = &children_[static_cast<size_t>(child * fields)];
  for (;;) {
    const int32_t f = kernels_.next_revert(fields, raw, parent, priorities, revertible_.data());
    if (f < 0) return false;
    raw[f] = parent[f];
    const int16_t before = genes[f];
    std::copy(raw, raw + fields, genes);
    rules_.canonicalize(genes);
    // Reverting a field that is inactive before and after changes nothing.
    if (genes[f] != before) return true;
  }
}

// Repairs in rounds: each child outside the bounds reverts one field, and all of them are counted in one
// batch. This ends, because the parents are inside.
void Evolution::repair(const std::vector<Bound>& bounds) {
  const int32_t fields = rules_.fields();
  const int64_t count = static_cast<int64_t>(children_.size()) / fields;
  statistics_.resize(static_cast<size_t>(count * columns_));
  rejected_.assign(static_cast<size_t>(count), 0);
  this->count(children_.data(), count, statistics_.data());
  std::vector<int64_t> outside;
  for (int64_t i = 0; i < count; ++i) {
    if (!inside(&statistics_[static_cast<size_t>(i * columns_)], bounds)) outside.push_back(i);
  }
  std::vector<int16_t> genes;
  std::vector<double> statistics;
  while (!outside.empty()) {
    for_chunks(static_cast<int64_t>(outside.size()), kChunk, kRevertNanoseconds,
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t child = outside[static_cast<size_t>(i)];
                   rejected_[static_cast<size_t>(child)] = !revert(child);
                 }
               });
    outside.erase(std::remove_if(outside.begin(), outside.end(),
                                 [&](int64_t child) { return rejected_[static_cast<size_t>(child)] != 0; }),
                  outside.end());
    genes.clear();
    for (const int64_t child : outside) {
      const auto first = children_.begin() + child * fields;
      genes.insert(genes.end(), first, first + fields);
    }
    statistics.resize(outside.size() * static_cast<size_t>(columns_));
    this->count(genes.data(), static_cast<int64_t>(outside.size()), statistics.data());
    size_t remaining = 0;
    for (size_t i = 0; i < outside.size(); ++i) {
      const double* row = statistics.data() + i * static_cast<size_t>(columns_);
      std::copy(row, row + columns_, statistics_.begin() + outside[i] * columns_);
      if (!inside(row, bounds)) outside[remaining++] = outside[i];
    }
    outside.resize(remaining);
  }
  hash_children();
}

void Evolution::hash_children() {
  const int32_t fields = rules_.fields();
  const int64_t count = static_cast<int64_t>(children_.size()) / fields;
  keys_.resize(static_cast<size_t>(count));
  for_chunks(count, kChunk, kKeyNanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      keys_[static_cast<size_t>(i)] = gene_key(&children_[static_cast<size_t>(i * fields)], fields);
    }
  });
}

// Drops rejected children and those seen before, and evaluates the rest in one batch. A candidate that left
// the population cannot return to it, because the worst score never falls.
void Evolution::evaluate_new() {
  const int32_t fields = rules_.fields();
  const int64_t count = static_cast<int64_t>(keys_.size());
  offspring_.resize(count, fields, columns_);
  int64_t size = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (rejected_[static_cast<size_t>(i)] != 0 || !seen_.insert(keys_[static_cast<size_t>(i)])) continue;
    std::copy_n(children_.begin() + i * fields, fields, offspring_.genes.begin() + size * fields);
    std::copy_n(statistics_.begin() + i * columns_, columns_,
                offspring_.statistics.begin() + size * columns_);
    offspring_.keys[static_cast<size_t>(size++)] = keys_[static_cast<size_t>(i)];
  }
  offspring_.resize(size, fields, columns_);
  if (size == 0) return;
  scorer_->score(offspring_.genes.data(), offspring_.statistics.data(), size, offspring_.scores.data());
  require_finite(offspring_.scores, size);
}

// Selects the best of the population and the offspring; equal scores are ordered by key.
void Evolution::select() {
  std::vector<int64_t> order(static_cast<size_t>(population_.size + offspring_.size));
  std::iota(order.begin(), order.end(), 0);
  const auto pick = [&](const auto& old_values, const auto& new_values, int64_t i) {
    return i < population_.size ? old_values[static_cast<size_t>(i)]
                                : new_values[static_cast<size_t>(i - population_.size)];
  };
  const auto better = [&](int64_t a, int64_t b) {
    const double score_a = pick(population_.scores, offspring_.scores, a);
    const double score_b = pick(population_.scores, offspring_.scores, b);
    if (score_a != score_b) return score_a > score_b;
    return pick(population_.keys, offspring_.keys, a) < pick(population_.keys, offspring_.keys, b);
  };
  const int64_t size = std::min<int64_t>(options_.population_size, static_cast<int64_t>(order.size()));
  std::partial_sort(order.begin(), order.begin() + size, order.end(), better);
  order.resize(static_cast<size_t>(size));
  replace_population(order);
}

// Replaces the population by the selected candidates: indices into the population, followed by the offspring.
void Evolution::replace_population(const std::vector<int64_t>& selected) {
  const int32_t fields = rules_.fields();
  next_.resize(static_cast<int64_t>(selected.size()), fields, columns_);
  for (int64_t i = 0; i < next_.size; ++i) {
    const bool old = selected[static_cast<size_t>(i)] < population_.size;
    const Population& from = old ? population_ : offspring_;
    const int64_t at = selected[static_cast<size_t>(i)] - (old ? 0 : population_.size);
    std::copy_n(from.genes.begin() + at * fields, fields, next_.genes.begin() + i * fields);
    std::copy_n(from.statistics.begin() + at * columns_, columns_, next_.statistics.begin() + i * columns_);
    next_.scores[static_cast<size_t>(i)] = from.scores[static_cast<size_t>(at)];
    next_.keys[static_cast<size_t>(i)] = from.keys[static_cast<size_t>(at)];
  }
  std::swap(population_, next_);
}

}  // namespace narsfast
