// Ops that compute nothing, and matter to differentiation.
#pragma once

#include "graph/value.hpp"

namespace weft {

/// x, through which no gradient flows.
Value stop_gradient(Value x);

}  // namespace weft
