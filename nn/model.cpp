#include "nn/model.hpp"

#include <algorithm>
#include <set>

#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "ops/all_reduce.hpp"
#include "ops/binary.hpp"
#include "ops/reduce.hpp"
#include "runtime/compile.hpp"

namespace weft::nn {
namespace {

Shape with_batch(std::int64_t batch, const Shape& row) {
  std::vector<std::int64_t> sizes{batch};
  sizes.insert(sizes.end(), row.begin(), row.end());
  return Shape(sizes);
}

Shape without_batch(const Shape& shape) {
  return Shape(std::span<const std::int64_t>(shape.begin() + 1, shape.end()));
}

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

std::string_view layer_of(const Model::Weight& weight) {
  return std::string_view(weight.name).substr(0, weight.name.find('/'));
}

}  // namespace

Model::Model(const Model& other)
    : config(other.config),
      training_(other.training_),
      slots_(other.slots_),
      optimizer_traced_(other.optimizer_traced_),
      built_(other.built_),
      weights_(other.weights_),
      output_(other.output_) {
  for (const std::string& name : other.variables_.names()) {
    variables_.set(name, other.variables_.get(name));
  }
}

Model& Model::operator=(const Model& other) {
  if (this == &other) return *this;
  config = other.config;
  training_ = other.training_;
  slots_ = other.slots_;
  optimizer_traced_ = other.optimizer_traced_;
  variables_ = Variables();
  for (const std::string& name : other.variables_.names()) {
    variables_.set(name, other.variables_.get(name));
  }
  changed();
  return *this;
}

void Model::changed() {
  compiled_.clear();
  built_ = false;
}

void Model::compile(TrainOptions options) {
  if (!options.loss) {
    fail<ArgumentError>("compile: there is no loss; try .loss = \"categorical_crossentropy\"");
  }
  std::set<std::string> names{"loss"};
  for (const Metric& metric : options.metrics) {
    if (!names.insert(metric.name).second) {
      fail<ArgumentError>("compile: the name \"{}\" is taken; metrics need names of their own",
                          metric.name);
    }
  }
  training_ = std::move(options);
  compiled_.clear();
  optimizer_traced_ = false;
  const std::string& name = training_->optimizer.name;
  for (const auto& [slot, fill] : slots_) {
    if (slot.starts_with(name + '/')) {
      variables_.set(slot, Tensor::full(variables_.type(slot).shape, fill));
    }
  }
  variables_.set(name + "/iteration", Tensor::scalar(0.0f));
  set_learning_rate(training_->optimizer.learning_rate);
}

const TrainOptions& Model::training() const {
  if (!training_) {
    fail(
        "model \"{}\": it has not been compiled: call compile() with an optimizer and a loss first",
        display_name());
  }
  return *training_;
}

double Model::learning_rate() const {
  return variables_.get(training().optimizer.name + "/learning_rate").item<float>();
}

void Model::set_learning_rate(double rate) {
  variables_.set(training().optimizer.name + "/learning_rate",
                 Tensor::scalar(static_cast<float>(rate)));
}

std::int64_t Model::iterations() const {
  return static_cast<std::int64_t>(
      variables_.get(training().optimizer.name + "/iteration").item<float>());
}

std::int64_t Model::count_optimizer_params() const {
  std::int64_t count = 0;
  if (!optimizer_traced_) return count;
  for (const std::string& name : variables_.names()) {
    if (name.starts_with(training_->optimizer.name + '/')) {
      count += variables_.type(name).shape.elements();
    }
  }
  return count;
}

// ---- weights

void Model::expect_input_shape(std::string_view who) const {
  if (config.input_shape.rank() > 0) return;
  fail(
      "{}: model \"{}\" does not know its input's shape yet: give the first layer an input_shape, "
      "begin with nn::Input, or call build() or fit()",
      who, display_name());
}

void Model::build(const Shape& input_shape) {
  if (config.input_shape != input_shape) changed();
  config.input_shape = input_shape;
  build();
}

void Model::build() {
  if (built_) return;
  expect_input_shape("build");
  Graph graph;
  Trace trace{graph, variables_, config.seed, false};
  Scope scope(trace);
  const Value x = graph.input({DType::f32, with_batch(1, config.input_shape)}, "x");
  const Type output = call(scope, x).type();
  if (output.shape.rank() == 0 || output.shape[0] != 1) {
    fail<ShapeError>("build: model \"{}\" must return one row per sample, but makes {} of {}",
                     display_name(), output, x.type());
  }
  output_ = {output.dtype, without_batch(output.shape)};
  weights_.clear();
  for (const Trace::Weight& weight : trace.weights) {
    weights_.push_back({weight.name, weight.value.shape(), weight.trainable});
  }
  for (auto first = weights_.begin(); first != weights_.end();) {
    const auto last = std::find_if(first, weights_.end(), [&](const Weight& weight) {
      return layer_of(weight) != layer_of(*first);
    });
    std::stable_partition(first, last, [](const Weight& weight) { return weight.trainable; });
    first = last;
  }
  built_ = true;
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
    fail<ShapeError>("set_weights: model \"{}\" has {} weights, but {} were given", display_name(),
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
  build();
  return output_.shape;
}

// ---- from model to executable

void Model::prepare(std::string_view who, const Dataset& data, bool with_targets) {
  if (data.size() == 0) fail<ArgumentError>("{}: there are no samples", who);
  if (with_targets) {
    training();
    if (!data.y()) fail<ArgumentError>("{}: there are no targets y", who);
  }
  Shape row = data.x().row_shape();
  if (row.rank() == 0) row = {1};  // as in Keras, mere numbers are vectors of one
  const Shape before = config.input_shape;
  if (before.rank() == 0) config.input_shape = row;
  // Images without a channel axis have one channel.
  if (row != config.input_shape && with_channel(row) != config.input_shape) {
    fail<ShapeError>("{}: the model's input is {}, but a sample of x is {}", who,
                     config.input_shape, row);
  }
  try {
    build();
  } catch (const Error&) {
    config.input_shape = before;  // other data may fit
    throw;
  }
  if (!with_targets) return;
  // Shapes come first, since one-hot vectors could pass as classes 0 and 1. Whatever loss and
  // metrics have to say of the targets, they say it here, before the first epoch.
  Graph graph;
  const Value prediction = graph.input({output_.dtype, with_batch(1, output_.shape)}, "prediction");
  const Value y = graph.input({fed_type(data.y()), with_batch(1, data.y().row_shape())}, "y");
  training_->loss(prediction, y);
  for (const Metric& metric : training_->metrics) metric(prediction, y);
  if (training_->loss.integer_targets) check_labels(data.y(), output_.shape[-1]);
}

std::shared_ptr<Model::Compiled> Model::compiled(Mode mode, std::int64_t batch, const Column& y) {
  // The batch is cut among replicas: the graph is that of one slice.
  const std::size_t replicas = suitable_replicas(batch);
  const std::int64_t slice = batch / static_cast<std::int64_t>(replicas);
  const Type y_type =
      mode == Mode::predict ? Type{} : Type{fed_type(y), with_batch(slice, y.row_shape())};
  const std::string key =
      fmt::format("{} {} {} {}", static_cast<int>(mode), batch, replicas, y_type);
  if (const auto found = compiled_.find(key); found != compiled_.end()) return found->second;

  Graph graph;
  Trace trace{graph, variables_, config.seed, mode == Mode::train, replicas};
  Scope scope(trace);
  const Value x = graph.input({DType::f32, with_batch(slice, config.input_shape)}, "x");
  const Value prediction = call(scope, x);
  // What a slice adds to the mean over the whole batch.
  const auto share = [&](Value mean) {
    return replicas == 1 ? mean : mean * (1.0f / static_cast<float>(replicas));
  };
  std::vector<Value> outputs;
  if (mode == Mode::predict) {
    outputs = {prediction};
  } else {
    const Value target = graph.input(y_type, "y");
    {
      const NameScope named(graph, "loss");
      outputs.push_back(
          share(batch_mean(training_->loss.name, training_->loss(prediction, target))));
    }
    for (const Metric& metric : training_->metrics) {
      const NameScope named(graph, metric.name);
      outputs.push_back(share(batch_mean(metric.name, metric(prediction, target))));
    }
    if (mode == Mode::train) append_training(trace, outputs[0]);
    for (Value& output : outputs) output = all_reduce(output);
  }
  Executable executable =
      weft::compile(outputs, variables_, {.updates = trace.updates, .replicas = replicas});
  Tensor x_memory = input_of(executable, "x"), y_memory = input_of(executable, "y");
  Tensor key_memory = input_of(executable, "random_key");
  return compiled_[key] =
             std::make_shared<Compiled>(Compiled{std::move(executable), std::move(x_memory),
                                                 std::move(y_memory), std::move(key_memory)});
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
  std::vector<Value> slopes;
  {
    const NameScope named(trace.graph, "gradients");
    slopes = gradients(loss, parameters);
    for (Value& slope : slopes) slope = all_reduce(slope);
  }
  const Optimizer& optimizer = training_->optimizer;
  const NameScope named(trace.graph, optimizer.name);
  OptimizerScope scope(trace, optimizer.name, optimizer.learning_rate);
  for (std::size_t i = 0; i < trained.size(); ++i) {
    scope.for_parameter(trained[i]);
    trace.updates.push_back({parameters[i], optimizer(scope, parameters[i], slopes[i])});
  }
  for (const auto& [name, fill] : scope.slots()) slots_.emplace(name, fill);
  optimizer_traced_ = true;
}

Executable& Model::training_step(const Dataset& data, std::int64_t batch_size) {
  prepare("training_step", data, true);
  return compiled(Mode::train, batch_size, data.y())->executable;
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
