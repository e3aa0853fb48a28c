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

// Fields as the breeding kernel wants them, all (F,).
struct BreedFields {
  int32_t fields;
  const int32_t* sizes;
  const int32_t* reaches;  // largest step of a range field, at least 1; 0 marks a categorical field
};

// Who breeds: rows of genes, and probabilities in units of 1 / 65536.
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

  // words[w * stride + b] = word w of the counter (b, child, parent, generation), b < blocks. stride is a
  // multiple of 16 and at least `blocks`; what lies between is overwritten.
  void (*random_words)(PhiloxKey key, uint32_t child, uint32_t parent, uint32_t generation, int32_t blocks,
                       int64_t stride, uint32_t* words);

  // Per-field crossover, then mutation, of one child. words: block 1 + f holds in its words 0 and 1 what the
  // field f needs, and in words 2 and 3 what the field f + ceil(F / 2) needs. priorities (F,): the order of
  // repair.
  void (*breed)(const BreedFields& fields, const Mating& mating, const uint32_t* words, int64_t stride,
                int16_t* child, uint16_t* priorities);
};

const SearchKernels& search_kernels(Isa isa);

}  // namespace narsfast
