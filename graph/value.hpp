// Value: a handle to one output of one node. It is what users compute with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/shape.hpp"

namespace weft {

using NodeId = std::uint32_t;
class Graph;
class Op;
struct GraphStorage;

/// One output of a node, 16 bytes, passed by value. It stays valid as long as its Graph lives, also
/// when the Graph is moved. An empty one has no type, op, inputs or name: those throw ArgumentError.
class Value {
 public:
  Value() = default;  ///< no value: an absent input, a cotangent of zero
  explicit operator bool() const noexcept { return storage_ != nullptr; }

  NodeId node() const noexcept { return node_; }
  std::uint32_t port() const noexcept { return port_; }
  const Type& type() const;
  const Shape& shape() const { return type().shape; }
  DType dtype() const { return type().dtype; }
  const Op& op() const;                      ///< what computes it
  const std::vector<Value>& inputs() const;  ///< from what
  const std::string& name() const;           ///< its node's name; may be empty
  /// Names the node, for messages, print-outs and drawings; returns *this.
  Value named(std::string name) const;

  /// The same output of the same node. Elementwise equality of the numbers is equal(a, b).
  friend bool operator==(const Value&, const Value&) = default;

 private:
  friend class Graph;
  friend struct GraphStorage;
  Value(GraphStorage* storage, NodeId node, std::uint32_t port)
      : storage_(storage), node_(node), port_(port) {}

  GraphStorage* storage_ = nullptr;
  NodeId node_ = 0;
  std::uint32_t port_ = 0;
};

/// Appends a node to the graph of the inputs and returns its first output.
/// Throws Error if the inputs are of different graphs or there are none; what `infer` throws.
Value apply(Op op, std::vector<Value> inputs);
/// The same, returning every output.
std::vector<Value> apply_all(Op op, std::vector<Value> inputs);

}  // namespace weft
