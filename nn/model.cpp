// What a model is: its layers, how it is trained, its weights. Its steps are in steps.cpp, its
// loops over data in training.cpp.
#include "nn/model.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "graph/print.hpp"
#include "nn/shapes.hpp"
#include "ops/cast.hpp"
#include "runtime/compile.hpp"

namespace weft::nn {
namespace {

/// What was said of one output alone; nullptr if nothing.
const OutputOptions* own_options(const TrainOptions& options, const std::string& output) {
  const auto own = std::find_if(options.outputs.begin(), options.outputs.end(),
                                [&](const auto& entry) { return entry.first == output; });
  return own == options.outputs.end() ? nullptr : &own->second;
}

}  // namespace

Model::Model(const Symbols& inputs, const Symbols& outputs, ModelConfig model_config)
    : config(std::move(model_config)), network_(network_of(name(), inputs, outputs)) {}

Model::Model(const Model& other)
    : config(other.config),
      type_(other.type_),
      training_(other.training_),
      trainable_(other.trainable()),
      was_trainable_(other.was_trainable_),
      slots_(other.slots_),
      kept_(other.kept_),
      averages_(other.averages_) {
  Network::Clones clones;
  network_ = other.network_.clone(clones);
  for (const auto& [layer, trainable] : other.trainable_layers_) {
    if (const auto clone = clones.find(layer); clone != clones.end()) {
      trainable_layers_[clone->second.identity()] = trainable;
    }
  }
  // The layers' clones have brought their weights.
  std::set<std::string> weights;
  for (const Weight& weight : other.weights_) weights.insert(weight.name);
  for (const std::string& name : other.variables_.names()) {
    if (!weights.contains(name)) variables_.set(name, other.variables_.get(name));
  }
  if (other.built_) build();
}

Model& Model::operator=(const Model& other) {
  if (this != &other) *this = Model(other);
  return *this;
}

Model::operator Layer() const {
  const Sharing::Making making(sharing_);
  if (!as_layer_) {
    const Shape shape = network_.inputs[0].shape;
    as_layer_ = Layer(NestedModel{
        network_, type(), {.input_shape = shape, .name = config.name, .trainable = trainable_}});
  }
  return *as_layer_;
}

Value Model::operator()(Scope& scope, Value x) const {
  expect_one_output("model called in a layer", "call it with a vector of inputs");
  return network_(scope, std::vector{x})[0];
}

const Layer& Model::get_layer(std::string_view name) const {
  std::vector<std::string_view> names;
  for (const Member& member : layers()) {
    if (member.name == name) return member.layer;
    names.push_back(member.name);
  }
  fail<ArgumentError>("get_layer: there is no \"{}\"; there are: {}", name, fmt::join(names, ", "));
}

std::vector<std::string> Model::input_names() const {
  std::vector<std::string> names;
  for (const Network::Input& input : network_.inputs) names.push_back(input.name);
  return names;
}

void Model::changed() {
  const Sharing::Making making(sharing_);
  const Sharing::Look look(sharing_);
  compiled_.clear();
  checked_.clear();
  built_ = false;
  trainable_ = trainable();
  as_layer_.reset();
}

void Model::expect_one_output(std::string_view who, std::string_view instead) const {
  if (network_.outputs.size() == 1) return;
  fail<ArgumentError>("{}: model \"{}\" has {} outputs: {}", who, name(), network_.outputs.size(),
                      instead);
}

void Model::compile(TrainOptions options) {
  std::set<std::string> outputs;
  for (const auto& [output, _] : options.outputs) {
    const std::vector<std::string> known = output_names();
    if (std::find(known.begin(), known.end(), output) == known.end()) {
      fail<ArgumentError>("compile: there is no output \"{}\"; there are: {}", output,
                          fmt::join(known, ", "));
    }
    if (!outputs.insert(output).second) {
      fail<ArgumentError>("compile: output \"{}\" is there twice", output);
    }
  }
  for (const Objective& objective : objectives(options)) {
    if (objective.loss) continue;
    if (options.outputs.empty()) {
      fail<ArgumentError>("compile: there is no loss; try .loss = \"categorical_crossentropy\"");
    }
    fail<ArgumentError>("compile: output \"{}\" has no loss", objective.output);
  }
  std::set<std::string> names;
  for (const auto& [name, _] : logs(options)) {
    if (!names.insert(name).second) {
      fail<ArgumentError>("compile: the name \"{}\" is taken; metrics need names of their own",
                          name);
    }
  }
  sharing_.expect_no_training("compile");
  const Sharing::Making making(sharing_);
  training_ = std::move(options);
  trainable_layers_.clear();
  network_.collect_trainable(trainable_layers_);
  was_trainable_ = trainable();
  kept_.clear();
  averages_.clear();
  {
    const Sharing::Look look(sharing_);
    compiled_.clear();
    checked_.clear();
  }
  const std::string& name = training_->optimizer.name;
  const LearningRate& learning_rate = training_->optimizer.learning_rate;
  for (const auto& [slot, fill] : slots_) {
    if (slot.starts_with(name + '/') && variables_.type(slot).dtype == DType::f32) {
      variables_.set(slot, Tensor::full(variables_.type(slot).shape, fill));
    }
  }
  variables_.set(name + "/iteration", Tensor::scalar(std::int32_t{0}));
  if (!learning_rate.is_schedule()) set_learning_rate(learning_rate.number);
}

std::vector<Model::Objective> Model::objectives(const TrainOptions& options) const {
  const auto append = [](std::vector<Metric>& metrics, const std::vector<Metric>& more) {
    metrics.insert(metrics.end(), more.begin(), more.end());
  };
  std::vector<Objective> result;
  for (const std::string& output : output_names()) {
    const OutputOptions* own = own_options(options, output);
    result.push_back({output, own != nullptr && own->loss ? own->loss : options.loss,
                      own != nullptr ? own->loss_weight : 1, options.metrics,
                      options.weighted_metrics});
    if (own == nullptr) continue;
    append(result.back().metrics, own->metrics);
    append(result.back().weighted_metrics, own->weighted_metrics);
  }
  return result;
}

const Loss& Model::loss_of(const std::string& output) const {
  const OutputOptions* own = own_options(*training_, output);
  return own != nullptr && own->loss ? own->loss : training_->loss;
}

std::vector<Model::Log> Model::logs(const TrainOptions& options) const {
  const std::vector<Objective> objectives = this->objectives(options);
  const bool several = objectives.size() > 1;
  std::vector<Log> logs{{"loss"}};
  if (several) {
    for (const Objective& objective : objectives) logs.push_back({objective.output + "_loss"});
  }
  const auto name_of = [&](const Objective& objective, const std::string& metric) {
    return several ? objective.output + '_' + metric : metric;
  };
  for (const Objective& objective : objectives) {
    for (const Metric& metric : objective.metrics) {
      logs.push_back({name_of(objective, metric.name), metric});
    }
  }
  const std::size_t unweighted = logs.size();
  for (const Objective& objective : objectives) {
    for (const Metric& metric : objective.weighted_metrics) {
      const std::string name = name_of(objective, metric.name);
      const bool taken =
          std::any_of(logs.begin(), logs.begin() + static_cast<std::ptrdiff_t>(unweighted),
                      [&](const Log& log) { return log.name == name; });
      logs.push_back({taken ? name_of(objective, "weighted_" + metric.name) : name, metric});
    }
  }
  return logs;
}

const TrainOptions& Model::training() const {
  if (!training_) {
    fail(
        "model \"{}\": it has not been compiled: call compile() with an optimizer and a loss first",
        name());
  }
  return *training_;
}

double Model::learning_rate() const {
  const Optimizer& optimizer = training().optimizer;
  if (!optimizer.learning_rate.is_schedule()) {
    return variables_.get(optimizer.name + "/learning_rate").item<float>();
  }
  // In f32, as the step computes it.
  Graph graph;
  const Value steps = graph.variable({DType::s32, {}}, optimizer.name + "/iteration");
  const Value rate = optimizer.learning_rate(cast(steps, DType::f32));
  return weft::compile({rate}, variables_).run({})[0].item<float>();
}

void Model::set_learning_rate(double rate) {
  const Optimizer& optimizer = training().optimizer;
  if (optimizer.learning_rate.is_schedule()) {
    fail(
        "set_learning_rate: the learning rate of optimizer \"{}\" follows the schedule \"{}\"; "
        "compile() it with a number to set it",
        optimizer.name, optimizer.learning_rate.name);
  }
  variables_.set(optimizer.name + "/learning_rate",
                 Tensor::scalar(static_cast<float>(LearningRate(rate).number)));
}

std::int64_t Model::steps_taken() const {
  return variables_.get(training().optimizer.name + "/iteration").item<std::int32_t>();
}

std::int64_t Model::iterations() const {
  return steps_taken() / training().optimizer.steps_an_update();
}

void Model::finish_training() {
  if (steps_taken() == 0) return;  // there is no average yet
  std::vector<std::pair<std::string, Tensor>> values;
  for (const auto& [weight, average] : averages_) {
    values.emplace_back(weight, variables_.get(average));
  }
  variables_.set_all(values);
}

std::int64_t Model::count_optimizer_params() const {
  std::int64_t count = 0;
  for (const std::string& name : kept_) count += variables_.type(name).shape.elements();
  return count;
}

// ---- weights

void Model::expect_input_shape(std::string_view who) const {
  if (network_.inputs[0].shape.rank() > 0) return;
  fail(
      "{}: model \"{}\" does not know its input's shape yet: give the first layer an input_shape, "
      "begin with nn::Input, or call build() or fit()",
      who, name());
}

void Model::build() {
  const auto is_built = [&] {
    const Sharing::Look look(sharing_);
    return built_ && freezes_ == Layer::freezes();
  };
  if (is_built()) return;
  const Sharing::Making making(sharing_);
  if (is_built()) return;  // another thread was at it
  const std::uint64_t freezes = Layer::freezes();
  expect_input_shape("build");
  std::vector<Type> outputs;
  {
    // Types first: a model that does not fit together makes no weights.
    Graph graph;
    Trace types{graph, variables_, config.seed, false};
    types.types_only = true;
    for (const Value& output : append(types, 1, trainable())) {
      const Type& type = output.type();
      if (type.shape.rank() == 0 || type.shape[0] != 1) {
        fail<ShapeError>("build: model \"{}\" must return one row per sample, but makes {} of {}",
                         name(), type, graph.value(0).type());
      }
      outputs.push_back({type.dtype, without_batch(type.shape)});
    }
  }
  Graph graph;
  Trace traced{graph, variables_, config.seed, false};
  append(traced, 1, trainable());
  std::vector<Weight> weights;
  const std::vector<Trace::Weight>& made = traced.weights;
  const auto owner = [](const Trace::Weight& weight) {
    return std::string_view(weight.name).substr(0, weight.owner);
  };
  for (auto first = made.begin(); first != made.end();) {
    const auto last = std::find_if(first, made.end(), [&](const Trace::Weight& weight) {
      return owner(weight) != owner(*first);
    });
    // Freezing a layer does not change the order.
    for (const bool parameters : {true, false}) {
      for (auto weight = first; weight != last; ++weight) {
        if (weight->is_parameter != parameters) continue;
        weights.push_back({weight->name, weight->value.shape(), weight->trainable});
      }
    }
    first = last;
  }
  const Sharing::Look look(sharing_);
  // Those who predict read this, which freezing a layer does not change.
  if (!built_ || outputs_ != outputs) outputs_ = std::move(outputs);
  weights_ = std::move(weights);
  built_ = true;
  freezes_ = freezes;
}

std::vector<Model::Weight> Model::weights() {
  build();
  const Sharing::Look look(sharing_);
  return weights_;
}

std::vector<Model::DeclaredWeight> Model::declared_weights() {
  expect_input_shape("weights");
  Graph graph;
  Trace trace{graph, variables_, config.seed, false};
  trace_types(trace);
  std::vector<DeclaredWeight> declared;
  for (const Trace::Weight& weight : trace.weights) {
    declared.push_back({weight.name, weight.name.substr(0, weight.owner), weight.value.shape(),
                        weight.is_parameter, weight.trainable});
  }
  return declared;
}

std::vector<Tensor> Model::get_weights() {
  std::vector<Tensor> values;
  for (const Weight& weight : weights()) values.push_back(variables_.get(weight.name));
  return values;
}

std::optional<std::string> Model::find_not_finite() {
  for (const Weight& weight : weights()) {
    const Tensor value = variables_.get(weight.name);
    // A sum is finite unless one of them is not, in f64.
    double sum = 0;
    for (const float number : value.data<float>()) sum += std::abs(static_cast<double>(number));
    if (!std::isfinite(sum)) return weight.name;
  }
  return std::nullopt;
}

void Model::set_weights(std::span<const Tensor> values) {
  build();
  if (values.size() != weights_.size()) {
    fail<ShapeError>("set_weights: model \"{}\" has {} weights, but {} were given", name(),
                     weights_.size(), values.size());
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Type wanted{DType::f32, weights_[i].shape};
    if (values[i].type() != wanted) {
      fail<ShapeError>("set_weights: \"{}\" is {}, but {} was given", weights_[i].name, wanted,
                       values[i].type());
    }
  }
  std::vector<std::pair<std::string, Tensor>> named;
  for (std::size_t i = 0; i < values.size(); ++i) named.emplace_back(weights_[i].name, values[i]);
  variables_.set_all(named);
}

std::int64_t Model::count_params() {
  std::int64_t count = 0;
  for (const Weight& weight : weights()) count += weight.shape.elements();
  return count;
}

Shape Model::output_shape() {
  expect_one_output("output_shape", "output_shapes() returns those of all");
  return output_shapes()[0];
}

std::vector<Shape> Model::output_shapes() {
  build();
  std::vector<Shape> shapes;
  for (const Type& output : outputs_) shapes.push_back(output.shape);
  return shapes;
}

std::vector<std::string> Model::optimizer_variables() {
  training();
  build();
  const Sharing::Making making(sharing_);
  if (kept_.empty()) {
    // What it keeps does not depend on what gradients are made of.
    Graph graph;
    Trace trace{graph, variables_, config.seed, true};
    trace.trainable = &trainable_layers_;
    append(trace, 1, was_trainable_);
    std::vector<Trace::Weight> trained;
    std::vector<Value> slopes;
    for (const Trace::Weight& weight : trace.weights) {
      if (!weight.trainable) continue;
      trained.push_back(weight);
      slopes.push_back(graph.input(weight.value.type(), "gradient " + weight.name));
    }
    keep(training_->optimizer.apply(trace, trained, slopes), trained);
  }
  return kept_;
}

/// Notes what the optimizer keeps.
void Model::keep(const std::vector<OptimizerScope::Slot>& slots,
                 const std::vector<Trace::Weight>& trained) {
  const Optimizer& optimizer = training_->optimizer;
  kept_.clear();
  for (const auto& [name, fill] : slots) {
    slots_.emplace(name, fill);
    kept_.push_back(name);
  }
  averages_.clear();
  for (const Trace::Weight& weight : trained) {
    if (!optimizer.config.use_ema) break;
    averages_.emplace_back(weight.name, optimizer.slot_name("average", weight.name));
  }
}

}  // namespace weft::nn
