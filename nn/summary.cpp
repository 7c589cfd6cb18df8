// Keras' table of a model.
#include <algorithm>
#include <array>

#include "nn/model.hpp"
#include "nn/shapes.hpp"

namespace weft::nn {
namespace {

/// Where columns end. A row begins with a space, and two stand between columns; what is longer goes
/// on below, and so does what follows the end of an item of a list.
struct Table {
  std::vector<std::size_t> ends;
  std::string text{};

  std::size_t width() const { return ends.back(); }
  void line(char c) { text.append(width(), c) += '\n'; }
  void row(std::vector<std::string> cells);
};

std::size_t that_fits(const std::string& cell, std::size_t room) {
  std::size_t length = std::min(room, cell.size());
  for (const std::string_view end : {"),", "},", "],", "',"}) {
    const std::size_t at = std::string_view(cell).substr(0, room).find(end);
    if (at != std::string_view::npos) length = std::min(length, at + end.size());
  }
  return length;
}

void Table::row(std::vector<std::string> cells) {
  const std::size_t last = ends.size() - 1;
  while (std::any_of(cells.begin(), cells.end(), [](const auto& cell) { return !cell.empty(); })) {
    std::string line = " ";
    for (std::size_t i = 0; i <= last; ++i) {
      const std::size_t start = i == 0 ? 0 : ends[i - 1];
      const std::size_t length = that_fits(cells[i], ends[i] - start - (i == last ? 0 : 3));
      line += cells[i].substr(0, length);
      cells[i].erase(0, length);
      line.resize(std::max(line.size(), ends[i]), ' ');
    }
    text += line + '\n';
  }
}

std::string with_batch_none(const Shape& shape) {
  if (shape.rank() == 1) return "(None,)";
  return fmt::format("(None, {})", fmt::join(shape.begin() + 1, shape.end(), ", "));
}

/// "393.98 KB"
std::string memory_of(std::int64_t params) {
  constexpr std::array units{"Byte", "KB", "MB", "GB", "TB", "PB"};
  double size = static_cast<double>(params) * sizeof(float);
  std::size_t unit = 0;
  while (size >= 1024 && unit + 1 < units.size()) {
    size /= 1024;
    ++unit;
  }
  return fmt::format("{:.2f} {}", size, units[unit]);
}

std::string params_line(std::string_view what, std::int64_t params) {
  return fmt::format("{} params: {} ({})\n", what, params, memory_of(params));
}

std::string shape_cell(const std::vector<Value>& outputs) {
  if (outputs.size() == 1) return with_batch_none(outputs[0].shape());
  std::vector<std::string> shapes;
  for (const Value& output : outputs) shapes.push_back(with_batch_none(output.shape()));
  return fmt::format("[{}]", fmt::join(shapes, ", "));
}

/// Whether each call has one input, the call before it, and each layer one call.
bool is_chain(const Network& network) {
  if (network.inputs.size() != 1 || network.outputs.size() != 1) return false;
  if (network.calls.size() != network.layers.size()) return false;
  for (std::size_t i = 0; i < network.calls.size(); ++i) {
    const auto& inputs = network.calls[i].inputs;
    if (inputs.size() != 1 || inputs[0].from != i) return false;
  }
  return true;
}

/// A layer, or an input, in the table.
struct Row {
  std::string title, shape{};
  std::int64_t params = 0;
  std::vector<std::string> connected_to{};
};

}  // namespace

std::vector<std::vector<Value>> Model::trace_types(Trace& trace) const {
  trace.types_only = true;
  Scope scope(trace, trainable());
  std::vector<Value> x;
  for (const Network::Input& input : network_.inputs) {
    x.push_back(trace.graph.input({input.dtype, with_batch(1, input.shape)}, input.name));
  }
  return network_.trace(scope, x);
}

std::string Model::summary() {
  expect_input_shape("summary");  // weights are not needed, nor made
  Graph graph;
  Trace trace{graph, variables_, config.seed, false};
  const std::vector<std::vector<Value>> made = trace_types(trace);

  std::vector<Row> rows;
  for (const Member& member : layers()) {
    rows.push_back({fmt::format("{} ({})", member.name, member.layer.type())});
  }
  std::vector<std::size_t> calls_before(network_.calls.size());  // of the same layer
  std::vector<std::size_t> calls(rows.size());
  const std::size_t first_call = network_.inputs.size();
  for (std::size_t i = 0; i < network_.calls.size(); ++i) {
    const Network::Call& call = network_.calls[i];
    Row& row = rows[call.layer];
    const std::string shape = shape_cell(made[first_call + i]);
    row.shape = row.shape.empty() || row.shape == shape ? shape : "multiple";
    for (const auto& [from, port] : call.inputs) {
      const bool is_input = from < first_call;
      row.connected_to.push_back(
          fmt::format("'{}[{}][{}]'",
                      is_input ? network_.inputs[from].name
                               : layers()[network_.calls[from - first_call].layer].name,
                      is_input ? 0 : calls_before[from - first_call], port));
    }
    calls_before[i] = calls[call.layer]++;
  }
  std::int64_t trainable = 0, fixed = 0;
  const std::vector<std::size_t> owners = network_.owners(trace);
  for (std::size_t i = 0; i < owners.size(); ++i) {
    const Trace::Weight& weight = trace.weights[i];
    const std::int64_t elements = weight.value.shape().elements();
    rows[owners[i]].params += elements;
    (weight.trainable ? trainable : fixed) += elements;
  }
  // A Sequential's input is no layer of it.
  for (std::size_t i = network_.inputs.size(); type_ != "Sequential" && i-- > 0;) {
    const Network::Input& input = network_.inputs[i];
    rows.insert(rows.begin() + static_cast<std::ptrdiff_t>(input.position),
                {input.name + " (InputLayer)", fmt::format("[{}]", shape_cell(made[i]))});
  }

  const bool chain = is_chain(network_);
  Table table{chain ? std::vector<std::size_t>{29, 55, 65}
                    : std::vector<std::size_t>{29, 58, 68, 98}};
  const auto append = [&](std::vector<std::string> cells, const std::string& connected_to) {
    if (!chain) cells.push_back(connected_to);
    table.row(std::move(cells));
  };
  table.text = fmt::format("Model: \"{}\"\n", name());
  table.line('_');
  append({"Layer (type)", "Output Shape", "Param #"}, "Connected to");
  table.line('=');
  for (const Row& row : rows) {
    append({row.title, row.shape, fmt::format("{}", row.params)},
           fmt::format("[{}]", fmt::join(row.connected_to, ", ")));
    table.line(' ');
  }
  table.line('=');
  std::string& text = table.text;
  text += params_line("Total", trainable + fixed) + params_line("Trainable", trainable) +
          params_line("Non-trainable", fixed);
  if (const auto params = count_optimizer_params(); params > 0) {
    text += params_line("Optimizer", params);
  }
  table.line('_');
  return text;
}

}  // namespace weft::nn
