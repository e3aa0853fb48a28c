#include "common/version.h"

namespace narsfast {

int abi_version() { return 1; }

}  // namespace narsfast
