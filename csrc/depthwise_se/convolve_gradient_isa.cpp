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
        channels_(given.window.channels),
        blocks_(count_blocks<Real>(channels_)),
        taps_(window_.kernel * window_.kernel),
        pad_(window_.kernel - 1),
        split_(split_work(window_, blocks_, row_bytes())),
        reversed_(blocks_ * kBlock<Real> * taps_),
        d_weights_(split_.groups * blocks_ * kBlock<Real> * taps_),
        sums_(split_.groups * channels_),
        x_sums_(split_.groups * channels_),
        input_(given.input, channels_),
        correlate_rows_(row_correlation<Real>(window_.kernel, window_.stride)) {
    for (int64_t first = 0; first < window_.stride; ++first) {
      convolve_row_[first] = row_convolution<Real>(parity_taps(window_, first), 1);
    }
  }

  void run() {
    {
      Buffer<Real> packed(blocks_ * kBlock<Real> * taps_);
      pack_weights<Real>(arguments_.weight, nullptr, channels_, taps_, packed.at);
      reverse_weights<Real>(window_, packed.at, blocks_ * kVectors, reversed_.at);
    }
    const double work = static_cast<double>(window_.images * window_.out_height * window_.out_width * taps_) *
                        static_cast<double>(channels_) / 16 / static_cast<double>(split_.tasks());
    for_chunks(split_.tasks(), 1, work, [&](int64_t task, int64_t) {
      with_activation(arguments_.norm.norm.activation,
                      [&](auto activation) { run_task<activation.value>(task); });
    });
    join();
  }

 private:
  // What one vector of channels carries through an image.
  struct Lane {
    NormGradientVector<Real> norm;
    Vector<Real> input_mean, sum, x_sum;
  };

  // What one task works on.
  struct Task {
    Slab<Real> slab;
    Lane* lanes;     // (vectors,)
    Real* d_weight;  // (blocks, vectors, kernel * kernel, lanes)
    Real* d_x;       // (vectors, width, lanes): one row
  };

  // Scratch of one block: its rows of x and of d_y.
  int64_t row_bytes() const {
    return (RowRing<Real>::size(window_.kernel, 1, window_.width, window_.padding) +
            RowRing<Real>::size(window_.kernel, 1, window_.out_width, pad_)) *
           static_cast<int64_t>(sizeof(Real));
  }

  template <Activation kActivation>
  void run_task(int64_t index) {
    const int64_t group = split_.group(index);
    Task task{split_.template slab<Real>(index, channels_), nullptr, nullptr, nullptr};
    Buffer<Lane> lanes(task.slab.vectors);
    task.lanes = lanes.at;
    load_lanes(task);
    const int64_t x_size =
        RowRing<Real>::size(window_.kernel, task.slab.count, window_.width, window_.padding);
    const int64_t d_y_size = RowRing<Real>::size(window_.kernel, task.slab.count, window_.out_width, pad_);
    const int64_t d_x_size = task.slab.vectors * window_.width * kLanes<Real>;
    Real* scratch =
        static_cast<Real*>(thread_scratch(static_cast<size_t>(x_size + d_y_size + d_x_size) * sizeof(Real)));
    task.d_x = scratch + x_size + d_y_size;
    std::memset(task.d_x, 0, static_cast<size_t>(d_x_size) * sizeof(Real));
    task.d_weight = d_weights_.at + (group * blocks_ + task.slab.first) * kBlock<Real> * taps_;
    std::memset(task.d_weight, 0, static_cast<size_t>(task.slab.count * kBlock<Real> * taps_) * sizeof(Real));

    for (int64_t n = window_.images * group / split_.groups; n < window_.images * (group + 1) / split_.groups;
         ++n) {
      RowRing<Real> x_rows(scratch, window_.kernel, task.slab.count, window_.width, window_.padding);
      RowRing<Real> d_y_rows(scratch + x_size, window_.kernel, task.slab.count, window_.out_width, pad_);
      load_gates(task, n);
      const int64_t offset = n * window_.height * window_.width * channels_;
      const Storage* x = static_cast<const Storage*>(arguments_.x) + offset + task.slab.channel;
      Storage* d_x = static_cast<Storage*>(arguments_.d_x) + offset + task.slab.channel;
      int64_t done = 0;
      for (int64_t row = 0; row < window_.out_height; ++row) {
        pack_gradient<kActivation>(task, d_y_rows, n, row);
        weight_row(task, x_rows, d_y_rows, x, row);
        // No later output row reaches these rows of x.
        const int64_t ready = (row + 1) * window_.stride - window_.padding;
        for (; done < ready && done < window_.height; ++done) input_row(task, d_y_rows, x, d_x, done);
      }
      for (; done < window_.height; ++done) input_row(task, d_y_rows, x, d_x, done);
    }
    for (int64_t i = 0; i < task.slab.vectors; ++i) {
      const int64_t at = group * channels_ + task.slab.channel + i * kLanes<Real>;
      store_some<Real>(sums_.at + at, task.lanes[i].sum, task.slab.left(i));
      store_some<Real>(x_sums_.at + at, task.lanes[i].x_sum, task.slab.left(i));
    }
  }

  // Vector i of the slab from (channels,).
  static Vector<Real> load_channels(const void* values, const Slab<Real>& slab, int64_t i) {
    return load_some<Real>(static_cast<const Real*>(values) + slab.channel + i * kLanes<Real>, slab.left(i));
  }

  void load_lanes(const Task& task) const {
    const NormGradient& norm = arguments_.norm;
    for (int64_t i = 0; i < task.slab.vectors; ++i) {
      Lane& lane = task.lanes[i];
      lane = Lane{};
      lane.norm.scale = load_channels(norm.norm.scale, task.slab, i);
      lane.norm.shift = load_channels(norm.norm.shift, task.slab, i);
      lane.norm.by_z = load_channels(norm.by_z, task.slab, i);
      lane.norm.by_y = load_channels(norm.by_y, task.slab, i);
      lane.norm.constant = load_channels(norm.constant, task.slab, i);
      if (input_.active) lane.input_mean = load_channels(arguments_.input_mean, task.slab, i);
    }
  }

  void load_gates(const Task& task, int64_t n) const {
    if (arguments_.norm.gate == nullptr) return;
    const Real* gate = static_cast<const Real*>(arguments_.norm.gate) + n * channels_;
    const Real* d_pooled = static_cast<const Real*>(arguments_.norm.d_pooled) + n * channels_;
    for (int64_t i = 0; i < task.slab.vectors; ++i) {
      task.lanes[i].norm.set_gate(load_channels(gate, task.slab, i), load_channels(d_pooled, task.slab, i),
                                  window_.out_height * window_.out_width);
    }
  }

  template <Activation kActivation>
  void pack_gradient(const Task& task, const RowRing<Real>& rows, int64_t n, int64_t row) const {
    const int64_t start = (n * window_.out_height + row) * window_.out_width * channels_ + task.slab.channel;
    const bool gated = arguments_.norm.gate != nullptr;
    const Storage* d_out = static_cast<const Storage*>(arguments_.norm.d_out) + start;
    Real* packed = rows.row(row, 0) + pad_ * kLanes<Real>;
    read_row<Real>(static_cast<const Storage*>(arguments_.norm.y) + start, window_.out_width, task.slab,
                   [&](int64_t column, int64_t i, Vector<Real> value) {
                     const Vector<Real> gradient =
                         load_vector<Real>(d_out + column * channels_, task.slab, i);
                     store(packed + i * rows.plane + column * kLanes<Real>,
                           task.lanes[i].norm.template apply<kActivation>(gradient, value, gated));
                   });
  }

  void weight_row(const Task& task, RowRing<Real>& x_rows, const RowRing<Real>& d_y_rows, const Storage* x,
                  int64_t row) const {
    const int64_t top = row * window_.stride - window_.padding;
    const int64_t from = top < 0 ? 0 : top;
    const int64_t last = top + window_.kernel - 1;
    const int64_t to = last < window_.height ? last : window_.height - 1;
    if (to < from) return;
    x_rows.advance(from, to, x, window_.width, task.slab, input_);
    for (int64_t i = 0; i < task.slab.vectors; ++i) {
      const Real* rows[kLongestKernel];
      Real* d_weight[kLongestKernel];
      int count = 0;
      for (int64_t r = from; r <= to; ++r, ++count) {
        rows[count] = x_rows.row(r, i);
        d_weight[count] = task.d_weight + (i * taps_ + (r - top) * window_.kernel) * kLanes<Real>;
      }
      correlate_rows_(rows, count, d_y_rows.row(row, i) + pad_ * kLanes<Real>, window_.out_width, d_weight);
    }
  }

  // Row `row` of d_x: output row q reaches it through kernel row first + stride * t where
  // row + padding = stride * (q + t) + first.
  void input_row(const Task& task, const RowRing<Real>& d_y_rows, const Storage* x, Storage* d_x,
                 int64_t row) const {
    const int64_t kernel = window_.kernel;
    const int64_t stride = window_.stride;
    const int64_t first = (row + window_.padding) % stride;
    const int64_t start = (row + window_.padding) / stride;
    for (int64_t i = 0; i < task.slab.vectors; ++i) {
      const Real* weights = reversed_.at + (task.slab.first * kVectors + i) * taps_ * kLanes<Real>;
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
              d_y_rows.row(q, i) + ((column + window_.padding) / stride - (taps - 1) + pad_) * kLanes<Real>;
          row_taps.weights[row_taps.count] =
              weights + ((first + stride * t) * kernel + weight_offset) * kLanes<Real>;
          ++row_taps.count;
        }
        if (columns > 0) {
          convolve_row_[parity](row_taps, columns, nullptr,
                                task.d_x + (i * window_.width + column) * kLanes<Real>, stride);
        }
        weight_offset += taps;
      }
    }
    emit_row(task, x + row * window_.width * channels_, d_x + row * window_.width * channels_);
  }

  void emit_row(const Task& task, const Storage* x, Storage* d_x) const {
    const int64_t plane = window_.width * kLanes<Real>;
    if (!input_.active) {
      unpack_row<Real>(task.d_x, plane, window_.width, task.slab, d_x,
                       [](int64_t, int64_t, Vector<Real> value) { return value; });
      return;
    }
    const auto* pairs = input_.pairs.at + task.slab.first * kVectors;
    with_activation(input_.activation, [&](auto activation) {
      unpack_row<Real>(
          task.d_x, plane, window_.width, task.slab, d_x, [&](int64_t column, int64_t i, Vector<Real> value) {
            Lane& lane = task.lanes[i];
            const Vector<Real> before = load_vector<Real>(x + column * channels_, task.slab, i);
            const Vector<Real> gradient =
                value * derivative<activation.value, Real>(before * pairs[i].scale + pairs[i].shift);
            lane.sum += gradient;
            lane.x_sum += gradient * (before - lane.input_mean);
            return gradient;
          });
    });
  }

  // Sums the groups in order.
  void join() const {
    const int64_t size = blocks_ * kBlock<Real> * taps_;
    for (int64_t i = 0; i < size; i += kLanes<Real>) {
      Vector<Real> sum = load(d_weights_.at + i);
      for (int64_t g = 1; g < split_.groups; ++g) sum += load(d_weights_.at + g * size + i);
      store(d_weights_.at + i, sum);
    }
    Real* d_weight = static_cast<Real*>(arguments_.d_weight);
    for (int64_t c = 0; c < channels_; ++c) {
      const int64_t v = c / kLanes<Real>;
      for (int64_t t = 0; t < taps_; ++t) {
        d_weight[c * taps_ + t] = d_weights_.at[(v * taps_ + t) * kLanes<Real> + c % kLanes<Real>];
      }
    }
    if (arguments_.input.scale == nullptr) return;
    for (int64_t c = 0; c < channels_; ++c) {
      Real sum = 0;
      Real x_sum = 0;
      for (int64_t g = 0; g < split_.groups; ++g) {
        sum += sums_.at[g * channels_ + c];
        x_sum += x_sums_.at[g * channels_ + c];
      }
      static_cast<Real*>(arguments_.d_input_sum)[c] = sum;
      static_cast<Real*>(arguments_.d_input_x_sum)[c] = x_sum;
    }
  }

  const ConvolveGradientArguments& arguments_;
  const Window& window_;
  int64_t channels_, blocks_, taps_, pad_;
  Split split_;
  Buffer<Real> reversed_, d_weights_, sums_, x_sums_;
  Affines<Real> input_;
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
