// Graph: an append-only list of nodes, inputs before users. Program: a graph with its outputs.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/op.hpp"
#include "graph/tensor.hpp"
#include "graph/value.hpp"

namespace weft {

struct Use {
  NodeId user;
  std::uint32_t input;
};

struct Node {
  Op op;
  std::vector<Value> inputs;
  std::vector<Type> outputs;
  std::string name;
  std::vector<std::vector<Use>> uses;  ///< one list per output
};

/// Owns nodes. Acyclic and ordered by construction: a node's inputs exist before it. Movable;
/// Values survive the move. Not safe for concurrent building.
class Graph {
 public:
  Graph();
  ~Graph();
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;

  /// Numbers that are given anew at each run.
  Value input(const Type& type, std::string name);
  /// Numbers that are kept between runs, by name (runtime/variables.hpp).
  Value variable(const Type& type, std::string name);
  Value constant(Tensor tensor);
  Value constant(float scalar) { return constant(Tensor::scalar(scalar)); }
  /// Infers, checks and appends. Throws what the op's `infer` throws, and Error for inputs of
  /// another graph.
  std::vector<Value> apply(Op op, std::vector<Value> inputs);
  /// Appends the op of a node of another graph, on inputs of this one. Where they are of the same
  /// types as that node's, nothing is inferred again.
  std::vector<Value> copy(const Node& node, std::vector<Value> inputs);

  std::size_t size() const noexcept;
  const Node& operator[](NodeId id) const;
  Value value(NodeId node, std::uint32_t port = 0) const;
  std::span<const Use> uses(Value value) const;
  bool owns(Value value) const noexcept;

  /// The graph that a value belongs to.
  static Graph& of(Value value);

 private:
  friend class NameScope;
  std::vector<Value> append(Op op, std::vector<Value> inputs, std::vector<Type> outputs);
  std::unique_ptr<GraphStorage> storage_;
};

/// While it lives, nodes appended to the graph are named after it: "block1/conv". Scopes nest.
class NameScope {
 public:
  NameScope(Graph& graph, std::string_view name);
  ~NameScope();
  NameScope(const NameScope&) = delete;
  NameScope& operator=(const NameScope&) = delete;

 private:
  GraphStorage* storage_;
  std::size_t length_;
};

/// A graph and the values wanted of it: what passes map to one another.
struct Program {
  Graph graph;
  std::vector<Value> outputs;
};

// The three ops without inputs, for code that has to find them.
struct Input {
  Type type;
  std::string label;
  static constexpr Traits traits{.differentiable = false};
  static constexpr auto fields = std::tuple{field("name", &Input::label)};
  static std::string_view name() { return "input"; }
  friend bool operator==(const Input&, const Input&) = default;
  std::vector<Type> infer(std::span<const Type>) const { return {type}; }
  std::vector<Array> evaluate(std::span<const Array>) const;
};
struct Variable {
  Type type;
  std::string label;
  static constexpr Traits traits{.differentiable = false};
  static constexpr auto fields = std::tuple{field("name", &Variable::label)};
  static std::string_view name() { return "variable"; }
  friend bool operator==(const Variable&, const Variable&) = default;
  std::vector<Type> infer(std::span<const Type>) const { return {type}; }
  std::vector<Array> evaluate(std::span<const Array>) const;
};
struct Constant {
  Tensor tensor;
  std::string text;  ///< the number of a scalar, else empty
  static constexpr Traits traits{.differentiable = false};
  static constexpr auto fields = std::tuple{field("value", &Constant::text)};
  static std::string_view name() { return "constant"; }
  friend bool operator==(const Constant& a, const Constant& b);
  std::vector<Type> infer(std::span<const Type>) const { return {tensor.type()}; }
  std::vector<Array> evaluate(std::span<const Array>) const { return {to_array(tensor)}; }
};

/// The number, if the value is a constant of one element.
std::optional<double> constant_scalar(Value value);

}  // namespace weft
