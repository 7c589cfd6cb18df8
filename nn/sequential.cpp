#include "nn/sequential.hpp"

#include <algorithm>
#include <array>

#include "graph/print.hpp"

namespace weft::nn {
namespace {

// ---- Keras' table

constexpr std::size_t table_width = 65;
constexpr std::array<std::size_t, 3> column_ends{29, 55, 65};

/// A row begins with a space, and two stand between columns; what is longer goes on below.
void append_row(std::string& table, std::array<std::string, 3> cells) {
  constexpr std::size_t last = column_ends.size() - 1;
  while (std::any_of(cells.begin(), cells.end(), [](const auto& cell) { return !cell.empty(); })) {
    std::string line = " ";
    for (std::size_t i = 0; i <= last; ++i) {
      const std::size_t start = i == 0 ? 0 : column_ends[i - 1];
      const std::size_t room = column_ends[i] - start - (i == last ? 0 : 3);
      line += cells[i].substr(0, room);
      cells[i].erase(0, room);
      line.resize(std::max(line.size(), column_ends[i]), ' ');
    }
    table += line + '\n';
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

}  // namespace

Sequential::Sequential(std::initializer_list<Layer> layers, ModelConfig model_config)
    : Model(std::move(model_config)) {
  for (const Layer& layer : layers) add(layer);
}

Sequential& Sequential::add(Layer layer) {
  if (layer.as<Input>() != nullptr && !layers_.empty()) {
    fail<ArgumentError>("add: an Input must be the first layer, but {} are there", layers_.size());
  }
  const auto taken = [&](const std::string& name) {
    return std::any_of(layers_.begin(), layers_.end(),
                       [&](const Member& member) { return member.name == name; });
  };
  if (!layer.name().empty() && taken(layer.name())) {
    fail<ArgumentError>("add: a layer named \"{}\" is there already", layer.name());
  }
  if (layers_.empty() && layer.input_shape().rank() > 0) config.input_shape = layer.input_shape();
  if (layer.as<Input>() == nullptr) {
    std::string name =
        layer.name().empty() ? free_name(snake_case(layer.type()), taken) : layer.name();
    layers_.push_back({std::move(name), std::move(layer)});
  }
  changed();
  return *this;
}

const Layer& Sequential::get_layer(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const Member& member : layers_) {
    if (member.name == name) return member.layer;
    names.push_back(member.name);
  }
  fail<ArgumentError>("get_layer: there is no \"{}\"; there are: {}", name, fmt::join(names, ", "));
}

Value Sequential::call(Scope& scope, Value x) const {
  for (const Member& member : layers_) x = scope.call(member.name, member.layer, x);
  return x;
}

Value Sequential::operator()(Scope& scope, Value x) const {
  Scope inner = scope.starting_from(variables());
  return call(inner, x);
}

std::string Sequential::summary() {
  expect_input_shape("summary");
  Graph graph;
  Trace trace{graph, variables(), config.seed, false};
  Scope scope(trace);
  std::vector<std::int64_t> sizes{1};
  sizes.insert(sizes.end(), config.input_shape.begin(), config.input_shape.end());
  Value x = graph.input({DType::f32, Shape(sizes)}, "x");

  std::string table = fmt::format("Model: \"{}\"\n{:_<{}}\n", display_name(), "", table_width);
  append_row(table, {"Layer (type)", "Output Shape", "Param #"});
  table += fmt::format("{:=<{}}\n", "", table_width);
  std::int64_t trainable = 0, fixed = 0;
  for (const auto& [name, layer] : layers_) {
    const std::size_t known = trace.weights.size();
    x = scope.call(name, layer, x);
    std::int64_t params = 0;
    for (std::size_t i = known; i < trace.weights.size(); ++i) {
      const std::int64_t elements = trace.weights[i].value.shape().elements();
      params += elements;
      (trace.weights[i].trainable ? trainable : fixed) += elements;
    }
    append_row(table, {fmt::format("{} ({})", name, layer.type()), with_batch_none(x.shape()),
                       fmt::format("{}", params)});
    table.append(table_width, ' ') += '\n';
  }
  table += fmt::format("{:=<{}}\n", "", table_width);
  table += params_line("Total", trainable + fixed) + params_line("Trainable", trainable) +
           params_line("Non-trainable", fixed);
  if (const auto params = count_optimizer_params(); params > 0) {
    table += params_line("Optimizer", params);
  }
  return table + fmt::format("{:_<{}}\n", "", table_width);
}

}  // namespace weft::nn
