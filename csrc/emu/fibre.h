#pragma once

#include <cstddef>
#include <memory>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace narsfast::emu {

// One stack that runs a function and can be left and entered again. A CUDA block is some hundred of them that
// meet at every barrier, so the switch is a few instructions; ucontext, where it has to serve, makes a system
// call each time.
class Fibre {
 public:
  Fibre();
  // Makes the next resume() start `function(argument)`. Whatever ran before is forgotten, its stack reused.
  void start(void (*function)(void*), void* argument);
  // Runs until the fibre suspends or ends.
  void resume();
  // Called inside the fibre: back to whoever resumed it.
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
