// Ops that tests make up. They also show how little an op needs.
#pragma once

#include <vector>

#include "graph/graph.hpp"

namespace weft::toy {

/// factor * x: an attribute, a meaning, a derivative.
struct Scale {
  float factor = 2;
  static constexpr auto fields = std::tuple{field("factor", &Scale::factor)};
  static std::string_view name() { return "scale"; }
  friend bool operator==(const Scale&, const Scale&) = default;

  std::vector<Type> infer(std::span<const Type> inputs) const {
    expect_inputs(name(), inputs, 1);
    expect_floating(name(), inputs);
    return {inputs[0]};
  }
  std::vector<Array> evaluate(std::span<const Array> inputs) const {
    Array y = inputs[0];
    for (double& number : y.data) number *= factor;
    return {y};
  }
  std::vector<Value> vjp(const VjpArgs& args) const { return {apply(*this, {args.cotangents[0]})}; }
};

/// a + b, without broadcasting.
struct Plus {
  static std::string_view name() { return "plus"; }
  friend bool operator==(const Plus&, const Plus&) = default;

  std::vector<Type> infer(std::span<const Type> inputs) const {
    expect_inputs(name(), inputs, 2);
    if (inputs[0] != inputs[1]) fail<ShapeError>("plus: operands differ");
    return {inputs[0]};
  }
  std::vector<Array> evaluate(std::span<const Array> inputs) const {
    Array y = inputs[0];
    for (std::size_t i = 0; i < y.data.size(); ++i) y.data[i] += inputs[1].data[i];
    return {y};
  }
  std::vector<Value> vjp(const VjpArgs& args) const {
    return {args.cotangents[0], args.cotangents[0]};
  }
};

/// Two outputs: x, and 3 x. The derivative is that of the decomposition.
struct Fork {
  static std::string_view name() { return "fork"; }
  friend bool operator==(const Fork&, const Fork&) = default;

  std::vector<Type> infer(std::span<const Type> inputs) const { return {inputs[0], inputs[0]}; }
  std::vector<Value> decompose(std::span<const Value> inputs) const {
    return {inputs[0], apply(Scale{3}, {inputs[0]})};
  }
};

}  // namespace weft::toy
