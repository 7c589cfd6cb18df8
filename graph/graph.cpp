#include "graph/graph.hpp"

#include <cstring>
#include <deque>

#include "graph/print.hpp"

namespace weft {

// A deque keeps references to nodes valid while a derivative rule appends more of them.
struct GraphStorage {
  std::deque<Node> nodes;
  std::string scope;
  Graph* owner = nullptr;  // follows the Graph when that is moved

  Node& node(NodeId id) { return nodes[id]; }
  static GraphStorage* of(Value value) { return value.storage_; }
  /// The node of a value that may be empty. Throws ArgumentError, naming what was asked for.
  static Node& expect_node(const Value& value, const char* what) {
    if (value.storage_ == nullptr) {
      fail<ArgumentError>("value: an empty Value has no {}; it is an output of no node", what);
    }
    return value.storage_->nodes[value.node_];
  }
};

const Type& Value::type() const { return GraphStorage::expect_node(*this, "type").outputs[port_]; }
const Op& Value::op() const { return GraphStorage::expect_node(*this, "op").op; }
const std::vector<Value>& Value::inputs() const {
  return GraphStorage::expect_node(*this, "inputs").inputs;
}
const std::string& Value::name() const { return GraphStorage::expect_node(*this, "name").name; }

Value Value::named(std::string name) const {
  GraphStorage::expect_node(*this, "node to be named").name = std::move(name);
  return *this;
}

Graph::Graph() : storage_(std::make_unique<GraphStorage>()) { storage_->owner = this; }
Graph::~Graph() = default;
Graph::Graph(Graph&& other) noexcept : storage_(std::move(other.storage_)) {
  if (storage_) storage_->owner = this;
}
Graph& Graph::operator=(Graph&& other) noexcept {
  storage_ = std::move(other.storage_);
  if (storage_) storage_->owner = this;
  return *this;
}

Value Graph::input(const Type& type, std::string name) {
  return apply(Input{type, name}, {})[0].named(name);
}

Value Graph::variable(const Type& type, std::string name) {
  return apply(Variable{type, name}, {})[0].named(name);
}

Value Graph::constant(Tensor tensor) {
  std::string text;
  if (tensor.elements() == 1) text = fmt::format("{}", to_array(tensor).data[0]);
  return apply(Constant{std::move(tensor), std::move(text)}, {})[0].named("");
}

namespace {

/// Puts the node's name into a message that begins with its op: conv2d "block1/conv": ...
std::string with_name(std::string_view message, std::string_view op, std::string_view name) {
  if (name.empty() || !message.starts_with(op)) return std::string(message);
  return fmt::format("{} \"{}\"{}", op, name, message.substr(op.size()));
}

}  // namespace

std::vector<Value> Graph::apply(Op op, std::vector<Value> inputs) {
  std::vector<Type> types;
  types.reserve(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]) fail("{}: input {} is an empty Value", op.name(), i);
    if (!owns(inputs[i])) fail("{}: input {} belongs to another graph", op.name(), i);
    types.push_back(inputs[i].type());
  }
  std::vector<Type> outputs;
  try {
    outputs = op.infer(types);
  } catch (const ShapeError& error) {
    throw ShapeError(with_name(error.what(), op.name(), storage_->scope));
  } catch (const TypeError& error) {
    throw TypeError(with_name(error.what(), op.name(), storage_->scope));
  }
  return append(std::move(op), std::move(inputs), std::move(outputs));
}

std::vector<Value> Graph::copy(const Node& node, std::vector<Value> inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!owns(inputs[i]) || inputs[i].type() != node.inputs[i].type()) {
      return apply(node.op, std::move(inputs));
    }
  }
  return append(node.op, std::move(inputs), node.outputs);
}

std::vector<Value> Graph::append(Op op, std::vector<Value> inputs, std::vector<Type> outputs) {
  const auto id = static_cast<NodeId>(storage_->nodes.size());
  std::vector<Value> values;
  values.reserve(outputs.size());
  for (std::uint32_t port = 0; port < outputs.size(); ++port) {
    values.push_back(Value(storage_.get(), id, port));
  }
  for (std::uint32_t i = 0; i < inputs.size(); ++i) {
    storage_->node(inputs[i].node()).uses[inputs[i].port()].push_back({id, i});
  }
  std::vector<std::vector<Use>> uses(outputs.size());
  storage_->nodes.push_back(
      {std::move(op), std::move(inputs), std::move(outputs), storage_->scope, std::move(uses)});
  return values;
}

std::size_t Graph::size() const noexcept { return storage_ ? storage_->nodes.size() : 0; }
const Node& Graph::operator[](NodeId id) const { return storage_->nodes[id]; }
Value Graph::value(NodeId node, std::uint32_t port) const {
  return Value(storage_.get(), node, port);
}
std::span<const Use> Graph::uses(Value value) const {
  return storage_->nodes[value.node()].uses[value.port()];
}
bool Graph::owns(Value value) const noexcept {
  return value && GraphStorage::of(value) == storage_.get();
}
Graph& Graph::of(Value value) {
  if (!value) fail("graph: an empty Value belongs to no graph");
  return *GraphStorage::of(value)->owner;
}

NameScope::NameScope(Graph& graph, std::string_view name)
    : storage_(graph.storage_.get()), length_(storage_->scope.size()) {
  if (length_ > 0) storage_->scope += '/';
  storage_->scope += name;
}
NameScope::~NameScope() { storage_->scope.resize(length_); }

Value apply(Op op, std::vector<Value> inputs) {
  return apply_all(std::move(op), std::move(inputs))[0];
}

std::vector<Value> apply_all(Op op, std::vector<Value> inputs) {
  if (inputs.empty()) fail("{}: an op without inputs has no graph to go to", op.name());
  if (!inputs[0]) fail("{}: input 0 is an empty Value", op.name());
  return Graph::of(inputs[0]).apply(std::move(op), std::move(inputs));
}

std::vector<Array> Input::evaluate(std::span<const Array>) const {
  fail("input \"{}\": no value was given for it", label);
}
std::vector<Array> Variable::evaluate(std::span<const Array>) const {
  fail("variable \"{}\": no value was given for it", label);
}

bool operator==(const Constant& a, const Constant& b) {
  return a.tensor.type() == b.tensor.type() &&
         (a.tensor.bytes() == b.tensor.bytes() ||
          std::memcmp(a.tensor.bytes(), b.tensor.bytes(), a.tensor.type().bytes()) == 0);
}

std::optional<double> constant_scalar(Value value) {
  const auto* constant = value.op().as<Constant>();
  if (constant == nullptr || constant->tensor.elements() != 1) return std::nullopt;
  return to_array(constant->tensor).data[0];
}

}  // namespace weft
