#include "emu/block.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "emu/counters.h"
#include "emu/fiber.h"

namespace narsfast::emu {
namespace {

enum class State { kReady, kAtBlockBarrier, kAtWarpBarrier, kEnded };

struct Runner {
  Thread self;
  Fiber fiber;
  State state = State::kReady;
  int line = 0;
};

// A barrier for real threads.
class ThreadBarrier {
 public:
  void wait(int size) {
    std::unique_lock<std::mutex> lock(mutex_);
    const int64_t round = round_;
    if (++arrived_ == size) {
      arrived_ = 0;
      ++round_;
      open_.notify_all();
    } else if (!open_.wait_for(lock, std::chrono::seconds(60), [&] { return round_ != round; })) {
      std::fprintf(stderr, "a barrier waited 60 s for the other threads of its block\n");
      std::abort();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable open_;
  int arrived_ = 0;
  int64_t round_ = 0;
};

struct Block {
  std::vector<std::unique_ptr<Runner>> runners;  // as many as the largest block so far
  std::vector<char> shared;
  std::vector<uint64_t> exchanged;
  std::vector<std::unique_ptr<ThreadBarrier>> barriers;  // of the block, then of each warp
  const std::function<void()>* kernel = nullptr;
  int size = 0;
};

Block& block() {
  static Block one;
  return one;
}

thread_local Runner* running = nullptr;

int warp_size(int warp) { return std::min(kWarp, block().size - warp * kWarp); }

void run_kernel(void* runner) {
  (*block().kernel)();
  static_cast<Runner*>(runner)->state = State::kEnded;
}

void suspend(State state, int line) {
  Runner* self = running;
  self->state = state;
  self->line = line;
  self->fiber.suspend();
}

// Releases threads [first, first + size) if all of them wait at the same barrier.
bool release(int first, int size, State state) {
  const auto& runners = block().runners;
  const int line = runners[static_cast<size_t>(first)]->line;
  for (int i = first; i < first + size; ++i) {
    const Runner& runner = *runners[static_cast<size_t>(i)];
    if (runner.state != state || runner.line != line) return false;
  }
  for (int i = first; i < first + size; ++i) runners[static_cast<size_t>(i)]->state = State::kReady;
  return true;
}

std::string divergence() {
  std::string message = "divergent barriers in block " + std::to_string(running->self.block.x) + ":";
  for (const State state : {State::kAtBlockBarrier, State::kAtWarpBarrier, State::kEnded}) {
    int count = 0;
    for (int i = 0; i < block().size; ++i) count += block().runners[static_cast<size_t>(i)]->state == state;
    const char* name = state == State::kEnded           ? "ended"
                       : state == State::kAtWarpBarrier ? "in a warp"
                                                        : "in the block";
    message += " " + std::to_string(count) + " " + name;
  }
  return message;
}

void run_fibers(const std::vector<int>& order) {
  Block& b = block();
  for (int i : order) {
    Runner& runner = *b.runners[static_cast<size_t>(i)];
    runner.state = State::kReady;
    runner.fiber.start(&run_kernel, &runner);
  }
  int ended = 0;
  while (ended < b.size) {
    bool moved = false;
    for (int i : order) {
      Runner& runner = *b.runners[static_cast<size_t>(i)];
      if (runner.state != State::kReady) continue;
      running = &runner;
      runner.fiber.resume();
      ended += runner.state == State::kEnded;
      moved = true;
    }
    for (int first = 0; first < b.size; first += kWarp)
      moved |= release(first, warp_size(first / kWarp), State::kAtWarpBarrier);
    moved |= release(0, b.size, State::kAtBlockBarrier);
    if (!moved) throw std::runtime_error(divergence());
  }
}

void run_threads(const std::vector<int>& order) {
  Block& b = block();
  b.barriers.clear();
  for (int i = 0; i <= (b.size + kWarp - 1) / kWarp; ++i)
    b.barriers.push_back(std::make_unique<ThreadBarrier>());
  std::vector<std::thread> threads;
  for (int i : order) {
    threads.emplace_back([i] {
      running = block().runners[static_cast<size_t>(i)].get();
      (*block().kernel)();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

Options& options() {
  static Options one;
  return one;
}

Thread& current() { return running->self; }

char* shared_memory() { return block().shared.data(); }

void wait_block(int line) {
  if (running->self.barriers++ == options().dropped_barrier) return;
  if (options().threads) return block().barriers[0]->wait(block().size);
  suspend(State::kAtBlockBarrier, line);
}

void wait_warp(int line) {
  const int warp = running->self.number / kWarp;
  if (options().threads) return block().barriers[static_cast<size_t>(1 + warp)]->wait(warp_size(warp));
  suspend(State::kAtWarpBarrier, line);
}

uint64_t exchange(uint64_t value, int from, int line) {
  const int number = running->self.number;
  const int lane = number % kWarp;
  const int warp = number / kWarp;
  block().exchanged[static_cast<size_t>(number)] = value;
  wait_warp(line);
  const int source = from >= 0 && from < warp_size(warp) ? from : lane;
  const uint64_t received = block().exchanged[static_cast<size_t>(warp * kWarp + source)];
  wait_warp(-line);
  return received;
}

void launch(Index grid, Index size, size_t shared_bytes, const std::function<void()>& kernel) {
  Block& b = block();
  b.size = static_cast<int>(size.x * size.y * size.z);
  b.kernel = &kernel;
  b.exchanged.assign(static_cast<size_t>(b.size), 0);
  while (b.runners.size() < static_cast<size_t>(b.size)) b.runners.push_back(std::make_unique<Runner>());
  std::vector<int> order(static_cast<size_t>(b.size));
  const int64_t blocks = int64_t{grid.x} * grid.y * grid.z;
  for (int64_t n = 0; n < blocks; ++n) {
    b.shared.assign(shared_bytes, static_cast<char>(0xff));  // all ones is NaN in every float format
    for (int i = 0; i < b.size; ++i) {
      const auto u = static_cast<unsigned>(i);
      Thread& thread = b.runners[static_cast<size_t>(i)]->self;
      thread.thread = {u % size.x, u / size.x % size.y, u / size.x / size.y};
      thread.block = {static_cast<unsigned>(n % grid.x), static_cast<unsigned>(n / grid.x % grid.y),
                      static_cast<unsigned>(n / grid.x / grid.y)};
      thread.block_size = size;
      thread.grid_size = grid;
      thread.number = i;
      thread.barriers = 0;
      order[static_cast<size_t>(i)] = i;
    }
    std::mt19937_64 random(options().seed * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(n));
    if (options().seed != 0) std::shuffle(order.begin(), order.end(), random);
    if (options().threads) {
      run_threads(order);
    } else {
      run_fibers(order);
    }
    end_block();
  }
}

}  // namespace narsfast::emu
