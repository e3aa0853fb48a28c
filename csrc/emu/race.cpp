// Runs every kernel once on real threads, under the thread sanitizer.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "depthwise_se/cuda/launchers.h"
#include "emu/block.h"
#include "optimizer/cuda/launchers.h"

using namespace narsfast;

namespace {

constexpr int64_t kImages = 2, kSize = 6, kChannels = 20, kSqueezed = 4, kKernel = 5;
constexpr int64_t kMap = kImages * kSize * kSize * kChannels;

std::vector<float> filled(int64_t size) { return std::vector<float>(static_cast<size_t>(size), 0.25f); }

int run() {
  auto x = filled(kMap), y = filled(kMap), out = filled(kMap), d_x = filled(kMap), d_y = filled(kMap);
  auto weight = filled(kChannels * kKernel * kKernel), d_weight = weight;
  auto fc1 = filled(kSqueezed * kChannels), fc2 = fc1, d_fc1 = fc1, d_fc2 = fc1;
  auto pooled = filled(kImages * kChannels), gate = pooled, d_pooled = pooled,
       hidden = filled(kImages * kSqueezed);
  auto v = filled(kChannels), a = v, b = v, c = v, d = v;
  auto workspace = filled(1 << 20);
  const Window window{kImages, kSize, kSize, kChannels, kSize, kSize, kKernel, 1, kKernel / 2, kKernel / 2};
  const Norm norm{v.data(), v.data(), v.data(), v.data(), 1e-5, Activation::kSilu};
  const Excite excite{kSqueezed, Activation::kRelu6, Gate::kSigmoid, fc1.data(),
                      v.data(),  fc2.data(),         v.data()};
  const NormGradient gradient{y.data(),    out.data(),      norm,
                              gate.data(), d_pooled.data(), Gate::kSigmoid,
                              v.data(),    v.data(),        kImages * kSize * kSize};
  const Dtype dtype = Dtype::kFloat32;
  const int64_t pixels = kSize * kSize;
  int error = 0;
  error |= cuda::convolve(
      {dtype, window, x.data(), norm, weight.data(), y.data(), a.data(), b.data(), workspace.data()},
      nullptr);
  error |= cuda::moments({dtype, kImages, pixels, kChannels, y.data(), a.data(), b.data(), workspace.data()},
                         nullptr);
  error |= cuda::normalize({dtype, kImages, pixels, kChannels, y.data(), norm, excite, out.data(),
                            pooled.data(), hidden.data(), gate.data()},
                           nullptr);
  error |= cuda::reduce({dtype, kImages, pixels, kChannels, y.data(), out.data(), norm, excite, pooled.data(),
                         hidden.data(), gate.data(), a.data(), b.data(), d_pooled.data(), d_fc1.data(),
                         c.data(), d_fc2.data(), d.data(), workspace.data()},
                        nullptr);
  error |= cuda::norm_gradient({dtype, kImages, pixels, kChannels, gradient, d_y.data()}, nullptr);
  error |= cuda::convolve_gradient({dtype, window, gradient, x.data(), norm, weight.data(), d_x.data(),
                                    d_weight.data(), c.data(), d.data(), workspace.data()},
                                   nullptr);
  error |= cuda::infer(
      {dtype, window, x.data(), norm, weight.data(), norm, excite, out.data(), workspace.data()}, nullptr);
  const RmspropGroup group{0.1, 0.9, 1e-3, 0.9, 1e-5};
  const RmspropTensor tensor{x.data(), y.data(), out.data(), d_x.data(), d_y.data(), kMap, 0};
  error |= cuda::rmsprop({&group, &tensor, 1, 0.9}, nullptr);
  return error;
}

}  // namespace

// With an argument, every thread skips its barrier of that number.
int main(int argc, char** argv) {
  emu::options().threads = true;
  if (argc > 1) emu::options().dropped_barrier = std::atoi(argv[1]);
  const int error = run();
  std::printf("every kernel ran: %s\n", error == 0 ? "yes" : "no");
  return error;
}
