#include "search/predictor.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "common/threads.h"

namespace narsfast {

namespace {

// Candidates that go through all layers together; their activations stay in the L2 cache.
constexpr int64_t kChunk = 64;
constexpr double kMultiplyAddsPerNanosecond = 25;  // approximate speed of one core

// A buffer of floats of the calling thread, aligned to a cache line; valid until the thread's next call.
float* scratch(int64_t floats) {
  constexpr size_t kLine = 64 / sizeof(float);
  thread_local std::vector<float> buffer;
  if (buffer.size() < static_cast<size_t>(floats) + kLine) buffer.resize(static_cast<size_t>(floats) + kLine);
  const size_t past = reinterpret_cast<uintptr_t>(buffer.data()) / sizeof(float) % kLine;
  return buffer.data() + (past == 0 ? 0 : kLine - past);
}

void require_width(const char* layer, int64_t got, int64_t wanted) {
  if (got != wanted) {
    throw std::invalid_argument(std::string(layer) + " has " + std::to_string(got) + " inputs, expected " +
                                std::to_string(wanted));
  }
}

}  // namespace

Predictor::Predictor(const SpaceTables& tables, const PredictorWeights& weights, Isa isa)
    : rules_(tables),
      kernels_(search_kernels(isa)),
      members_(weights.members),
      statistics_(weights.statistics),
      output_mean_(weights.output_mean),
      output_scale_(weights.output_scale),
      deviation_scale_(weights.deviation_scale),
      deviation_floor_(weights.deviation_floor) {
  if (members_ < 1) throw std::invalid_argument("a predictor needs at least one member");
  if (weights.head.empty() || weights.head.back().outputs != 1) {
    throw std::invalid_argument("the last layer of the head must have one output");
  }
  for (int32_t s = 0; s < statistics_; ++s) {
    const double std = weights.statistic_std[s];
    statistic_mean_.push_back(weights.statistic_mean[s]);
    statistic_scale_.push_back(std == 0.0 ? 1.0 : 1.0 / std);
  }
  const auto plain = [](int64_t first, int64_t count, std::vector<Row>* rows) {
    for (int64_t k = first; k < first + count; ++k) rows->push_back({k, -1});
  };
  int64_t width = rules_.features(kArchitecture);
  for (const LayerWeights& layer : weights.encoder) {
    require_width("a layer of the encoder", layer.inputs, width);
    std::vector<Row> rows;
    if (encoder_.empty()) {
      add_rows(kArchitecture, 0, &rows);
    } else {
      plain(0, width, &rows);
    }
    encoder_.push_back(pack(layer, true, rows));
    width = layer.outputs;
    max_width_ = std::max(max_width_, width);
  }
  embedding_ = encoder_.empty() ? 0 : width;
  width = embedding_ + statistics_ + rules_.features(kRecipe);
  for (const LayerWeights& layer : weights.head) {
    require_width("a layer of the head", layer.inputs, width);
    std::vector<Row> rows;
    if (head_.empty()) {  // inputs that all members share come before the embedding here
      plain(embedding_, statistics_, &rows);
      add_rows(kRecipe, embedding_ + statistics_, &rows);
      plain(0, embedding_, &rows);
    } else {
      plain(0, width, &rows);
    }
    head_.push_back(pack(layer, &layer != &weights.head.back(), rows));
    width = layer.outputs;
    max_width_ = std::max(max_width_, width);
  }
}

void Predictor::add_rows(FieldPart part, int64_t first, std::vector<Row>* rows) const {
  for (const GeneRules::Input& input : rules_.inputs(part)) {
    rows->push_back({first + input.feature, input.reference < 0 ? -1 : first + input.reference});
  }
}

DenseLayer Predictor::Packed::of(int32_t member) const {
  return {inputs, outputs, weights.data() + member * inputs * outputs, bias.data() + member * outputs, relu};
}

Predictor::Packed Predictor::pack(const LayerWeights& layer, bool relu, const std::vector<Row>& rows) {
  const auto inputs = static_cast<int64_t>(rows.size());
  Packed packed{inputs, layer.outputs, relu, {}, {}};
  multiply_adds_ += members_ * inputs * layer.outputs;
  packed.bias.assign(layer.bias, layer.bias + members_ * layer.outputs);
  packed.weights.reserve(static_cast<size_t>(members_ * inputs * layer.outputs));
  for (int32_t member = 0; member < members_; ++member) {
    const float* weights = layer.weights + member * layer.inputs * layer.outputs;
    for (int64_t first = 0; first < layer.outputs; first += kernels_.neurons) {
      const int64_t last = std::min(first + kernels_.neurons, layer.outputs);
      for (const Row& row : rows) {
        const float* own = weights + row.row * layer.outputs;
        const float* reference = row.reference < 0 ? nullptr : weights + row.reference * layer.outputs;
        for (int64_t o = first; o < last; ++o) {
          packed.weights.push_back(reference == nullptr ? own[o] : own[o] - reference[o]);
        }
      }
    }
    float* bias = packed.bias.data() + member * layer.outputs;
    int64_t added = -1;
    for (const Row& row : rows) {  // the rows of a field are consecutive
      if (row.reference < 0 || row.reference == added) continue;
      added = row.reference;
      for (int64_t o = 0; o < layer.outputs; ++o) bias[o] += weights[added * layer.outputs + o];
    }
  }
  return packed;
}

void Predictor::score(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                      double* std) const {
  for_chunks(count, kChunk, static_cast<double>(multiply_adds_) / kMultiplyAddsPerNanosecond,
             [&](int64_t begin, int64_t end) {
               score_chunk(genes + begin * fields(), statistics + begin * statistics_, end - begin,
                           mean + begin, std == nullptr ? nullptr : std + begin);
             });
}

void Predictor::score_chunk(const int16_t* genes, const double* statistics, int64_t count, double* mean,
                            double* std) const {
  const int64_t tile = kernels_.tile;
  const int64_t tiles = (count + tile - 1) / tile;
  const int64_t features = static_cast<int64_t>(rules_.inputs(kArchitecture).size()) * tile;
  const int64_t joint_width = statistics_ + static_cast<int64_t>(rules_.inputs(kRecipe).size()) + embedding_;
  const int64_t joint = joint_width * tile;
  const int64_t layer = max_width_ * tile;

  float* const architecture = scratch(tiles * (features + joint + 2 * layer));
  float* const head_input = architecture + tiles * features;
  float* const buffers[2] = {head_input + tiles * joint, head_input + tiles * (joint + layer)};

  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t in_tile = std::min(tile, count - t * tile);
    const int16_t* tile_genes = genes + t * tile * fields();
    if (!encoder_.empty()) {
      rules_.write_inputs(kArchitecture, tile_genes, in_tile, tile, architecture + t * features);
    }
    float* column = head_input + t * joint;
    for (int32_t s = 0; s < statistics_; ++s, column += tile) {
      const double* value = statistics + t * tile * statistics_ + s;
      for (int64_t i = 0; i < tile; ++i) {
        const double z = i < in_tile
                             ? std::log(std::max(value[i * statistics_], kMinStatistic)) - statistic_mean_[s]
                             : 0.0;
        column[i] = static_cast<float>(z * statistic_scale_[s]);
      }
    }
    rules_.write_inputs(kRecipe, tile_genes, in_tile, tile, column);
  }

  const int64_t embedding_offset = (joint_width - embedding_) * tile;
  thread_local std::vector<double> values;
  values.assign(static_cast<size_t>(members_ * count), 0.0);
  for (int32_t member = 0; member < members_; ++member) {
    const float* input = architecture;
    int64_t stride = features;
    for (size_t l = 0; l < encoder_.size(); ++l) {
      const bool last = l + 1 == encoder_.size();
      float* output = last ? head_input + embedding_offset : buffers[l % 2];
      kernels_.dense(encoder_[l].of(member), input, stride, tiles, output, last ? joint : layer);
      input = output;
      stride = layer;
    }
    input = head_input;
    stride = joint;
    for (size_t l = 0; l < head_.size(); ++l) {
      kernels_.dense(head_[l].of(member), input, stride, tiles, buffers[l % 2], layer);
      input = buffers[l % 2];
      stride = layer;
    }
    for (int64_t i = 0; i < count; ++i) {
      values[static_cast<size_t>(i * members_ + member)] = input[i / tile * layer + i % tile];
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    const double* value = &values[static_cast<size_t>(i * members_)];
    double sum = 0.0;
    for (int32_t m = 0; m < members_; ++m) sum += value[m];
    const double output = sum / members_;
    const Expanded expanded = expand(output);
    mean[i] = output_mean_ + output_scale_ * expanded.value;
    if (std == nullptr) continue;
    double squares = 0.0;
    for (int32_t m = 0; m < members_; ++m) squares += (value[m] - output) * (value[m] - output);
    const double deviation = std::sqrt(squares / members_ + deviation_floor_ * deviation_floor_);
    std[i] = output_scale_ * expanded.slope * deviation_scale_ * deviation;
  }
}

}  // namespace narsfast
