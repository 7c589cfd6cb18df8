// The drawing of a model: a box for each call of a layer, arrows along the data.
#include <map>
#include <sstream>

#include "graph/print.hpp"
#include "nn/model.hpp"
#include "nn/shapes.hpp"

namespace weft::nn {
namespace {

/// Text for one of Graphviz' labels in the manner of HTML.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string shapes_of(const std::vector<Value>& values) {
  std::vector<std::string> texts;
  for (const Value& value : values) {
    const Shape& shape = value.shape();
    texts.push_back(
        fmt::format("{}{}", fmt::join(shape.begin() + 1, shape.end(), " \xc3\x97 "),
                    value.dtype() == DType::f32 ? "" : fmt::format(" {}", value.dtype())));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

/// 1234567 as 1,234,567.
std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

enum class Kind { input, weights, frozen, plain };

constexpr std::string_view color_of(Kind kind) {
  switch (kind) {
    case Kind::input:
      return "#d7e8f7";
    case Kind::weights:
      return "#fbe6c8";
    case Kind::frozen:
      return "#e3e3e3";
    case Kind::plain:
      break;
  }
  return "#ffffff";
}

class Drawing {
 public:
  Drawing(const DrawOptions& options, const Trace& trace) : options_(options), trace_(trace) {
    out_ << "digraph model {\n  rankdir=" << options.rankdir
         << ";\n  nodesep=0.35; ranksep=0.35;\n"
            "  node [shape=box, style=\"filled,rounded\", color=\"#707070\", "
            "fontname=\"Helvetica\", fontsize=11, margin=\"0.14,0.07\"];\n"
            "  edge [color=\"#505050\", arrowsize=0.7, fontname=\"Helvetica\", fontsize=9];\n";
  }

  /// The boxes of a network and the arrows between them. `from` names the box and port behind each
  /// of its inputs; returns those behind its outputs. `made` is what Network::trace returned.
  void inputs(const Network& network, const std::vector<std::vector<Value>>& made) {
    for (std::size_t i = 0; i < network.inputs.size(); ++i) {
      box(i, Kind::input, "Input", network.inputs[i].name, shapes_of(made[i]), {});
    }
  }

  void calls(const Network& network, const std::vector<std::vector<Value>>& made) {
    std::vector<std::size_t> count(network.layers.size()), seen(network.layers.size());
    for (const Network::Call& call : network.calls) ++count[call.layer];
    const std::vector<Weights> weights = weights_of(network);
    const std::size_t first = network.inputs.size();
    for (std::size_t i = 0; i < network.calls.size(); ++i) {
      const Network::Call& call = network.calls[i];
      const auto& [name, layer] = network.layers[call.layer];
      const std::size_t number = ++seen[call.layer];
      std::vector<std::string> notes;
      const std::int64_t parameters = weights[call.layer].parameters;
      const bool frozen = weights[call.layer].frozen();
      if (options_.parameters && parameters > 0) {
        notes.push_back(
            fmt::format("{} parameter{}", grouped(parameters), parameters == 1 ? "" : "s"));
      }
      if (frozen) notes.push_back("frozen");
      if (count[call.layer] > 1)
        notes.push_back(fmt::format("call {} of {}", number, count[call.layer]));
      const Kind kind = parameters == 0 ? Kind::plain : frozen ? Kind::frozen : Kind::weights;
      box(first + i, kind, layer.type(), name, shapes_of(made[first + i]), notes);
      for (const auto& [from, port] : call.inputs) {
        out_ << fmt::format("  n{} -> n{}", from, first + i);
        if (made[from].size() > 1) out_ << fmt::format(" [label=\" output {}\"]", port);
        out_ << ";\n";
      }
      // Calls of one layer are tied together by a line without a direction.
      if (number > 1) {
        out_ << fmt::format("  n{} -> n{} [style=dotted, dir=none, constraint=false];\n",
                            last_call_.at(call.layer), first + i);
      }
      last_call_[call.layer] = first + i;
    }
  }

  void outputs(const Network& network) {
    for (const auto& [from, port] : network.outputs) {
      out_ << fmt::format("  n{} [penwidth=2.2, color=\"#202020\"];\n", from);
    }
  }

  std::string text() && {
    out_ << "}\n";
    return std::move(out_).str();
  }

 private:
  void box(std::size_t number, Kind kind, const std::string& type, const std::string& name,
           const std::string& shapes, const std::vector<std::string>& notes) {
    std::string label =
        fmt::format("<b>{}</b>  <font color=\"#606060\">{}</font>", escaped(type), escaped(name));
    if (options_.shapes) label += "<br/>" + escaped(shapes);
    if (!notes.empty()) {
      label += fmt::format("<br/><font point-size=\"9\" color=\"#606060\">{}</font>",
                           escaped(fmt::format("{}", fmt::join(notes, ", "))));
    }
    out_ << fmt::format("  n{} [label=<{}>, fillcolor=\"{}\"];\n", number, label, color_of(kind));
  }

  struct Weights {
    std::int64_t parameters = 0;
    bool could_be_trained = false, are_trained = false;
    bool frozen() const { return could_be_trained && !are_trained; }
  };
  /// Of each layer.
  std::vector<Weights> weights_of(const Network& network) const {
    std::vector<Weights> result(network.layers.size());
    const std::vector<std::size_t> owners = network.owners(trace_);
    for (std::size_t i = 0; i < owners.size(); ++i) {
      const Trace::Weight& weight = trace_.weights[i];
      Weights& weights = result[owners[i]];
      weights.parameters += weight.value.shape().elements();
      weights.could_be_trained |= weight.is_parameter;
      weights.are_trained |= weight.is_parameter && weight.trainable;
    }
    return result;
  }

  const DrawOptions& options_;
  const Trace& trace_;
  std::map<std::size_t, std::size_t> last_call_;  // of each layer
  std::ostringstream out_;
};

}  // namespace

std::string Model::to_dot(const DrawOptions& options) {
  if (options.rankdir != "TB" && options.rankdir != "LR") {
    fail<ArgumentError>("draw: rankdir must be \"TB\" or \"LR\", not \"{}\"", options.rankdir);
  }
  expect_input_shape("draw");
  Graph graph;
  Trace trace{graph, variables_, config.seed, false};
  const std::vector<std::vector<Value>> made = trace_types(trace);
  Drawing drawing(options, trace);
  drawing.inputs(network_, made);
  drawing.calls(network_, made);
  drawing.outputs(network_);
  return std::move(drawing).text();
}

void Model::watch_training_step(const Dataset& data, std::int64_t batch_size,
                                const CompileOptions::Watch& watch) {
  if (batch_size < 1) {
    fail<ArgumentError>("draw_training_step: batch_size must be at least 1, not {}", batch_size);
  }
  prepare("draw_training_step", data, true);
  const Sharing::Making making(sharing_);
  Graph graph;
  const Traced traced =
      trace_slice(Mode::train, graph, {batch_size, batch_size, 1}, target_types(data, batch_size));
  weft::compile(traced.outputs, variables_,
                {.updates = traced.updates, .winograd = config.winograd, .watch = watch});
}

}  // namespace weft::nn
