#pragma once

#include <string>
#include <vector>

namespace narsfast {

// Instruction sets that the kernels are compiled for, slowest first. Baseline is what the compiler assumes
// without options: SSE2 on x86-64, NEON on AArch64.
enum class Isa { kBaseline = 0, kAvx2, kAvx512 };

const char* isa_name(Isa isa);

// Those that this build holds and this machine runs, slowest first.
std::vector<Isa> available_isas();

// The fastest available one, or the one that the environment variable NARSFAST_ISA names (baseline, avx2,
// avx512). Read at each call: objects that pack data for an instruction set choose once, when they are made.
// Throws std::invalid_argument when the named one is unknown or cannot run here.
Isa choose_isa();

}  // namespace narsfast
