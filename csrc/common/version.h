#pragma once

namespace narsfast {

// The number that Python and C++ must agree on: raised whenever the layout of an argument changes.
int abi_version();

}  // namespace narsfast
