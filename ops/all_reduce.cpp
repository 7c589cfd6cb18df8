#include "ops/all_reduce.hpp"

#include <algorithm>

#include "graph/graph.hpp"
#include "ops/reduce.hpp"
#include "ops/unary.hpp"
#include "runtime/lowering.hpp"

namespace weft {
namespace {

struct AllReduce {
  static constexpr Traits traits{.sums_replicas = true};
  static std::string_view name() { return "all_reduce"; }
  friend bool operator==(const AllReduce&, const AllReduce&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    return {in[0]};
  }
  // y_r = sum over s of x_s in every replica r, so dx_s = sum over r of dy_r.
  std::vector<Value> vjp(const VjpArgs& args) const { return {all_reduce(args.cotangents[0])}; }
  // The definition knows of one replica.
  std::vector<Array> evaluate(std::span<const Array> in) const { return {in[0]}; }
  void lower(Lowering& l) const { l.all_reduce(0, 0); }
};

/// The squares of n neighbours. Rounding errors stay those of a short sum: lanes are brought
/// together in double precision every so often.
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]] double squares_of(
    const float* x, std::size_t n) {
  constexpr std::size_t lanes = 32, run_length = 64 * lanes;
  double total = 0;
  for (std::size_t first = 0; first < n; first += run_length) {
    const std::size_t last = std::min(n, first + run_length);
    float part[lanes] = {};
    std::size_t i = first;
    for (; i + lanes <= last; i += lanes) {
      for (std::size_t k = 0; k < lanes; ++k) part[k] += x[i + k] * x[i + k];
    }
    for (std::size_t k = 0; i < last; ++i, ++k) part[k] += x[i] * x[i];
    for (const float sum : part) total += static_cast<double>(sum);
  }
  return total;
}

struct SumOfSquares {
  static std::string_view name() { return "sum_of_squares"; }
  friend bool operator==(const SumOfSquares&, const SumOfSquares&) = default;

  std::vector<Type> infer(std::span<const Type> in) const {
    expect_inputs(name(), in, 1);
    expect_f32(name(), in);
    return {{DType::f32, {}}};
  }
  std::vector<Value> decompose(std::span<const Value> in) const { return {sum(square(in[0]))}; }
  // Padding is zero, and adds nothing.
  void lower(Lowering& l) const {
    const Operand x = l.read(0);
    l.sum_of_parts(0, x, onednn::padded_elements(x.layout.md),
                   [](auto reads, auto writes, std::size_t first, std::size_t last) {
                     const float* numbers = as<float>(reads[0]);
                     *as<float>(writes[0]) =
                         static_cast<float>(squares_of(numbers + first, last - first));
                   });
  }
};

const Register registered{AllReduce{}, SumOfSquares{}};

}  // namespace

Value all_reduce(Value x) { return apply(AllReduce{}, {x}); }

Value sum_of_squares(Value x) { return apply(SumOfSquares{}, {x}); }

bool is_uniform(Value x) {
  // Inputs come before users, so one walk back meets every node after all that need it.
  const Graph& graph = Graph::of(x);
  std::vector<bool> needed(x.node() + 1);
  needed[x.node()] = true;
  for (NodeId id = x.node() + 1; id-- > 0;) {
    const Node& node = graph[id];
    if (!needed[id] || node.op.as<AllReduce>() != nullptr) continue;
    if (node.op.as<Input>() != nullptr && node.outputs[0].shape.rank() > 0) return false;
    for (const Value& input : node.inputs) needed[input.node()] = true;
  }
  return true;
}

}  // namespace weft
