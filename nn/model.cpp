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

/// The tensor that step() reads; empty if the executable does not need it.
Tensor input_of(Executable& executable, const std::string& name) {
  try {
    return executable.input(name);
  } catch (const ArgumentError&) {
    return {};
  }
}

/// What was said of one output alone; nullptr if nothing.
const OutputOptions* own_options(const TrainOptions& options, const std::string& output) {
  const auto own = std::find_if(options.outputs.begin(), options.outputs.end(),
                                [&](const auto& entry) { return entry.first == output; });
  return own == options.outputs.end() ? nullptr : &own->second;
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

/// "sample_weight" if there is one column for all outputs.
std::string weight_name(const std::vector<std::string>& outputs, std::size_t columns,
                        std::size_t i) {
  return columns == 1 ? "sample_weight" : feed_name("sample_weight", outputs, i);
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
  training_ = std::move(options);
  trainable_layers_.clear();
  network_.collect_trainable(trainable_layers_);
  was_trainable_ = trainable();
  compiled_.clear();
  kept_.clear();
  averages_.clear();
  checked_.clear();
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

std::vector<std::string> Model::optimizer_variables() {
  training();
  build();
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
  // Batch by batch, data are often as some were before.
  std::vector<Type> types;
  const auto add = [&](const Column& column) {
    types.push_back({column.dtype(), column.row_shape()});
  };
  for (std::size_t i = 0; i < data.inputs(); ++i) add(data.x(i));
  for (std::size_t i = 0; with_targets && i < data.targets(); ++i) {
    types.push_back({fed_type(data.y(i)), data.y(i).row_shape()});
    if (data.sample_weight(i)) add(data.sample_weight(i));
  }
  if (built_ && std::find(checked_.begin(), checked_.end(), types) != checked_.end()) {
    build();  // a layer may have been frozen
  } else {
    check_shapes(who, data, with_targets);
    checked_.push_back(std::move(types));
  }
  if (with_targets) check_numbers(data);
}

void Model::check_shapes(std::string_view who, const Dataset& data, bool with_targets) {
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
  // Whatever loss and metrics have to say of the targets, they say it here, before the first epoch.
  const std::vector<Objective> objectives = this->objectives(*training_);
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    const Objective& objective = objectives[i];
    if (!objective.loss) {
      fail<ArgumentError>("{}: output \"{}\" has no loss; compile() again", who, objective.output);
    }
    about_output(objective.output, objectives.size() > 1, [&] {
      Graph graph;
      const auto one = [&](DType dtype, const Shape& row, const char* name) {
        return graph.input({dtype, with_batch(1, row)}, name);
      };
      const Value prediction = one(outputs_[i].dtype, outputs_[i].shape, "prediction");
      const Value y = one(fed_type(data.y(i)), data.y(i).row_shape(), "y");
      const Column& weights = data.sample_weight(i);
      const Value weight =
          weights ? one(DType::f32, weights.row_shape(), "sample_weight") : Value{};
      objective.loss.reduced(prediction, y, weight);
      for (const Metric& metric : objective.metrics) metric.sums(prediction, y);
      for (const Metric& metric : objective.weighted_metrics) metric.sums(prediction, y, weight);
    });
  }
}

const Loss& Model::loss_of(const std::string& output) const {
  const OutputOptions* own = own_options(*training_, output);
  return own != nullptr && own->loss ? own->loss : training_->loss;
}

/// After shapes, since one-hot vectors could pass as classes 0 and 1.
void Model::check_numbers(const Dataset& data) const {
  const std::vector<std::string> outputs = output_names();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    about_output(outputs[i], outputs.size() > 1, [&] {
      const Loss& loss = loss_of(outputs[i]);
      if (loss.integer_targets && !data.y(i).is_made()) {
        check_labels(data.y(i), outputs_[i].shape[-1], loss.ignore_class);
      }
      const Column& weights = data.sample_weight(i);
      if (weights && !weights.is_made()) check_sample_weights(weights);
    });
  }
}

Model::TargetTypes Model::target_types(const Dataset& data, std::int64_t batch) const {
  TargetTypes types;
  for (std::size_t i = 0; i < data.targets(); ++i) {
    types.y.push_back({fed_type(data.y(i)), with_batch(batch, data.y(i).row_shape())});
  }
  for (std::size_t i = 0; i < data.sample_weights(); ++i) {
    types.weights.emplace_back();
    if (const Column& weights = data.sample_weight(i)) {
      types.weights[i] = {DType::f32, with_batch(batch, weights.row_shape())};
    }
  }
  return types;
}

std::shared_ptr<Model::Compiled> Model::compiled(Mode mode, std::int64_t batch,
                                                 const Dataset& data) {
  const TargetTypes targets = mode == Mode::predict ? TargetTypes{} : target_types(data, batch);
  std::string weights;
  for (const auto& type : targets.weights) weights += type ? fmt::format(" {}", *type) : " none";
  const std::string key = fmt::format("{} {} {} weighted{} {}x{} {} {}", static_cast<int>(mode),
                                      batch, fmt::join(targets.y, " "), weights, config.replicas,
                                      thread_count(), config.winograd, config.tune);
  if (const auto found = compiled_.find(key); found != compiled_.end()) return found->second;

  const auto trace = [&](Graph& graph, const Slice& slice) {
    return trace_slice(mode, graph, slice, targets);
  };
  const std::vector<std::string> x_names = input_names(), y_names = output_names();
  const bool whole = mode != Mode::predict &&
                     std::any_of(y_names.begin(), y_names.end(),
                                 [&](const auto& output) { return loss_of(output).whole_batch; });
  const std::size_t replicas =
      whole ? 1 : std::min(config.replicas, static_cast<std::size_t>(batch));
  Compiled result{
      compile_batch(batch, trace, variables_,
                    {.replicas = replicas, .winograd = config.winograd, .tune = config.tune})};
  for (std::size_t i = 0; i < x_names.size(); ++i) {
    result.x.push_back(input_of(result.executable, feed_name("x", x_names, i)));
  }
  for (std::size_t i = 0; i < targets.y.size(); ++i) {
    result.y.push_back(input_of(result.executable, feed_name("y", y_names, i)));
  }
  for (std::size_t i = 0; i < targets.weights.size(); ++i) {
    result.weights.push_back(
        input_of(result.executable, weight_name(y_names, targets.weights.size(), i)));
  }
  if (mode != Mode::predict) result.logs = logs(*training_);
  result.random_key = input_of(result.executable, "random_key");
  result.random_step = input_of(result.executable, "random_step");
  return compiled_[key] = std::make_shared<Compiled>(std::move(result));
}

/// The graph of one slice of a batch; targets are those of the whole batch.
Traced Model::trace_slice(Mode mode, Graph& graph, const Slice& slice, const TargetTypes& targets) {
  Trace trace{graph, variables_, config.seed, mode == Mode::train, slice.replicas, slice.share()};
  trace.trainable = &trainable_layers_;
  std::vector<Value> outputs = append(trace, slice.rows, was_trainable_);
  if (mode != Mode::predict) {
    outputs = append_losses(trace, outputs, targets);
    if (mode == Mode::train) append_training(trace, outputs[0]);
    for (Value& output : outputs) output = all_reduce(output);
  }
  return {std::move(outputs), std::move(trace.updates)};
}

/// What logs() names: each a slice's part of what the whole batch gives.
std::vector<Value> Model::append_losses(Trace& trace, const std::vector<Value>& predictions,
                                        const TargetTypes& targets) {
  const std::vector<Objective> objectives = this->objectives(*training_);
  const std::vector<std::string> names = output_names();
  const auto input = [&](Type type, const std::string& name) {
    type.shape = type.shape.with(0, predictions[0].shape()[0]);
    return trace.graph.input(type, name);
  };
  std::vector<Value> y, weights(predictions.size());
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    y.push_back(input(targets.y[i], feed_name("y", names, i)));
  }
  for (std::size_t i = 0; i < targets.weights.size(); ++i) {
    if (!targets.weights[i]) continue;
    weights[i] = input(*targets.weights[i], weight_name(names, targets.weights.size(), i));
  }
  if (targets.weights.size() == 1) std::fill(weights.begin(), weights.end(), weights[0]);

  std::vector<Value> losses, metrics;
  Value total;
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    const NameScope named(trace.graph, "loss");
    losses.push_back(objectives[i].loss.reduced(predictions[i], y[i], weights[i], trace.share));
    const auto weight = static_cast<float>(objectives[i].loss_weight);
    const Value weighted = weight == 1 ? losses[i] : losses[i] * weight;
    total = total ? total + weighted : weighted;
  }
  const auto append = [&](const Metric& metric, std::size_t i, Value weight) {
    const NameScope named(trace.graph, metric.name);
    metrics.push_back(metric.sums(predictions[i], y[i], weight));
  };
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    for (const Metric& metric : objectives[i].metrics) append(metric, i, {});
  }
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    for (const Metric& metric : objectives[i].weighted_metrics) append(metric, i, weights[i]);
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
  keep(optimizer.apply(trace, trained, slopes), trained);
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
