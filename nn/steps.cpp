// From a model to the executables of its steps: data are checked against it, forward pass, losses,
// gradients and optimizer become one graph, and that is compiled for a batch.
#include <algorithm>

#include "autodiff/gradients.hpp"
#include "graph/print.hpp"
#include "nn/model.hpp"
#include "nn/shapes.hpp"
#include "ops/all_reduce.hpp"
#include "ops/binary.hpp"
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

/// Which of the executable's inputs it is; nothing if the executable does not need it.
std::optional<std::size_t> place_of(const Executable& executable, const std::string& name) {
  const std::vector<std::string>& names = executable.input_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<std::size_t>(found - names.begin());
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
  const auto is_checked = [&] {
    const Sharing::Look look(sharing_);
    return built_ && std::find(checked_.begin(), checked_.end(), types) != checked_.end();
  };
  if (is_checked()) {
    build();  // a layer may have been frozen
  } else {
    const Sharing::Making making(sharing_);
    check_shapes(who, data, with_targets);
    const Sharing::Look look(sharing_);
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

std::shared_ptr<Model::Compiled> Model::find_compiled(const StepKey& key) {
  const Sharing::Look look(sharing_);
  for (const auto& step : compiled_) {
    if (step->key != key) continue;
    step->last_use = ++step_uses_;
    return step;
  }
  return nullptr;
}

std::shared_ptr<Model::Compiled> Model::compiled(Mode mode, std::int64_t batch,
                                                 const Dataset& data) {
  TargetTypes targets = mode == Mode::predict ? TargetTypes{} : target_types(data, batch);
  const StepKey key{mode,
                    batch,
                    std::move(targets.y),
                    std::move(targets.weights),
                    config.replicas,
                    config.threads != 0 ? config.threads : thread_count(),
                    config.winograd,
                    config.tune};
  if (auto step = find_compiled(key)) return step;
  const Sharing::Making making(sharing_);
  if (auto step = find_compiled(key)) return step;  // another thread was at it
  auto step = compile_step(key);
  std::vector<std::shared_ptr<Compiled>> old;  // let go when nobody waits for it
  const Sharing::Look look(sharing_);
  step->last_use = ++step_uses_;
  compiled_.push_back(step);
  old = take_old_steps();
  return step;
}

/// Each batch size has a step of its own, which may take megabytes. fit with validation, evaluate
/// and predict need two each: for whole batches, and for the rest of the data.
std::vector<std::shared_ptr<Model::Compiled>> Model::take_old_steps() {
  constexpr std::ptrdiff_t most = 8;
  std::vector<std::shared_ptr<Compiled>> old;
  const auto is_kept = [](const auto& step) { return !step->is_lent; };
  while (std::count_if(compiled_.begin(), compiled_.end(), is_kept) > most) {
    const auto oldest =
        std::min_element(compiled_.begin(), compiled_.end(), [](const auto& a, const auto& b) {
          return std::pair(a->is_lent, a->last_use) < std::pair(b->is_lent, b->last_use);
        });
    old.push_back(std::move(*oldest));
    compiled_.erase(oldest);
  }
  return old;
}

Model::StepStatistics Model::step_statistics() const {
  const Sharing::Look look(sharing_);
  StepStatistics all{.count = compiled_.size()};
  for (const auto& step : compiled_) {
    const Executable::Statistics& one = step->executable.statistics();
    const std::size_t contexts = step->executable.contexts();
    all.contexts += contexts;
    all.arena_bytes += contexts * one.replicas * one.arena_bytes;
  }
  return all;
}

std::shared_ptr<Model::Compiled> Model::compile_step(const StepKey& key) {
  const Mode mode = key.mode;
  const TargetTypes targets{key.y, key.weights};
  const auto trace = [&](Graph& graph, const Slice& slice) {
    return trace_slice(mode, graph, slice, targets);
  };
  const std::vector<std::string> x_names = input_names(), y_names = output_names();
  const bool whole = mode != Mode::predict &&
                     std::any_of(y_names.begin(), y_names.end(),
                                 [&](const auto& output) { return loss_of(output).whole_batch; });
  const std::size_t replicas =
      whole ? 1 : std::min(key.replicas, static_cast<std::size_t>(key.batch));
  auto step =
      std::make_shared<Compiled>(Compiled{.key = key,
                                          .executable = compile_batch(key.batch, trace, variables_,
                                                                      {.replicas = replicas,
                                                                       .most_threads = key.threads,
                                                                       .winograd = key.winograd,
                                                                       .tune = key.tune})});
  const auto place = [&](const std::string& name) { return place_of(step->executable, name); };
  for (std::size_t i = 0; i < x_names.size(); ++i) {
    step->x.push_back(place(feed_name("x", x_names, i)));
  }
  for (std::size_t i = 0; i < targets.y.size(); ++i) {
    step->y.push_back(place(feed_name("y", y_names, i)));
  }
  for (std::size_t i = 0; i < targets.weights.size(); ++i) {
    step->weights.push_back(place(weight_name(y_names, targets.weights.size(), i)));
  }
  if (mode != Mode::predict) step->logs = logs(*training_);
  step->random_key = place("random_key");
  step->random_step = place("random_step");
  return step;
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
  return lend(Mode::train, batch_size, data);
}

/// It stays as long as somebody may refer to it.
Executable& Model::lend(Mode mode, std::int64_t batch, const Dataset& data) {
  const std::shared_ptr<Compiled> step = compiled(mode, batch, data);
  const Sharing::Look look(sharing_);
  step->is_lent = true;
  if (std::find(compiled_.begin(), compiled_.end(), step) == compiled_.end()) {
    compiled_.push_back(step);
  }
  return step->executable;
}

Executable& Model::prediction_step(std::int64_t batch_size) {
  if (batch_size < 1) {
    fail<ArgumentError>("prediction_step: batch_size must be at least 1, not {}", batch_size);
  }
  expect_input_shape("prediction_step");
  build();
  return lend(Mode::predict, batch_size, {});
}

}  // namespace weft::nn
