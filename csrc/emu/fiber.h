#pragma once

#include <cstddef>
#include <memory>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace narsfast::emu {

// A function with its own stack that can be suspended and resumed. A CUDA block is some hundred fibers that
// switch at every barrier, so a switch is a few instructions; on machines other than x86-64, ucontext makes a
// system call each time.
class Fiber {
 public:
  Fiber();
  // The next resume() starts `function(argument)`. What ran before is dropped, and its stack is reused.
  void start(void (*function)(void*), void* argument);
  // Runs until the fiber suspends or ends.
  void resume();
  // Called inside the fiber: returns to the caller of resume().
  void suspend();

 private:
  static void enter();

  static constexpr size_t kStackBytes = 128 * 1024;
  std::unique_ptr<char[]> stack_;
  void (*function_)(void*) = nullptr;
  void* argument_ = nullptr;
#if defined(__x86_64__)
  void* inside_ = nullptr;
  void* outside_ = nullptr;
#else
  ucontext_t inside_;
  ucontext_t outside_;
#endif
};

}  // namespace narsfast::emu
