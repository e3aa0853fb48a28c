#pragma once

#include <string>
#include <vector>

namespace narsfast {

// Instruction sets that the kernels are compiled for, slowest first. The baseline is the compiler's default:
// SSE2 on x86-64, NEON on AArch64.
enum class Isa { kBaseline = 0, kAvx2, kAvx512 };

const char* isa_name(Isa isa);

// The instruction sets that this build contains and this machine supports, slowest first.
std::vector<Isa> available_isas();

// The fastest available instruction set, or the one named by the environment variable NARSFAST_ISA (baseline,
// avx2, avx512). The variable is read at each call; objects that pack data for an instruction set call this
// once, in their constructor. Throws std::invalid_argument where the name is unknown or cannot run here.
Isa choose_isa();

}  // namespace narsfast
