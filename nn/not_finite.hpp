// Numbers that are NaN or infinite.
#pragma once

#include <cstdint>

#include "graph/tensor.hpp"

namespace weft::nn {

/// How many rows of a tensor (along its first axis) hold a NaN or an infinity. Integers never do.
std::int64_t rows_not_finite(const Tensor& tensor);

}  // namespace weft::nn
