#include "nn/activation_layers.hpp"

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {

ReLU::ReLU(ReLUConfig c) : config(std::move(c)) {
  const auto expect = [](std::string_view what, double number) {
    if (!(number >= 0)) fail<ArgumentError>("ReLU: {} must be at least 0, not {}", what, number);
  };
  expect("max_value", config.max_value.value_or(0));
  expect("negative_slope", config.negative_slope);
  expect("threshold", config.threshold);
}

Value ReLU::operator()(Scope&, Value x) const {
  const auto slope = static_cast<float>(config.negative_slope),
             threshold = static_cast<float>(config.threshold);
  Value y;
  if (threshold != 0) {
    y = select(less(x, threshold), slope * (x - threshold), x);
  } else {
    y = slope == 0 ? relu(x) : leaky_relu(x, slope);
  }
  if (!config.max_value) return y;
  return minimum(y, static_cast<float>(*config.max_value));
}

}  // namespace weft::nn
