#pragma once

#include <cstdint>

#include "common/dispatch.h"
#include "common/random.h"

namespace narsfast {

// A dense layer over a tile of candidates, one candidate per lane. Activations of a tile are (width, tile),
// so the output of a layer is the input of the next without a transposition.
struct DenseLayer {
  int64_t inputs;
  int64_t outputs;
  // Blocks of `neurons` outputs (the last may have fewer), (inputs, outputs of the block) each.
  const float* weights;
  const float* bias;  // (outputs,)
  bool relu;
};

// Rows of genes that the breeding kernels read and write are padded to whole blocks of fields.
constexpr int32_t kFieldBlock = 16;
inline constexpr int32_t padded(int32_t fields) {
  return (fields + kFieldBlock - 1) / kFieldBlock * kFieldBlock;
}

// The fields for the breeding kernels: arrays of padded(F), with size 1 and step 0 in the padding.
struct BreedFields {
  int32_t fields;
  const int32_t* sizes;
  const int32_t* max_steps;  // largest step of a range field, at least 1; 0 marks a categorical field
};

// The parents of a child, as rows of genes readable up to padded(F), and probabilities in units of 1 / 65536.
struct Mating {
  const int16_t* parent;
  const int16_t* mate;
  uint32_t crossover;
  uint32_t mutation;
};

// Rows of labels are padded to whole blocks.
constexpr int64_t kLabelBlock = 16;

// Where a candidate is among the labels of a Gaussian process: for each part of the space, the rows of a
// table (any, stride) whose sum is the distance from each label.
struct LabelRows {
  const float* table;
  int64_t stride;  // labels, whole blocks of kLabelBlock
  const int32_t* rows[2];
  int32_t counts[2];
};

// Functions of one instruction set, compiled from a source that all instruction sets share.
struct SearchKernels {
  int64_t tile;     // candidates per tile
  int64_t neurons;  // outputs per block of packed weights

  // input: tiles (layer.inputs, tile), `input_stride` floats apart; output likewise.
  void (*dense)(const DenseLayer& layer, const float* input, int64_t input_stride, int64_t tiles,
                float* output, int64_t output_stride);

  // words[w * stride + b] = word w of the counter (b, child, parent, generation), b < blocks. stride is at
  // least padded(blocks); words past the blocks are overwritten.
  void (*random_words)(PhiloxKey key, uint32_t child, uint32_t parent, uint32_t generation, int32_t blocks,
                       int64_t stride, uint32_t* words);

  // Breeds one child by per-field crossover, then mutation. words: block 1 + f holds the random numbers of
  // field f in words 0 and 1, and those of field f + ceil(F / 2) in words 2 and 3. The latter are moved
  // behind the former, so stride is at least padded(F) + kFieldBlock. Writes child and priorities (the order
  // of repair), padded(F).
  void (*breed)(const BreedFields& fields, const Mating& mating, uint32_t* words, int64_t stride,
                int16_t* child, uint16_t* priorities);

  // Returns the field with the lowest priority, then the lowest column, in which child and parent differ and
  // `revertible` is not 0; -1 if there is none. All arrays are padded(F); `revertible` is 0 in the padding.
  int32_t (*next_revert)(int32_t fields, const int16_t* child, const int16_t* parent,
                         const uint16_t* priorities, const int16_t* revertible);

  // Writes the covariances of one candidate with the labels, (stride,): the sum over the parts of variance *
  // exp(-distance), where a part without rows adds nothing. Returns their product with weights (stride,).
  double (*covariances)(const LabelRows& candidate, const float* variances, const double* weights,
                        float* out);

  // Adds to out (stride,) a constant and the product of z (columns,) and table (columns, stride).
  void (*add_linear)(const float* table, int64_t stride, const float* z, int32_t columns, float constant,
                     float* out);
};

const SearchKernels& search_kernels(Isa isa);

}  // namespace narsfast
