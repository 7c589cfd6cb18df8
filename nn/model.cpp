#include "nn/model.hpp"

#include <algorithm>
#include <set>

#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "nn/shapes.hpp"
#include "ops/all_reduce.hpp"
#include "ops/binary.hpp"
#include "ops/reduce.hpp"
#include "runtime/compile.hpp"
#include "runtime/threads.hpp"

namespace weft::nn {
namespace {

Shape with_channel(const Shape& row) {
  if (row.rank() == Shape::max_rank) return row;
  std::vector<std::int64_t> sizes(row.begin(), row.end());
  sizes.push_back(1);
  return Shape(sizes);
}

/// Integers stay integers, so that losses and metrics can tell classes from numbers.
DType fed_type(const Column& column) {
  return is_floating(column.dtype()) || column.is_scaled() ? DType::f32 : DType::s32;
}

/// The mean over the batch of what a loss or metric returned for its samples.
Value batch_mean(std::string_view who, Value per_sample) {
  if (!per_sample || per_sample.dtype() != DType::f32) {
    fail<TypeError>("{}: it must return f32 numbers, not {}", who,
                    per_sample ? fmt::format("{}", per_sample.type()) : "an empty Value");
  }
  return per_sample.shape().rank() == 0 ? per_sample : mean(per_sample);
}

/// The tensor that step() reads; empty if the executable does not need it.
Tensor input_of(Executable& executable, const std::string& name) {
  try {
    return executable.input(name);
  } catch (const ArgumentError&) {
    return {};
  }
}

/// Targets and predictions of several outputs: an error says of which one it speaks.
template <class F>
void about_output(const std::string& output, bool several, F f) {
  if (!several) return f();
  try {
    f();
  } catch (const ShapeError& error) {
    fail<ShapeError>("output \"{}\": {}", output, error.what());
  } catch (const ArgumentError& error) {
    fail<ArgumentError>("output \"{}\": {}", output, error.what());
  }
}

/// "x", or "x/left" if there are several.
std::string feed_name(const char* kind, const std::vector<std::string>& names, std::size_t i) {
  return names.size() == 1 ? kind : fmt::format("{}/{}", kind, names[i]);
}

}  // namespace

Model::Model(const Symbols& inputs, const Symbols& outputs, ModelConfig model_config)
    : config(std::move(model_config)), network_(network_of(name(), inputs, outputs)) {}

Model::Model(const Model& other)
    : config(other.config),
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
  compiled_.clear();
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
  for (const std::string& name : log_names(options)) {
    if (!names.insert(name).second) {
      fail<ArgumentError>("compile: the name \"{}\" is taken; metrics need names of their own",
                          name);
    }
  }
  training_ = std::move(options);
  trainable_layers_.clear();
  network_.collect_trainable(trainable_layers_);
  was_trainable_ = trainable();
  compiled_.clear();
  kept_.clear();
  averages_.clear();
  const std::string& name = training_->optimizer.name;
  const LearningRate& learning_rate = training_->optimizer.learning_rate;
  for (const auto& [slot, fill] : slots_) {
    if (slot.starts_with(name + '/')) {
      variables_.set(slot, Tensor::full(variables_.type(slot).shape, fill));
    }
  }
  variables_.set(name + "/iteration", Tensor::scalar(0.0f));
  if (!learning_rate.is_schedule()) set_learning_rate(learning_rate.number);
}

std::vector<Model::Objective> Model::objectives(const TrainOptions& options) const {
  std::vector<Objective> result;
  for (const std::string& output : output_names()) {
    const auto own = std::find_if(options.outputs.begin(), options.outputs.end(),
                                  [&](const auto& entry) { return entry.first == output; });
    if (own == options.outputs.end()) {
      result.push_back({output, options.loss, 1, options.metrics});
      continue;
    }
    const OutputOptions& its = own->second;
    result.push_back(
        {output, its.loss ? its.loss : options.loss, its.loss_weight, options.metrics});
    std::vector<Metric>& metrics = result.back().metrics;
    metrics.insert(metrics.end(), its.metrics.begin(), its.metrics.end());
  }
  return result;
}

std::vector<std::string> Model::log_names(const TrainOptions& options) const {
  const std::vector<Objective> objectives = this->objectives(options);
  const bool several = objectives.size() > 1;
  std::vector<std::string> names{"loss"};
  if (several) {
    for (const Objective& objective : objectives) names.push_back(objective.output + "_loss");
  }
  for (const Objective& objective : objectives) {
    for (const Metric& metric : objective.metrics) {
      names.push_back(several ? objective.output + '_' + metric.name : metric.name);
    }
  }
  return names;
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
  const Value steps = graph.variable({DType::f32, {}}, optimizer.name + "/iteration");
  return weft::compile({optimizer.learning_rate(steps)}, variables_).run({})[0].item<float>();
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
  return static_cast<std::int64_t>(
      variables_.get(training().optimizer.name + "/iteration").item<float>());
}

std::int64_t Model::iterations() const {
  return steps_taken() / training().optimizer.steps_an_update();
}

void Model::finish_training() {
  if (steps_taken() == 0) return;  // there is no average yet
  for (const auto& [weight, average] : averages_) variables_.set(weight, variables_.get(average));
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

/// The model itself, on inputs of a batch. Returns its outputs.
std::vector<Value> Model::append(Trace& trace, std::int64_t batch, bool trainable) const {
  const std::vector<std::string> names = input_names();
  std::vector<Value> x;
  for (const Network::Input& input : network_.inputs) {
    x.push_back(trace.graph.input({input.dtype, with_batch(batch, input.shape)},
                                  feed_name("x", names, x.size())));
  }
  Scope scope(trace, trainable);
  return network_(scope, x);
}

void Model::build() {
  if (built_ && freezes_ == Layer::freezes()) return;
  expect_input_shape("build");
  outputs_.clear();
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
      outputs_.push_back({type.dtype, without_batch(type.shape)});
    }
  }
  Graph graph;
  Trace traced{graph, variables_, config.seed, false};
  append(traced, 1, trainable());
  weights_.clear();
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
        weights_.push_back({weight->name, weight->value.shape(), weight->trainable});
      }
    }
    first = last;
  }
  built_ = true;
  freezes_ = Layer::freezes();
}

std::vector<Model::Weight> Model::weights() {
  build();
  return weights_;
}

std::vector<Tensor> Model::get_weights() {
  build();
  std::vector<Tensor> values;
  for (const Weight& weight : weights_) values.push_back(variables_.get(weight.name));
  return values;
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
  for (std::size_t i = 0; i < values.size(); ++i) variables_.set(weights_[i].name, values[i]);
}

std::int64_t Model::count_params() {
  build();
  std::int64_t count = 0;
  for (const Weight& weight : weights_) count += weight.shape.elements();
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

// ---- from model to executable

void Model::prepare(std::string_view who, const Dataset& data, bool with_targets) {
  if (data.size() == 0) fail<ArgumentError>("{}: there are no samples", who);
  if (data.inputs() != network_.inputs.size()) {
    fail<ArgumentError>("{}: model \"{}\" has {} inputs ({}), but the data set has {}", who, name(),
                        network_.inputs.size(), fmt::join(input_names(), ", "), data.inputs());
  }
  if (with_targets) {
    training();
    if (data.targets() == 0) fail<ArgumentError>("{}: there are no targets y", who);
    if (data.targets() != network_.outputs.size()) {
      fail<ArgumentError>("{}: model \"{}\" has {} outputs ({}), but the data set has {} targets",
                          who, name(), network_.outputs.size(), fmt::join(output_names(), ", "),
                          data.targets());
    }
  }
  const Shape before = network_.inputs[0].shape;
  for (std::size_t i = 0; i < data.inputs(); ++i) {
    Shape row = data.x(i).row_shape();
    if (row.rank() == 0) row = {1};  // as in Keras, mere numbers are vectors of one
    Shape& shape = network_.inputs[i].shape;
    if (shape.rank() == 0) shape = row;
    // Images without a channel axis have one channel.
    if (row != shape && with_channel(row) != shape) {
      fail<ShapeError>("{}: the model's input {}is {}, but a sample of x is {}", who,
                       data.inputs() == 1 ? "" : fmt::format("\"{}\" ", network_.inputs[i].name),
                       shape, row);
    }
  }
  try {
    build();
  } catch (const Error&) {
    network_.inputs[0].shape = before;  // other data may fit
    throw;
  }
  if (!with_targets) return;
  // Shapes come first, since one-hot vectors could pass as classes 0 and 1. Whatever loss and
  // metrics have to say of the targets, they say it here, before the first epoch.
  const std::vector<Objective> objectives = this->objectives(*training_);
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    const auto& [output, loss, weight, metrics] = objectives[i];
    if (!loss) fail<ArgumentError>("{}: output \"{}\" has no loss; compile() again", who, output);
    about_output(output, objectives.size() > 1, [&, &loss = loss, &metrics = metrics] {
      Graph graph;
      const Value prediction =
          graph.input({outputs_[i].dtype, with_batch(1, outputs_[i].shape)}, "prediction");
      const Value y = graph.input({fed_type(data.y(i)), with_batch(1, data.y(i).row_shape())}, "y");
      loss(prediction, y);
      for (const Metric& metric : metrics) metric(prediction, y);
      if (loss.integer_targets) check_labels(data.y(i), outputs_[i].shape[-1]);
    });
  }
}

Type Model::target_type(const Dataset& data, std::size_t target, std::int64_t batch) {
  return {fed_type(data.y(target)), with_batch(batch, data.y(target).row_shape())};
}

std::shared_ptr<Model::Compiled> Model::compiled(Mode mode, std::int64_t batch,
                                                 const Dataset& data) {
  std::vector<Type> y_types;
  for (std::size_t i = 0; mode != Mode::predict && i < data.targets(); ++i) {
    y_types.push_back(target_type(data, i, batch));
  }
  const std::string key =
      fmt::format("{} {} {} {}x{} {} {}", static_cast<int>(mode), batch, fmt::join(y_types, " "),
                  config.replicas, thread_count(), config.winograd, config.tune);
  if (const auto found = compiled_.find(key); found != compiled_.end()) return found->second;

  const auto trace = [&](Graph& graph, const Slice& slice) {
    return trace_slice(mode, graph, slice, y_types);
  };
  const std::size_t replicas = std::min(config.replicas, static_cast<std::size_t>(batch));
  Compiled result{
      compile_batch(batch, trace, variables_,
                    {.replicas = replicas, .winograd = config.winograd, .tune = config.tune})};
  const std::vector<std::string> x_names = input_names(), y_names = output_names();
  for (std::size_t i = 0; i < x_names.size(); ++i) {
    result.x.push_back(input_of(result.executable, feed_name("x", x_names, i)));
  }
  for (std::size_t i = 0; i < y_types.size(); ++i) {
    result.y.push_back(input_of(result.executable, feed_name("y", y_names, i)));
  }
  result.random_key = input_of(result.executable, "random_key");
  result.random_step = input_of(result.executable, "random_step");
  return compiled_[key] = std::make_shared<Compiled>(std::move(result));
}

/// The graph of one slice of a batch; y_types are those of the whole batch.
Traced Model::trace_slice(Mode mode, Graph& graph, const Slice& slice,
                          const std::vector<Type>& y_types) {
  Trace trace{graph, variables_, config.seed, mode == Mode::train, slice.replicas, slice.share()};
  trace.trainable = &trainable_layers_;
  std::vector<Value> outputs = append(trace, slice.rows, was_trainable_);
  if (mode != Mode::predict) {
    outputs = append_losses(trace, outputs, y_types);
    if (mode == Mode::train) append_training(trace, outputs[0]);
    for (Value& output : outputs) output = all_reduce(output);
  }
  return {std::move(outputs), std::move(trace.updates)};
}

/// What log_names() names. Each is a slice's share of the mean over the whole batch.
std::vector<Value> Model::append_losses(Trace& trace, const std::vector<Value>& predictions,
                                        const std::vector<Type>& targets) {
  const auto mean_of = [&](const std::string& name, Value per_sample) {
    const Value mean = batch_mean(name, per_sample);
    return trace.replicas == 1 ? mean : mean * trace.share;
  };
  const std::vector<Objective> objectives = this->objectives(*training_);
  const std::vector<std::string> names = output_names();
  std::vector<Value> losses, metrics;
  Value total;
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    const Objective& objective = objectives[i];
    const Type type{targets[i].dtype, targets[i].shape.with(0, predictions[i].shape()[0])};
    const Value target = trace.graph.input(type, feed_name("y", names, i));
    {
      const NameScope named(trace.graph, "loss");
      losses.push_back(mean_of(objective.loss.name, objective.loss(predictions[i], target)));
      const auto weight = static_cast<float>(objective.loss_weight);
      const Value weighted = weight == 1 ? losses[i] : losses[i] * weight;
      total = total ? total + weighted : weighted;
    }
    for (const Metric& metric : objective.metrics) {
      const NameScope named(trace.graph, metric.name);
      metrics.push_back(mean_of(metric.name, metric(predictions[i], target)));
    }
  }
  if (const Value added = added_losses(trace)) total = total + added;
  std::vector<Value> outputs{total};
  if (losses.size() > 1) outputs.insert(outputs.end(), losses.begin(), losses.end());
  outputs.insert(outputs.end(), metrics.begin(), metrics.end());
  return outputs;
}

/// What weights and layers add to the loss: a slice's share of it. Empty if nothing.
Value Model::added_losses(const Trace& trace) const {
  const NameScope named(trace.graph, "loss");
  Value of_weights, total;
  for (const Trace::Weight& weight : trace.weights) {
    if (!weight.regularizer || !weight.trainable) continue;
    const Value penalty = weight.regularizer(weight.value);
    of_weights = of_weights ? of_weights + penalty : penalty;
  }
  if (of_weights) total = trace.replicas == 1 ? of_weights : of_weights * trace.share;
  for (const Value& loss : trace.losses) total = total ? total + loss : loss;
  return total;
}

/// The gradients of the loss, summed over replicas, and what the optimizer makes of them.
void Model::append_training(Trace& trace, Value loss) {
  std::vector<Trace::Weight> trained;
  std::vector<Value> parameters;
  for (const Trace::Weight& weight : trace.weights) {
    if (!weight.trainable) continue;
    trained.push_back(weight);
    parameters.push_back(weight.value);
  }
  if (trained.empty()) {
    fail("fit: model \"{}\" has no trainable weights: set_trainable(true) and compile() again",
         name());
  }
  const Optimizer& optimizer = training_->optimizer;
  std::vector<Value> slopes;
  {
    const NameScope named(trace.graph, "gradients");
    const auto factor = static_cast<float>(optimizer.config.loss_scale_factor.value_or(1));
    slopes = gradients(factor == 1 ? loss : loss * factor, parameters);
    for (Value& slope : slopes) {
      slope = all_reduce(slope);
      if (factor != 1) slope = slope / factor;
    }
  }
  kept_.clear();
  for (const auto& [name, fill] : optimizer.apply(trace, trained, slopes)) {
    slots_.emplace(name, fill);
    kept_.push_back(name);
  }
  averages_.clear();
  for (const Trace::Weight& weight : trained) {
    if (!optimizer.config.use_ema) break;
    averages_.emplace_back(weight.name, optimizer.slot_name("average", weight.name));
  }
}

Executable& Model::training_step(const Dataset& data, std::int64_t batch_size) {
  prepare("training_step", data, true);
  return compiled(Mode::train, batch_size, data)->executable;
}

Executable& Model::prediction_step(std::int64_t batch_size) {
  if (batch_size < 1) {
    fail<ArgumentError>("prediction_step: batch_size must be at least 1, not {}", batch_size);
  }
  expect_input_shape("prediction_step");
  build();
  return compiled(Mode::predict, batch_size, {})->executable;
}

}  // namespace weft::nn
