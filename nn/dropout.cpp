#include "nn/dropout.hpp"

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {

Dropout::Dropout(double r, LayerConfig c) : rate(r), config(std::move(c)) {
  if (!(rate >= 0 && rate < 1)) {
    fail<ArgumentError>("Dropout: rate must be in [0, 1), not {}", rate);
  }
}

Value Dropout::operator()(Scope& scope, Value x) const {
  if (!scope.training() || rate == 0) return x;
  const auto keep = static_cast<float>(1 - rate);
  const auto [key, stream] = scope.random();
  return x * (random_bernoulli(key, x.shape(), stream, keep) * (1 / keep));
}

}  // namespace weft::nn
