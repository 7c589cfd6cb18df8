#include "nn/reshaping.hpp"

#include <algorithm>

#include "graph/print.hpp"
#include "nn/arguments.hpp"
#include "nn/shapes.hpp"
#include "ops/ops.hpp"

namespace weft::nn {

Value Flatten::operator()(Scope&, Value x) const { return flatten(x); }

Reshape::Reshape(std::vector<std::int64_t> shape, LayerConfig c)
    : target_shape(std::move(shape)), config(std::move(c)) {
  const auto unknown = std::count(target_shape.begin(), target_shape.end(), -1);
  const bool bad = std::any_of(target_shape.begin(), target_shape.end(),
                               [](std::int64_t size) { return size < 1 && size != -1; });
  if (unknown > 1 || bad) {
    fail<ArgumentError>("Reshape: sizes must be at least 1, and one may be -1, not [{}]",
                        fmt::join(target_shape, ","));
  }
}

Value Reshape::operator()(Scope&, Value x) const {
  if (x.shape().rank() == 0) fail<ShapeError>("Reshape: the input has no batch axis: {}", x.type());
  std::vector<std::int64_t> sizes{x.shape()[0]};
  std::int64_t known = x.shape()[0];
  for (const std::int64_t size : target_shape) known *= size == -1 ? 1 : size;
  for (const std::int64_t size : target_shape) {
    sizes.push_back(size == -1 && known > 0 ? x.shape().elements() / known : size);
  }
  const auto fits = [&] {
    std::int64_t elements = 1;
    for (const std::int64_t size : sizes) elements *= size;
    return elements == x.shape().elements();
  };
  if (!fits()) {
    fail<ShapeError>("Reshape: {} cannot become [{},{}]", x.type(), x.shape()[0],
                     fmt::join(target_shape, ","));
  }
  return reshape(x, Shape(sizes));
}

}  // namespace weft::nn
