#include "emu/fibre.h"

#include <cstdint>

namespace narsfast::emu {
namespace {
thread_local Fibre* starting = nullptr;
}

#if defined(__x86_64__)

// Saves what a call must preserve on the old stack and restores it from the new one.
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

void Fibre::start(void (*function)(void*), void* argument) {
  function_ = function;
  argument_ = argument;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(stack_.get()) + kStackBytes) & ~uintptr_t{15};
  void** top = reinterpret_cast<void**>(end) - 2;  // as after a call: the stack is 8 bytes off 16
  *top = reinterpret_cast<void*>(&Fibre::enter);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  inside_ = top;
}

void Fibre::resume() {
  starting = this;
  narsfast_emu_switch(&outside_, inside_);
}

void Fibre::suspend() { narsfast_emu_switch(&inside_, outside_); }

#else

void Fibre::start(void (*function)(void*), void* argument) {
  function_ = function;
  argument_ = argument;
  getcontext(&inside_);
  inside_.uc_stack.ss_sp = stack_.get();
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  makecontext(&inside_, &Fibre::enter, 0);
}

void Fibre::resume() {
  starting = this;
  swapcontext(&outside_, &inside_);
}

void Fibre::suspend() { swapcontext(&inside_, &outside_); }

#endif

Fibre::Fibre() : stack_(new char[kStackBytes]) {}

void Fibre::enter() {
  Fibre* self = starting;
  self->function_(self->argument_);
  for (;;) self->suspend();  // an ended fibre has nowhere to return to
}

}  // namespace narsfast::emu
