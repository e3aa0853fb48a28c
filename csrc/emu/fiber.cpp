#include "emu/fiber.h"

#include <cstdint>

namespace narsfast::emu {
namespace {
thread_local Fiber* starting = nullptr;
}

#if defined(__x86_64__)

// Saves the callee-saved registers on the old stack and restores them from the new one.
extern "C" void narsfast_emu_switch(void** from, void* to);
asm(R"(
.text
.type narsfast_emu_switch, @function
narsfast_emu_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size narsfast_emu_switch, .-narsfast_emu_switch
)");

void Fiber::start(void (*function)(void*), void* argument) {
  function_ = function;
  argument_ = argument;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(stack_.get()) + kStackBytes) & ~uintptr_t{15};
  // As after a call, the stack is 8 bytes off its alignment to 16.
  void** top = reinterpret_cast<void**>(end) - 2;
  *top = reinterpret_cast<void*>(&Fiber::enter);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  inside_ = top;
}

void Fiber::resume() {
  starting = this;
  narsfast_emu_switch(&outside_, inside_);
}

void Fiber::suspend() { narsfast_emu_switch(&inside_, outside_); }

#else

void Fiber::start(void (*function)(void*), void* argument) {
  function_ = function;
  argument_ = argument;
  getcontext(&inside_);
  inside_.uc_stack.ss_sp = stack_.get();
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  makecontext(&inside_, &Fiber::enter, 0);
}

void Fiber::resume() {
  starting = this;
  swapcontext(&outside_, &inside_);
}

void Fiber::suspend() { swapcontext(&inside_, &outside_); }

#endif

Fiber::Fiber() : stack_(new char[kStackBytes]) {}

void Fiber::enter() {
  Fiber* self = starting;
  self->function_(self->argument_);
  for (;;) self->suspend();  // a function that ended has no caller to return to
}

}  // namespace narsfast::emu
