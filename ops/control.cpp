#include "ops/control.hpp"

#include "graph/graph.hpp"
#include "runtime/lowering.hpp"

namespace weft {
namespace {

struct StopGradient {
  // With a rule all the same: gradients takes what such an op computes for a constant.
  static constexpr Traits traits{.differentiable = false};
  static std::string_view name() { return "stop_gradient"; }
  friend bool operator==(const StopGradient&, const StopGradient&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    return {in[0]};
  }

  // dx = 0
  std::vector<Value> vjp(const VjpArgs&) const { return {Value{}}; }

  std::vector<Array> evaluate(std::span<const Array> in) const { return {in[0]}; }

  // Passes run on graphs that have been differentiated already.
  std::optional<Value> simplify(std::span<const Value> in) const { return in[0]; }

  void lower(Lowering& l) const { l.view(0, 0); }
};

const Register registered{StopGradient{}};

}  // namespace

Value stop_gradient(Value x) { return apply(StopGradient{}, {x}); }

}  // namespace weft
