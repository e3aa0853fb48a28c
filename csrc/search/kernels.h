#pragma once

#include <cstdint>

#include "common/dispatch.h"
#include "common/random.h"

namespace narsfast {

// One dense layer over candidates that lie across the lanes. Activations of a tile of `tile` candidates are
// (width, tile), so that the output of a layer is the input of the next without any transposition.
struct DenseLayer {
  int64_t inputs;
  int64_t outputs;
  // Blocks of `neurons` outputs (the last one may be narrower), each (inputs, outputs in the block).
  const float* weights;
  const float* bias;  // (outputs,)
  bool relu;
};

// Rows that the breeding kernels read and write are padded to whole strips of fields.
constexpr int32_t kStrip = 16;
inline constexpr int32_t padded(int32_t fields) { return (fields + kStrip - 1) / kStrip * kStrip; }

// Fields as the breeding kernels want them: arrays of padded(F), 1 and 0 in the padding.
struct BreedFields {
  int32_t fields;
  const int32_t* sizes;
  const int32_t* reaches;  // largest step of a range field, at least 1; 0 marks a categorical field
};

// Who breeds: rows of genes, readable up to padded(F), and probabilities in units of 1 / 65536.
struct Mating {
  const int16_t* parent;
  const int16_t* mate;
  uint32_t crossover;
  uint32_t mutation;
};

// Functions compiled once per instruction set from one source.
struct SearchKernels {
  int64_t tile;     // candidates that a tile holds
  int64_t neurons;  // outputs in a block of packed weights

  // input: tiles of (layer.inputs, tile), `input_stride` floats apart; the same for output.
  void (*dense)(const DenseLayer& layer, const float* input, int64_t input_stride, int64_t tiles,
                float* output, int64_t output_stride);

  // words[w * stride + b] = word w of the counter (b, child, parent, generation), b < blocks. stride is at
  // least padded(blocks); what lies between is overwritten.
  void (*random_words)(PhiloxKey key, uint32_t child, uint32_t parent, uint32_t generation, int32_t blocks,
                       int64_t stride, uint32_t* words);

  // Per-field crossover, then mutation, of one child. words: block 1 + f holds in its words 0 and 1 what the
  // field f needs, and in words 2 and 3 what the field f + ceil(F / 2) needs; the rows are moved together,
  // and stride is at least padded(F) + kStrip. child and priorities (the order of repair): padded(F).
  void (*breed)(const BreedFields& fields, const Mating& mating, uint32_t* words, int64_t stride,
                int16_t* child, uint16_t* priorities);

  // The field of lowest priority, then of lowest column, in which child and parent differ and `revertible` is
  // not 0; -1 if there is none. All padded(F), `revertible` 0 in the padding.
  int32_t (*next_revert)(int32_t fields, const int16_t* child, const int16_t* parent,
                         const uint16_t* priorities, const int16_t* revertible);
};

const SearchKernels& search_kernels(Isa isa);

}  // namespace narsfast
