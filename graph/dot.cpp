#include "graph/dot.hpp"

#include <boost/graph/filtered_graph.hpp>
#include <boost/graph/graphviz.hpp>
#include <functional>
#include <ostream>

#include "graph/algorithms.hpp"
#include "graph/bgl.hpp"
#include "graph/print.hpp"

namespace weft {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string label(const Node& node) {
  std::string out = std::string(node.op.name());
  if (!node.name.empty()) out += fmt::format("\\n{}", escaped(node.name));
  const bool named = node.op.as<Input>() != nullptr || node.op.as<Variable>() != nullptr;
  if (const std::string attributes = node.op.attributes(); !attributes.empty() && !named) {
    out += fmt::format("\\n{}", escaped(attributes));
  }
  return out + fmt::format("\\n{}", fmt::join(node.outputs, "\\n"));
}

/// Where numbers enter is grey or blue, where they leave is bold; the rest is white.
std::string style(const Node& node) {
  if (node.op.as<Input>() != nullptr) return ", style=filled, fillcolor=\"#d7e8f7\"";
  if (node.op.as<Variable>() != nullptr) return ", style=filled, fillcolor=\"#fbe6c8\"";
  if (node.op.as<Constant>() != nullptr) return ", style=filled, fillcolor=\"#eeeeee\"";
  return "";
}

}  // namespace

void write_dot(std::ostream& out, const std::vector<Value>& outputs) {
  if (outputs.empty()) {
    out << "digraph G {\n}\n";
    return;
  }
  const Graph& graph = Graph::of(outputs[0]);
  const std::vector<bool> needed = reachable(graph, outputs);
  std::vector<bool> is_output(graph.size());
  for (const Value& output : outputs) is_output[output.node()] = true;

  const std::function<bool(NodeId)> keep = [&](NodeId id) { return needed[id]; };
  const boost::filtered_graph<Graph, boost::keep_all, std::function<bool(NodeId)>> part(
      graph, boost::keep_all{}, keep);
  const auto node_writer = [&](std::ostream& to, NodeId id) {
    to << fmt::format("[label=\"{}\"{}{}]", label(graph[id]), style(graph[id]),
                      is_output[id] ? ", penwidth=2.5" : "");
  };
  const auto edge_writer = [&](std::ostream& to, const Edge& edge) {
    const Value& value = graph[edge.target].inputs[edge.input];
    to << fmt::format("[tooltip=\"{}\"]", value.type());
  };
  const auto graph_writer = [](std::ostream& to) {
    to << "rankdir=TB;\nnode [shape=box, fontname=\"Helvetica\", fontsize=11, "
          "margin=\"0.1,0.05\"];\n"
          "edge [color=\"#555555\", arrowsize=0.7];\n";
  };
  boost::write_graphviz(out, part, node_writer, edge_writer, graph_writer,
                        boost::typed_identity_property_map<NodeId>{});
}

void write_dot(std::ostream& out, const Program& program) { write_dot(out, program.outputs); }

}  // namespace weft
