// The gradient of the convolution: d_y is computed row by row from d_out and y, and used for both d_weight
// and d_x. Compiled once per instruction set, so it includes no inline functions with external linkage.
#include "common/threads.h"
#include "depthwise_se/kernels_isa.h"
#include "depthwise_se/norm_gradient.h"
#include "depthwise_se/rows.h"

namespace narsfast {
namespace NARSFAST_ISA {
namespace {

// The number of taps of one parity: kernel columns first, first + stride, ...
NARSFAST_INLINE int64_t parity_taps(const Window& window, int64_t first) {
  return (window.kernel - first + window.stride - 1) / window.stride;
}

// Reorders packed weights for the gradient of x: each row's taps are grouped by parity and reversed.
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

// Sums for the gradients of the input norm, for one vector of channels.
template <class Real>
struct InputSums {
  Vector<Real> mean{}, sum{}, centered{};  // sums of d_x and of d_x * (x - mean)
};

// Stores a row of d_x, whose columns are `distance` elements apart.
template <class Real, class Storage>
struct InputGradientEpilogue {
  struct State {
    Folded<Real> norm;
    InputSums<Real> sums;
  };
  const FoldedNorm<Real>& input;
  Slab<Real> slab;
  InputSums<Real>* sums;  // (vectors,)
  const Storage* x;
  Storage* d_x;
  int64_t distance;

  Vector<Real> start(int64_t) const { return Vector<Real>{}; }
  State begin(int64_t i) const {
    return input.active ? State{input.vectors.at[slab.first + i], sums[i]} : State{};
  }

  template <int kColumns>
  NARSFAST_INLINE void tile(State& state, int64_t i, int, int64_t column, Vector<Real>* d_a) {
    const int64_t at = column * distance + i * kLanes<Real>;
    if (input.active) before_norm<kColumns>(state, x + at, slab.lanes(i), d_a);
    with_lanes<Real>(slab, i, [&](auto lanes) {
      Storage* to = d_x + at;
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c, to += distance) lanes.store(to, d_a[c]);
    });
  }

  // Multiplies d_a by the derivative of the activation, and adds it to the sums. Inlined as a whole: a call
  // that takes d_a would force the sums of the convolution through memory.
  template <int kColumns>
  NARSFAST_INLINE void before_norm(State& state, const Storage* at, int64_t lanes, Vector<Real>* d_a) {
    with_activation(input.activation, [&](auto activation) __attribute__((always_inline)) {
      Vector<Real> slopes[kColumns];
      if constexpr (is_long(activation.value)) {
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) {
          const Vector<Real> value = load_partial<Real>(at + c * distance, lanes);
          slopes[c] = value * state.norm.scale + state.norm.shift;
        }
        silu_of_tile<Real, true, kColumns>(slopes);
      }
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c, at += distance) {
        const Vector<Real> value = load_partial<Real>(at, lanes);
        if constexpr (is_long(activation.value)) {
          d_a[c] *= slopes[c];
        } else {
          d_a[c] *= derivative<activation.value, Real>(value * state.norm.scale + state.norm.shift);
        }
        state.sums.sum += d_a[c];
        state.sums.centered += d_a[c] * (value - state.sums.mean);
      }
    });
  }
  void end(const State& state, int64_t i) {
    if (input.active) sums[i] = state.sums;
  }
};

template <class Real, class Storage>
class Gradient {
 public:
  explicit Gradient(const ConvolveGradientArguments& given)
      : arguments_(given),
        window_(given.window),
        channels_(given.window.channels),
        vectors_(count_vectors<Real>(channels_)),
        taps_(window_.kernel * window_.kernel),
        split_(window_, line_bytes()),
        reversed_(vectors_ * kLanes<Real> * taps_),
        d_weights_(split_.groups * vectors_ * kLanes<Real> * taps_),
        sums_(split_.groups * channels_),
        centered_(split_.groups * channels_),
        input_(given.input, channels_) {}

  void run() {
    {
      Buffer<Real> packed(vectors_ * kLanes<Real> * taps_);
      pack_weights<Real>(arguments_.weight, nullptr, channels_, taps_, packed.at);
      reverse_weights<Real>(window_, packed.at, vectors_, reversed_.at);
    }
    const double work = static_cast<double>(window_.images * window_.out_height * window_.out_width * taps_) *
                        static_cast<double>(channels_) / 16 / static_cast<double>(split_.tasks());
    for_chunks(split_.tasks(), 1, work, [&](int64_t task, int64_t) {
      with_window(window_.kernel, window_.stride,
                  [&](auto kernel, auto stride) { run_task<kernel.value, stride.value>(task); });
    });
    join();
  }

 private:
  // The data of one task.
  struct Task {
    Slab<Real> slab;
    NormGradientVector<Real>* norms;  // (vectors,)
    InputSums<Real>* sums;            // (vectors,)
    Real* d_weight;                   // (vectors, kernel * kernel, lanes)
  };

  // Scratch of the current rows of x and d_y, for one cache line of channels.
  int64_t line_bytes() const { return window_.kernel * (window_.width + window_.out_width) * kLineBytes; }

  template <int kKernel, int kStride>
  void run_task(int64_t index) {
    const int64_t group = split_.group(index);
    const Slab<Real> slab = split_.slab(index);
    Buffer<NormGradientVector<Real>> norms(slab.vectors);
    Buffer<InputSums<Real>> sums(slab.vectors);
    const Task task{slab, norms.at, sums.at,
                    d_weights_.at + (group * vectors_ + slab.first) * kLanes<Real> * taps_};
    for (int64_t i = 0; i < slab.vectors; ++i) {
      norms.at[i] = NormGradientVector<Real>::of(arguments_.norm, slab, i);
      sums.at[i] = InputSums<Real>();
      if (input_.active) sums.at[i].mean = load_channels<Real>(arguments_.input.mean, slab, i);
    }
    std::memset(task.d_weight, 0, static_cast<size_t>(slab.vectors * kLanes<Real> * taps_) * sizeof(Real));
    InputRows<Real, Storage> x_rows(kKernel, slab, window_.width, input_);
    const RowRing<Real> d_y_rows(kKernel, slab, window_.out_width);

    for (int64_t n = split_.begin_image(group); n < split_.begin_image(group + 1); ++n) {
      load_gates(task, n);
      x_rows.begin(static_cast<const Storage*>(arguments_.x) +
                   n * window_.height * window_.width * channels_ + slab.channel);
      int64_t done = 0;
      for (int64_t row = 0; row < window_.out_height; ++row) {
        pack_gradient(task, d_y_rows, n, row);
        weight_row<kKernel, kStride>(task, x_rows, d_y_rows, row);
        // No later output row contributes to these rows of d_x.
        const int64_t ready = (row + 1) * kStride - window_.top;
        for (; done < ready && done < window_.height; ++done) {
          input_row<kKernel, kStride>(task, d_y_rows, n, done);
        }
      }
      for (; done < window_.height; ++done) {
        input_row<kKernel, kStride>(task, d_y_rows, n, done);
      }
    }
    if (!input_.active) return;
    for (int64_t i = 0; i < slab.vectors; ++i) {
      store_channels<Real>(sums_.at + group * channels_, slab, i, sums.at[i].sum);
      store_channels<Real>(centered_.at + group * channels_, slab, i,
                           sums.at[i].centered * input_.vectors.at[slab.first + i].inverse);
    }
  }

  void load_gates(const Task& task, int64_t n) const {
    if (arguments_.norm.gate == nullptr) return;
    const Real* gate = static_cast<const Real*>(arguments_.norm.gate) + n * channels_;
    const Real* d_pooled = static_cast<const Real*>(arguments_.norm.d_pooled) + n * channels_;
    for (int64_t i = 0; i < task.slab.vectors; ++i) {
      task.norms[i].set_gate(load_channels<Real>(gate, task.slab, i),
                             load_channels<Real>(d_pooled, task.slab, i),
                             window_.out_height * window_.out_width, arguments_.norm.gate_kind);
    }
  }

  void pack_gradient(const Task& task, const RowRing<Real>& rows, int64_t n, int64_t row) const {
    with_activation(arguments_.norm.norm.activation, [&](auto activation) {
      if (arguments_.norm.gate != nullptr) {
        pack_gradient_row<activation.value, true>(task, rows, n, row);
      } else {
        pack_gradient_row<activation.value, false>(task, rows, n, row);
      }
    });
  }

  template <Activation kActivation, bool kGated>
  NARSFAST_NOINLINE void pack_gradient_row(const Task& task, const RowRing<Real>& rows, int64_t n,
                                           int64_t row) const {
    const Slab<Real> slab = task.slab;
    const int64_t channels = channels_;
    const NormGradientVector<Real>* norms = task.norms;
    const int64_t start = (n * window_.out_height + row) * window_.out_width * channels_ + slab.channel;
    const Storage* y = static_cast<const Storage*>(arguments_.norm.y) + start;
    const Storage* d_out = static_cast<const Storage*>(arguments_.norm.d_out) + start;
    Real* packed = rows.row(row);
    const int64_t plane = rows.layout.plane;
    for_tiles<Real>(window_.out_width, slab, [&](int64_t i, auto lanes, int64_t begin, int64_t end) {
      const NormGradientVector<Real> norm = norms[i];
      int64_t at = begin * channels + i * kLanes<Real>;
      for (int64_t column = begin; column < end; ++column, at += channels) {
        store(packed + i * plane + column * kLanes<Real>,
              norm.template apply<kActivation, kGated>(lanes.load(d_out + at), lanes.load(y + at)));
      }
    });
  }

  template <int kKernel, int kStride>
  NARSFAST_NOINLINE void weight_row(const Task& task, InputRows<Real, Storage>& x_rows,
                                    const RowRing<Real>& d_y_rows, int64_t row) const {
    const ReceptiveRows receptive(window_, row, 1);
    if (receptive.to < receptive.from) return;
    x_rows.advance(receptive.from, receptive.to);
    const Real* rows[kMaxKernel];
    int count = 0;
    for (int64_t r = receptive.from; r <= receptive.to; ++r, ++count) rows[count] = x_rows.row(r);
    const Real* d_y = d_y_rows.row(row);
    Real* d_weight = task.d_weight + (receptive.from - receptive.top) * kKernel * kLanes<Real>;
    for (int64_t i = 0; i < task.slab.vectors; ++i) {
      Real* at[kMaxKernel];
      for (int r = 0; r < count; ++r) at[r] = d_weight + (i * taps_ + r * kKernel) * kLanes<Real>;
      correlate_rows<Real, kKernel, kStride>(rows, count, x_rows.layout, -window_.left,
                                             reader(x_rows.layout, task.slab, i),
                                             d_y + i * d_y_rows.layout.plane, window_.out_width, at);
      for (int r = 0; r < count; ++r) rows[r] += x_rows.layout.plane;
    }
  }

  // Prefetches what is read and written soon after row `row` of image n's d_x.
  Prefetcher prefetcher_of(int64_t n, int64_t row, const Slab<Real>& slab) const {
    constexpr int64_t kMinRowBytes = 4096;
    Prefetcher prefetcher;
    const auto add = [&](const void* map, int64_t height, int64_t width, int64_t index) {
      prefetcher.add(static_cast<const Storage*>(map) + n * height * width * channels_, index,
                     (window_.images - n) * height, width, slab, window_.width / window_.stride,
                     kMinRowBytes);
    };
    add(arguments_.d_x, window_.height, window_.width, row + 1);
    add(arguments_.x, window_.height, window_.width, row + window_.kernel + 1);
    if ((row + window_.top) % window_.stride == 0) {
      const int64_t next = (row + window_.top) / window_.stride + 1;
      add(arguments_.norm.y, window_.out_height, window_.out_width, next);
      add(arguments_.norm.d_out, window_.out_height, window_.out_width, next);
    }
    return prefetcher;
  }

  // Computes row `row` of image n's d_x. Output row q contributes through kernel row first + stride * t,
  // where row + top = stride * (q + t) + first.
  template <int kKernel, int kStride>
  NARSFAST_NOINLINE void input_row(const Task& task, const RowRing<Real>& d_y_rows, int64_t n,
                                   int64_t row) const {
    const Slab<Real>& slab = task.slab;
    Prefetcher prefetcher = prefetcher_of(n, row, slab);
    const int64_t first = (row + window_.top) % kStride;
    const int64_t start = (row + window_.top) / kStride;
    const Real* weights = reversed_.at + slab.first * taps_ * kLanes<Real>;
    InputGradientEpilogue<Real, Storage> epilogue{input_,  slab,    task.sums,
                                                  nullptr, nullptr, kStride * channels_};
    for (int64_t parity = 0; parity < kStride; ++parity) {
      const int64_t columns_taps = parity_taps(window_, parity);
      const int64_t column = (parity + kStride - window_.left % kStride) % kStride;
      const int64_t columns = (window_.width - column + kStride - 1) / kStride;
      RowTaps<Real> taps;
      taps.count = 0;
      taps.first = (column + window_.left) / kStride - (columns_taps - 1);
      taps.layout = d_y_rows.layout;
      taps.weight_plane = taps_ * kLanes<Real>;
      for (int64_t t = 0; first + kStride * t < kKernel; ++t) {
        const int64_t q = start - t;
        if (q < 0 || q >= window_.out_height) continue;
        taps.rows[taps.count] = d_y_rows.row(q);
        taps.weights[taps.count] = weights + (first + kStride * t) * kKernel * kLanes<Real>;
        ++taps.count;
      }
      weights += columns_taps * kLanes<Real>;
      if (columns <= 0) continue;
      taps.prefetcher = prefetcher;
      prefetcher = Prefetcher();
      const int64_t at = ((n * window_.height + row) * window_.width + column) * channels_ + slab.channel;
      epilogue.x = static_cast<const Storage*>(arguments_.x) + at;
      epilogue.d_x = static_cast<Storage*>(arguments_.d_x) + at;
      if constexpr (kStride == 1) {
        convolve_rows<Real, kKernel, 1, 1>(taps, slab, columns, epilogue);
      } else if (parity == 0) {
        convolve_rows<Real, (kKernel + 1) / 2, 1, 1>(taps, slab, columns, epilogue);
      } else {
        convolve_rows<Real, kKernel / 2, 1, 1>(taps, slab, columns, epilogue);
      }
    }
  }

  // Adds the sums of the groups in order.
  void join() const {
    const int64_t size = vectors_ * kLanes<Real> * taps_;
    for (int64_t i = 0; i < size; i += kLanes<Real>) {
      Vector<Real> sum = load(d_weights_.at + i);
      for (int64_t g = 1; g < split_.groups; ++g) sum += load(d_weights_.at + g * size + i);
      store(d_weights_.at + i, sum);
    }
    Real* d_weight = static_cast<Real*>(arguments_.d_weight);
    for (int64_t c = 0; c < channels_; ++c) {
      const Real* from = d_weights_.at + c / kLanes<Real> * taps_ * kLanes<Real> + c % kLanes<Real>;
      for (int64_t t = 0; t < taps_; ++t) d_weight[c * taps_ + t] = from[t * kLanes<Real>];
    }
    if (!input_.active) return;
    for (int64_t c = 0; c < channels_; ++c) {
      Real sum = 0;
      Real centered = 0;
      for (int64_t g = 0; g < split_.groups; ++g) {
        sum += sums_.at[g * channels_ + c];
        centered += centered_.at[g * channels_ + c];
      }
      static_cast<Real*>(arguments_.d_input_bias)[c] = sum;
      static_cast<Real*>(arguments_.d_input_weight)[c] = centered;
    }
  }

  const ConvolveGradientArguments& arguments_;
  const Window& window_;
  int64_t channels_, vectors_, taps_;
  WorkSplit<Real> split_;
  Buffer<Real> reversed_, d_weights_, sums_, centered_;
  FoldedNorm<Real> input_;
};

}  // namespace

void convolve_gradient(const ConvolveGradientArguments& arguments) {
  with_types(arguments.dtype,
             [&](auto real, auto storage) { Gradient<decltype(real), decltype(storage)>(arguments).run(); });
}

}  // namespace NARSFAST_ISA
}  // namespace narsfast
