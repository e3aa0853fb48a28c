// The part of Evolution for fronts: the population is a front instead of the best by score.
#include <algorithm>

#include "search/evolution.h"
#include "search/front.h"

namespace narsfast {

void Evolution::select_front() {
  FrontValues values;
  values.statistics = static_cast<int32_t>(options_.objectives.size());
  for (const Population* from : {&population_, &offspring_}) {
    for (int64_t i = 0; i < from->size; ++i) {
      for (const int32_t column : options_.objectives) {
        values.values.push_back(from->statistics[static_cast<size_t>(i * columns_ + column)]);
      }
    }
    values.scores.insert(values.scores.end(), from->scores.begin(), from->scores.begin() + from->size);
    values.keys.insert(values.keys.end(), from->keys.begin(), from->keys.begin() + from->size);
  }
  const std::vector<int64_t> selected = select_fronts(values, options_.population_size, &front_size_);
  num_new_ = std::count_if(selected.begin(), selected.begin() + front_size_,
                           [&](int64_t i) { return i >= population_.size; });
  replace_population(selected);
}

// Lists all changes of one field of every individual of the first front that was not expanded yet.
void Evolution::list_neighbors(KeySet* expanded) {
  const int32_t fields = rules_.fields();
  children_.clear();
  for (int64_t i = 0; i < front_size_; ++i) {
    if (!expanded->insert(population_.keys[static_cast<size_t>(i)])) continue;
    const int16_t* genes = &population_.genes[static_cast<size_t>(i * fields)];
    for (int32_t f = 0; f < fields; ++f) {
      for (int32_t value = 0; value < rules_.sizes()[static_cast<size_t>(f)]; ++value) {
        if (value == genes[f]) continue;
        children_.insert(children_.end(), genes, genes + fields);
        int16_t* child = &children_[children_.size() - static_cast<size_t>(fields)];
        child[f] = static_cast<int16_t>(value);
        rules_.canonicalize(child);
      }
    }
  }
}

// Evaluates the neighbors of the front until nothing new enters it. A front that fills the population is left
// as it is, since it was thinned and there would always be more.
void Evolution::search_neighbors(const std::vector<Bound>& bounds, EvolutionResult* result) {
  KeySet expanded;
  expanded.clear();
  for (int32_t round = 0; round < options_.generations && front_size_ < options_.population_size; ++round) {
    list_neighbors(&expanded);
    const auto count = static_cast<int64_t>(children_.size()) / rules_.fields();
    statistics_.resize(static_cast<size_t>(count * columns_));
    this->count(children_.data(), count, statistics_.data());
    rejected_.assign(static_cast<size_t>(count), 0);
    for (int64_t i = 0; i < count; ++i) {
      rejected_[static_cast<size_t>(i)] = !inside(&statistics_[static_cast<size_t>(i * columns_)], bounds);
    }
    hash_children();
    finish_generation(result);
    if (num_new_ == 0) break;
    if (options_.each_generation) options_.each_generation(round);
  }
}

}  // namespace narsfast
