#include "nn/constraints.hpp"

#include <array>

#include "graph/print.hpp"
#include "ops/ops.hpp"

namespace weft::nn {
namespace {

struct Row {
  std::string_view name;
  Constraint (*make)();
};

constexpr std::array known{
    Row{"max_norm", []() -> Constraint { return MaxNorm{}; }},
    Row{"min_max_norm", []() -> Constraint { return MinMaxNorm{}; }},
    Row{"non_neg", []() -> Constraint { return NonNeg{}; }},
    Row{"unit_norm", []() -> Constraint { return UnitNorm{}; }},
};

constexpr float epsilon = 1e-7f;  // Keras' fuzz factor

Value norms(Value w, const Axes& axis) { return sqrt(sum(square(w), axis, Keep::axes)); }

}  // namespace

Constraint::Constraint(std::string_view wanted)
    : Constraint(find_named("constraint", wanted, std::span<const Row>(known)).make()) {}

Value Constraint::operator()(Value weight) const {
  const Value held = function(weight);
  if (!held || held.type() != weight.type()) {
    fail<ShapeError>("constraint \"{}\": it must return {}, as its argument, not {}", name,
                     weight.type(), held ? fmt::format("{}", held.type()) : "an empty Value");
  }
  return held;
}

Value MaxNorm::operator()(Value w) const {
  const Value given = norms(w, axis);
  return w * (minimum(given, static_cast<float>(max_value)) / (given + epsilon));
}

Value MinMaxNorm::operator()(Value w) const {
  const Value given = norms(w, axis);
  const auto low = static_cast<float>(min_value), high = static_cast<float>(max_value);
  const Value inside = maximum(minimum(given, high), low) * static_cast<float>(rate);
  const Value wanted = rate == 1 ? inside : inside + given * static_cast<float>(1 - rate);
  return w * (wanted / (given + epsilon));
}

Value NonNeg::operator()(Value w) const { return relu(w); }

Value UnitNorm::operator()(Value w) const { return w / (norms(w, axis) + epsilon); }

}  // namespace weft::nn
