#include "nn/symbol.hpp"

#include <atomic>

#include "nn/shapes.hpp"

namespace weft::nn {
namespace {

/// What the layer makes of one sample of each input.
std::vector<Type> output_types(const Layer& layer, const std::vector<Symbol>& inputs) {
  Graph graph;
  Variables none;
  Trace trace{graph, none, 0, false};
  trace.types_only = true;
  Scope scope(trace);
  std::vector<Value> values;
  for (const Symbol& input : inputs) {
    values.push_back(graph.input({input.dtype(), with_batch(1, input.shape())},
                                 fmt::format("x{}", values.size())));
  }
  std::vector<Type> types;
  for (const Value& output : layer(scope, values)) {
    if (!output) fail("{}: it returned an empty Value", layer.type());
    if (output.shape().rank() == 0 || output.shape()[0] != 1) {
      fail<ShapeError>("{}: it must return one row per sample, but makes {} of {}", layer.type(),
                       output.type(), values[0].type());
    }
    types.push_back(output.type());
  }
  return types;
}

}  // namespace

Shape Symbol::shape() const { return without_batch(call_->outputs[port_].shape); }
DType Symbol::dtype() const { return call_->outputs[port_].dtype; }

SymbolicCall::SymbolicCall(Layer l, std::vector<Symbol> in, std::vector<Type> out)
    : layer(std::move(l)), inputs(std::move(in)), outputs(std::move(out)) {
  static std::atomic<std::uint64_t> calls{0};
  order = calls++;
}

SymbolicCall::~SymbolicCall() {
  std::vector<Symbol> last = std::move(inputs);
  while (!last.empty()) {
    const Symbol symbol = std::move(last.back());
    last.pop_back();
    if (symbol.call_.use_count() != 1) continue;  // another will free it
    for (Symbol& input : symbol.call_->inputs) last.push_back(std::move(input));
    symbol.call_->inputs.clear();
  }
}

std::vector<Symbol> Layer::call_all(const Symbols& inputs) const {
  if (inputs.size() == 0) fail<ArgumentError>("{}: it was called on nothing", type());
  for (const Symbol& input : inputs) {
    if (!input) fail<ArgumentError>("{}: it was called on an empty nn::Symbol", type());
  }
  auto call = std::make_shared<SymbolicCall>(*this, inputs, output_types(*this, inputs));
  std::vector<Symbol> symbols;
  for (std::uint32_t port = 0; port < call->outputs.size(); ++port) {
    symbols.push_back(Symbol(call, port));
  }
  return symbols;
}

Symbol Layer::operator()(const Symbols& inputs) const {
  const std::vector<Symbol> outputs = call_all(inputs);
  expect_one_output(*this, outputs.size());
  return outputs[0];
}

}  // namespace weft::nn
