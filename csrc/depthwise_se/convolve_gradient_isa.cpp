// The gradient of the convolution: d_y is made row by row from d_out and y, and feeds both d_weight and d_x.
// Compiled once per instruction set; it includes nothing that has inline functions with external linkage.
#include "common/threads.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/norm_gradient.h"
#include "depthwise_se/rows.h"
#include "depthwise_se/tiles.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// Taps of one parity: kernel columns first, first + stride, ...
NARSFAST_INLINE int64_t parity_taps(const Window& window, int64_t first) {
  return (window.kernel - first + window.stride - 1) / window.stride;
}

// Packed weights, each row's taps by parity and reversed, as the gradient of x meets them.
template <class Real>
void reverse_weights(const Window& window, const Real* packed, int64_t vectors, Real* reversed) {
  const int64_t kernel = window.kernel;
  for (int64_t row = 0; row < vectors * kernel; ++row) {
    int64_t to = row * kernel;
    for (int64_t first = 0; first < window.stride; ++first) {
      for (int64_t t = parity_taps(window, first) - 1; t >= 0; --t, ++to) {
        const int64_t from = row * kernel + first + window.stride * t;
        store(reversed + to * kLanes<Real>, load(packed + from * kLanes<Real>));
      }
    }
  }
}

template <class Real, class Storage>
class Gradient {
 public:
  explicit Gradient(const ConvolveGradientArguments& given)
      : arguments_(given),
        window_(given.window),
        blocks_(count_blocks<Real>(window_.channels)),
        groups_(count_groups(window_.images, blocks_)),
        taps_(window_.kernel * window_.kernel),
        pad_(window_.kernel - 1),
        plane_((window_.out_width + 2 * pad_) * kLanes<Real>),
        reversed_(blocks_ * kBlock<Real> * taps_),
        d_weights_(groups_ * blocks_ * kBlock<Real> * taps_),
        sums_(groups_ * window_.channels),
        x_sums_(groups_ * window_.channels),
        correlate_rows_(row_correlation<Real>(window_.kernel, window_.stride)) {
    for (int64_t first = 0; first < window_.stride; ++first) {
      convolve_row_[first] = row_convolution<Real>(parity_taps(window_, first), 1);
    }
  }

  void run() {
    {
      Buffer<Real> packed(blocks_ * kBlock<Real> * taps_);
      pack_weights<Real>(arguments_.weight, nullptr, window_.channels, taps_, packed.at);
      reverse_weights<Real>(window_, packed.at, blocks_ * kVectors, reversed_.at);
    }
    const double work = static_cast<double>(window_.images * window_.out_height * window_.out_width * taps_) *
                        kBlock<Real> / (4.0 * static_cast<double>(groups_));
    for_chunks(blocks_ * groups_, 1, work, [&](int64_t task, int64_t) {
      with_activation(arguments_.norm.norm.activation,
                      [&](auto activation) { run_task<activation.value>(task % blocks_, task / blocks_); });
    });
    join();
  }

 private:
  // What one task works on.
  struct Task {
    Block block;
    int64_t index;
    BlockAffine<Real> input;
    Vector<Real> input_mean[kVectors];
    NormGradientVector<Real> norm[kVectors];
    Real* d_y;       // (out_height, vectors, pad + out_width + pad, lanes)
    Real* d_x;       // (vectors, width, lanes): one row
    Real* d_weight;  // (vectors, kernel * kernel, lanes) of one image
    Vector<Real> sums[kVectors];
    Vector<Real> x_sums[kVectors];
  };

  template <Activation kActivation>
  void run_task(int64_t index, int64_t group) {
    const int64_t channels = window_.channels;
    Task task;
    task.block = block_at<Real>(index, channels);
    task.index = index;
    task.input = load_affine<Real>(arguments_.input, task.block.first, channels);
    if (task.input.active)
      load_block<Real>(arguments_.input_mean, task.block.first, channels, task.input_mean);
    load_norm(task);
    const int64_t d_y_size = window_.out_height * kVectors * plane_;
    const int64_t d_x_size = kVectors * window_.width * kLanes<Real>;
    const int64_t weight_size = kBlock<Real> * taps_;
    const int64_t ring_size = RowRing<Real>::size(window_.kernel, window_.width, window_.padding);
    task.d_y = static_cast<Real*>(
        thread_scratch(static_cast<size_t>(d_y_size + d_x_size + weight_size + ring_size) * sizeof(Real)));
    task.d_x = task.d_y + d_y_size;
    task.d_weight = task.d_x + d_x_size;
    Real* ring_memory = task.d_weight + weight_size;
    std::memset(task.d_y, 0, static_cast<size_t>(d_y_size + d_x_size) * sizeof(Real));
    for (int v = 0; v < kVectors; ++v) task.sums[v] = task.x_sums[v] = Vector<Real>{};

    Real* total = d_weights_.at + (group * blocks_ + index) * weight_size;
    std::memset(total, 0, static_cast<size_t>(weight_size) * sizeof(Real));
    for (int64_t n = window_.images * group / groups_; n < window_.images * (group + 1) / groups_; ++n) {
      std::memset(task.d_weight, 0, static_cast<size_t>(weight_size) * sizeof(Real));
      RowRing<Real> ring(ring_memory, window_.kernel, window_.width, window_.padding);
      load_gate(task, n);
      const int64_t out_offset = n * window_.out_height * window_.out_width * channels + task.block.first;
      const int64_t offset = n * window_.height * window_.width * channels + task.block.first;
      const Storage* x = static_cast<const Storage*>(arguments_.x) + offset;
      for (int64_t row = 0; row < window_.out_height; ++row) {
        pack_gradient<kActivation>(task, out_offset, row);
        weight_row(task, ring, x, row);
      }
      for (int64_t row = 0; row < window_.height; ++row) {
        input_row(task, row);
        emit_row(task, x + row * window_.width * channels,
                 static_cast<Storage*>(arguments_.d_x) + offset + row * window_.width * channels);
      }
      for (int64_t i = 0; i < weight_size; i += kLanes<Real>) {
        store(total + i, load(total + i) + load(task.d_weight + i));
      }
    }
    store_block<Real>(task.sums, sums_.at + group * channels, task.block.first, channels);
    store_block<Real>(task.x_sums, x_sums_.at + group * channels, task.block.first, channels);
  }

  void load_norm(Task& task) const {
    const NormGradient& norm = arguments_.norm;
    Vector<Real> values[5][kVectors];
    const void* from[5] = {norm.norm.scale, norm.norm.shift, norm.by_z, norm.by_y, norm.constant};
    for (int i = 0; i < 5; ++i) load_block<Real>(from[i], task.block.first, window_.channels, values[i]);
    for (int v = 0; v < kVectors; ++v) {
      task.norm[v].scale = values[0][v];
      task.norm[v].shift = values[1][v];
      task.norm[v].by_z = values[2][v];
      task.norm[v].by_y = values[3][v];
      task.norm[v].constant = values[4][v];
    }
  }

  void load_gate(Task& task, int64_t n) const {
    if (arguments_.norm.gate == nullptr) return;
    const int64_t channels = window_.channels;
    Vector<Real> gate[kVectors];
    Vector<Real> d_pooled[kVectors];
    load_block<Real>(static_cast<const Real*>(arguments_.norm.gate) + n * channels, task.block.first,
                     channels, gate);
    load_block<Real>(static_cast<const Real*>(arguments_.norm.d_pooled) + n * channels, task.block.first,
                     channels, d_pooled);
    for (int v = 0; v < kVectors; ++v) {
      task.norm[v].set_gate(gate[v], d_pooled[v], window_.out_height * window_.out_width);
    }
  }

  Real* gradient_row(const Task& task, int64_t row, int v) const {
    return task.d_y + (row * kVectors + v) * plane_;
  }

  template <Activation kActivation>
  void pack_gradient(const Task& task, int64_t offset, int64_t row) const {
    const int64_t start = offset + row * window_.out_width * window_.channels;
    const Storage* y = static_cast<const Storage*>(arguments_.norm.y) + start;
    const Storage* d_out = static_cast<const Storage*>(arguments_.norm.d_out) + start;
    Real* packed = gradient_row(task, row, 0) + pad_ * kLanes<Real>;
    const bool gated = arguments_.norm.gate != nullptr;
    const bool whole = task.block.left >= kBlock<Real>;
    read_row<Real>(y, window_.out_width, task.block, [&](int64_t column, int v, Vector<Real> value) {
      const Storage* at = d_out + column * window_.channels + v * kLanes<Real>;
      const Vector<Real> gradient =
          whole ? load_map<Real>(at) : load_some<Real>(at, task.block.left - v * kLanes<Real>);
      store(packed + v * plane_ + column * kLanes<Real>,
            task.norm[v].template apply<kActivation>(gradient, value, gated));
    });
  }

  void weight_row(const Task& task, RowRing<Real>& ring, const Storage* x, int64_t row) const {
    const int64_t top = row * window_.stride - window_.padding;
    const int64_t from = top < 0 ? 0 : top;
    const int64_t last = top + window_.kernel - 1;
    const int64_t to = last < window_.height ? last : window_.height - 1;
    if (to < from) return;
    ring.advance(from, to, x, window_.height, window_.width, task.block, task.input);
    for (int v = 0; v * kLanes<Real> < task.block.left && v < kVectors; ++v) {
      const Real* rows[kLongestKernel];
      Real* d_weight[kLongestKernel];
      int count = 0;
      for (int64_t i = from; i <= to; ++i, ++count) {
        rows[count] = ring.row(i, v);
        d_weight[count] = task.d_weight + (v * taps_ + (i - top) * window_.kernel) * kLanes<Real>;
      }
      correlate_rows_(rows, count, gradient_row(task, row, v) + pad_ * kLanes<Real>, window_.out_width,
                      d_weight);
    }
  }

  // Row `row` of d_x into task.d_x: output row q reaches it through kernel row first + stride * t where
  // row + padding = stride * (q + t) + first.
  void input_row(const Task& task, int64_t row) const {
    const int64_t kernel = window_.kernel;
    const int64_t stride = window_.stride;
    const int64_t first = (row + window_.padding) % stride;
    const int64_t start = (row + window_.padding) / stride;
    for (int v = 0; v * kLanes<Real> < task.block.left && v < kVectors; ++v) {
      const Real* weights = reversed_.at + (task.index * kVectors + v) * taps_ * kLanes<Real>;
      int64_t weight_offset = 0;
      for (int64_t parity = 0; parity < stride; ++parity) {
        const int64_t taps = parity_taps(window_, parity);
        const int64_t column = (parity + stride - window_.padding % stride) % stride;
        const int64_t columns = (window_.width - column + stride - 1) / stride;
        RowTaps<Real> row_taps;
        row_taps.count = 0;
        for (int64_t t = 0; first + stride * t < kernel; ++t) {
          const int64_t q = start - t;
          if (q < 0 || q >= window_.out_height) continue;
          row_taps.rows[row_taps.count] =
              gradient_row(task, q, v) +
              ((column + window_.padding) / stride - (taps - 1) + pad_) * kLanes<Real>;
          row_taps.weights[row_taps.count] =
              weights + ((first + stride * t) * kernel + weight_offset) * kLanes<Real>;
          ++row_taps.count;
        }
        if (columns > 0) {
          convolve_row_[parity](row_taps, columns, nullptr,
                                task.d_x + (v * window_.width + column) * kLanes<Real>, stride);
        }
        weight_offset += taps;
      }
    }
  }

  void emit_row(Task& task, const Storage* x, Storage* d_x) const {
    const int64_t plane = window_.width * kLanes<Real>;
    if (!task.input.active) {
      unpack_row<Real>(task.d_x, plane, window_.width, task.block, d_x,
                       [](int64_t, int, Vector<Real> value) { return value; });
      return;
    }
    const bool whole = task.block.left >= kBlock<Real>;
    Vector<Real> sums[kVectors] = {};
    Vector<Real> x_sums[kVectors] = {};
    with_activation(task.input.activation, [&](auto activation) {
      unpack_row<Real>(
          task.d_x, plane, window_.width, task.block, d_x, [&](int64_t column, int v, Vector<Real> value) {
            const Storage* at = x + column * window_.channels + v * kLanes<Real>;
            const Vector<Real> input =
                whole ? load_map<Real>(at) : load_some<Real>(at, task.block.left - v * kLanes<Real>);
            const Vector<Real> gradient =
                value * derivative<activation.value, Real>(input * task.input.scale[v] + task.input.shift[v]);
            sums[v] += gradient;
            x_sums[v] += gradient * (input - task.input_mean[v]);
            return gradient;
          });
    });
    for (int v = 0; v < kVectors; ++v) {
      task.sums[v] += sums[v];
      task.x_sums[v] += x_sums[v];
    }
  }

  // Sums the groups in order.
  void join() const {
    const int64_t size = blocks_ * kBlock<Real> * taps_;
    for (int64_t i = 0; i < size; i += kLanes<Real>) {
      Vector<Real> sum = load(d_weights_.at + i);
      for (int64_t g = 1; g < groups_; ++g) sum += load(d_weights_.at + g * size + i);
      store(d_weights_.at + i, sum);
    }
    Real* d_weight = static_cast<Real*>(arguments_.d_weight);
    for (int64_t c = 0; c < window_.channels; ++c) {
      const int64_t v = c / kLanes<Real>;
      for (int64_t t = 0; t < taps_; ++t) {
        d_weight[c * taps_ + t] = d_weights_.at[(v * taps_ + t) * kLanes<Real> + c % kLanes<Real>];
      }
    }
    if (arguments_.input.scale == nullptr) return;
    for (int64_t c = 0; c < window_.channels; ++c) {
      Real sum = 0;
      Real x_sum = 0;
      for (int64_t g = 0; g < groups_; ++g) {
        sum += sums_.at[g * window_.channels + c];
        x_sum += x_sums_.at[g * window_.channels + c];
      }
      static_cast<Real*>(arguments_.d_input_sum)[c] = sum;
      static_cast<Real*>(arguments_.d_input_x_sum)[c] = x_sum;
    }
  }

  const ConvolveGradientArguments& arguments_;
  const Window& window_;
  int64_t blocks_, groups_, taps_, pad_, plane_;
  Buffer<Real> reversed_, d_weights_, sums_, x_sums_;
  CorrelateRows<Real> correlate_rows_;
  ConvolveRow<Real> convolve_row_[2];
};

}  // namespace

void convolve_gradient(const ConvolveGradientArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { Gradient<decltype(real), decltype(storage)>(arguments).run(); });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
