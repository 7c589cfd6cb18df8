// The loops of fit, evaluate and predict.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <numeric>
#include <utility>

#include "graph/print.hpp"
#include "nn/made_rows.hpp"
#include "nn/model.hpp"
#include "nn/not_finite.hpp"
#include "nn/shapes.hpp"

namespace weft::nn {
namespace {

/// Calls one event of every callback that has it.
template <class Event, class... Args>
void notify(const std::vector<Callback>& callbacks, Event event, Args&&... args) {
  for (const Callback& callback : callbacks) {
    if (const auto& function = callback.*event) function(args...);
  }
}

std::vector<std::int64_t> in_order(std::int64_t size) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  return order;
}

std::int64_t batches(std::int64_t samples, std::int64_t batch_size) {
  return (samples + batch_size - 1) / batch_size;
}

void expect_at_least(std::int64_t least, std::string_view call, std::string_view what,
                     std::int64_t number) {
  if (number < least) {
    fail<ArgumentError>("{}: {} must be at least {}, not {}", call, what, least, number);
  }
}

/// Says that weights are lost, which the loss may hide. Returns whether they are.
bool warn_if_lost(Model& model, int epoch) {
  const auto weight = model.find_not_finite();
  if (!weight) return false;
  std::cerr << fmt::format(
      "\nfit: after epoch {}, \"{}\" holds numbers that are not finite: take a lower learning "
      "rate, "
      "or look for such numbers in the data\n",
      epoch + 1, *weight);
  return true;
}

/// Where numbers that are not finite may come from.
std::string possible_cause(Model& model) {
  const auto weight = model.find_not_finite();
  return weight ? fmt::format("the weight \"{}\" holds such numbers", *weight)
                : "the weights are finite, so look for such numbers in the data";
}

/// Says which outputs of a prediction are not finite.
void report_not_finite(Model& model, const std::vector<Tensor>& predictions) {
  const std::vector<std::string> names = model.output_names();
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const std::int64_t rows = rows_not_finite(predictions[i]);
    if (rows == 0) continue;
    std::cerr << fmt::format(
        "\npredict: output \"{}\" is NaN or infinite for {} of {} samples: {}\n", names[i], rows,
        predictions[i].shape()[0], possible_cause(model));
  }
}

/// Says that a loss or metric is not finite.
void report_not_finite(Model& model, const Logs& logs) {
  for (const auto& [name, value] : logs) {
    if (std::isfinite(value)) continue;
    std::cerr << fmt::format("\nevaluate: {} is {}: {}\n", name, value, possible_cause(model));
    return;
  }
}

/// Seed and step as the key of a step's random numbers; each replica's seed is another.
void write_key(Tensor& key, std::uint64_t seed, std::int64_t step) {
  if (!key) return;
  const auto numbers = key.data<std::int32_t>();
  for (std::size_t i = 0; i < numbers.size(); i += 2) {
    const std::uint64_t own = seed + i / 2 * 0x9e3779b97f4a7c15u;
    numbers[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(own ^ (own >> 32)));
    numbers[i + 1] = static_cast<std::int32_t>(static_cast<std::uint32_t>(step));
  }
}

/// The step and the replica, for layers with seeds of their own.
void write_step(Tensor& key, std::int64_t step) {
  if (!key) return;
  const auto numbers = key.data<std::int32_t>();
  for (std::size_t i = 0; i < numbers.size(); i += 2) {
    numbers[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(step));
    numbers[i + 1] = static_cast<std::int32_t>(i / 2);
  }
}

std::vector<CallbackState> states_of(const std::vector<Callback>& callbacks) {
  std::vector<CallbackState> states;
  for (const Callback& callback : callbacks) {
    if (callback.state) states.push_back(callback.state());
  }
  return states;
}

void expect_same_number(const std::vector<Callback>& callbacks,
                        const std::vector<CallbackState>& states) {
  const auto count = static_cast<std::size_t>(std::ranges::count_if(
      callbacks, [](const Callback& callback) { return callback.state != nullptr; }));
  if (count != states.size()) {
    fail<ArgumentError>(
        "fit: {} callbacks remembered something when training broke off, but {} of those given now "
        "do; to go on, they must be the same",
        states.size(), count);
  }
}

void set_states(Model& model, const std::vector<Callback>& callbacks,
                const std::vector<CallbackState>& states) {
  auto state = states.begin();
  for (const Callback& callback : callbacks) {
    if (callback.state) callback.set_state(model, *state++);
  }
}

const std::vector<Callback> no_callbacks;

}  // namespace

/// What a whole data set is asked in prepare(), of targets that were not there then.
void Model::check_made(const Dataset& data, const MadeRows& made) const {
  for (std::size_t i = 0; i < data.targets(); ++i) {
    if (!data.y(i).is_made()) continue;
    const Tensor* batch = made.batch(data.y(i));
    const Loss& loss = loss_of(output_names()[i]);
    if (batch != nullptr && loss.integer_targets) {
      check_labels(Column(*batch), outputs_[i].shape[-1], loss.ignore_class);
    }
  }
}

/// One pass over a data set.
struct Model::Run {
  Mode mode;
  const Dataset& data;
  std::span<const std::int64_t> order;
  std::int64_t batch_size;
  const std::vector<Callback>& callbacks = no_callbacks;
  Progress* progress = nullptr;           ///< nullptr: silent
  std::uint64_t seed = 0;                 ///< of random numbers, in training
  std::int64_t iteration = 0;             ///< steps before this pass, in training
  std::vector<std::byte*> predictions{};  ///< where each output's rows go
  std::int64_t first_batch = 0;           ///< those before are done, and
  std::vector<PartialSums> sums{};        ///< have added up this
  std::function<void(std::int64_t batch)> after_batch{};
};

/// A compiled step, with memory of its own for what it reads and writes.
struct Model::Stepping {
  explicit Stepping(std::shared_ptr<Compiled> step)
      : compiled(std::move(step)), session(compiled->executable.session()) {
    const auto input = [&](const Compiled::Place& place) {
      return place ? session.input(*place) : Tensor();
    };
    for (const auto& place : compiled->x) x.push_back(input(place));
    for (const auto& place : compiled->y) y.push_back(input(place));
    for (const auto& place : compiled->weights) weights.push_back(input(place));
    random_key = input(compiled->random_key);
    random_step = input(compiled->random_step);
  }

  std::shared_ptr<Compiled> compiled;
  Executable::Session session;
  std::vector<Tensor> x, y, weights;  // empty where the executable reads nothing
  Tensor random_key, random_step;
};

/// Returns loss and metrics of all samples. Allocates nothing from the second batch on, but for the
/// last one.
Logs Model::run(const Run& run) {
  const auto [batch_begin, batch_end] =
      run.mode == Mode::train
          ? std::pair{&Callback::on_train_batch_begin, &Callback::on_train_batch_end}
          : std::pair{&Callback::on_test_batch_begin, &Callback::on_test_batch_end};
  Logs logs;
  const auto size = static_cast<std::int64_t>(run.order.size());
  if (size == 0) return logs;
  std::optional<Stepping> step(compiled(run.mode, std::min(run.batch_size, size), run.data));
  const std::shared_ptr<Tallies> tallies = begin_tallies(*step);
  if (run.first_batch > 0) set_tallies(*tallies, run.sums, logs);
  std::vector<std::byte*> predictions = run.predictions;
  std::span<const std::int64_t> rows;  // of the batch at hand
  const auto done = static_cast<std::size_t>(std::min(run.first_batch * run.batch_size, size));
  MadeRows made(run.data, run.order.subspan(done), run.batch_size, run.seed, run.iteration,
                run.mode != Mode::predict);
  // Each replica gathers its own slice, in its own thread.
  const std::function<void(std::size_t)> gather = [&](std::size_t replica) {
    const auto [first, count] = slice_of(static_cast<std::int64_t>(rows.size()),
                                         step->compiled->executable.statistics().replicas, replica);
    const auto own = rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    const auto take = [&](const Column& column, Tensor& to) {
      if (to) made.take(column, own, to, first);
    };
    for (std::size_t i = 0; i < step->x.size(); ++i) take(run.data.x(i), step->x[i]);
    for (std::size_t i = 0; i < step->y.size(); ++i) take(run.data.y(i), step->y[i]);
    for (std::size_t i = 0; i < step->weights.size(); ++i) {
      take(run.data.sample_weight(i), step->weights[i]);
    }
  };
  for (std::int64_t batch = run.first_batch; batch < batches(size, run.batch_size); ++batch) {
    const std::int64_t first = batch * run.batch_size;
    const std::int64_t count = std::min(run.batch_size, size - first);
    if (batch > 0 && count < run.batch_size) step.emplace(compiled(run.mode, count, run.data));
    if (run.mode == Mode::predict) {
      notify(run.callbacks, &Callback::on_predict_batch_begin, *this, batch);
    } else {
      notify(run.callbacks, batch_begin, *this, batch);
    }

    rows = run.order.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    made.next();
    if (run.mode != Mode::predict) check_made(run.data, made);
    write_key(step->random_key, run.seed, run.iteration + batch);
    write_step(step->random_step, run.iteration + batch);
    step->session.step(gather);

    if (tallies) add_to_tallies(*tallies, *step, count, logs);
    if (run.mode == Mode::predict) {
      for (std::size_t i = 0; i < predictions.size(); ++i) {
        const Tensor& output = step->session.output(i);
        std::memcpy(predictions[i], output.bytes(), output.type().bytes());
        predictions[i] += output.type().bytes();
      }
      notify(run.callbacks, &Callback::on_predict_batch_end, *this, batch);
    } else {
      notify(run.callbacks, batch_end, *this, batch, logs);
    }
    if (run.after_batch) run.after_batch(batch);
    if (run.progress != nullptr) run.progress->update(batch + 1, logs);
    if (run.mode == Mode::train && stop_training) break;
  }
  if (tallies) {
    const Sharing::Look look(sharing_);
    tallies_ = tallies;  // another thread may have begun to evaluate since, and be done
  }
  return logs;
}

/// nullptr for a prediction, which leaves what is known of the last evaluation.
std::shared_ptr<Model::Tallies> Model::begin_tallies(Stepping& step) {
  const std::vector<Log>& logs = step.compiled->logs;
  if (logs.empty()) return nullptr;
  auto tallies = std::make_shared<Tallies>();
  for (std::size_t i = 0; i < logs.size(); ++i) {
    const auto count = static_cast<std::size_t>(step.session.output(i).elements());
    tallies->push_back({logs[i], std::vector<double>(count)});
  }
  const Sharing::Look look(sharing_);
  tallies_ = tallies;  // for callbacks
  return tallies;
}

void Model::add_to_tallies(Tallies& tallies, Stepping& step, std::int64_t samples, Logs& logs) {
  const auto count = static_cast<double>(samples);
  {
    const Sharing::Look look(sharing_);
    for (std::size_t i = 0; i < tallies.size(); ++i) {
      Tally& tally = tallies[i];
      const auto numbers = step.session.output(i).data<float>();
      const double factor = tally.log.metric ? 1 : count;  // metrics are sums already
      for (std::size_t k = 0; k < numbers.size(); ++k) {
        tally.sums[k] += factor * static_cast<double>(numbers[k]);
      }
      tally.samples += count;
    }
  }
  for (const Tally& tally : tallies) logs.set(tally.log.name, tally.result());
}

void Model::set_tallies(Tallies& tallies, const std::vector<PartialSums>& before, Logs& logs) {
  const auto fits = [](const Tally& tally, const PartialSums& sums) {
    return tally.log.name == sums.name && tally.sums.size() == sums.sums.size();
  };
  if (!std::ranges::equal(tallies, before, fits)) {
    fail<ArgumentError>("fit: the model has other metrics than when its training broke off");
  }
  const Sharing::Look look(sharing_);
  for (std::size_t i = 0; i < before.size(); ++i) {
    Tally& tally = tallies[i];
    tally.sums = before[i].sums;
    tally.samples = before[i].samples;
    logs.set(tally.log.name, tally.result());
  }
}

std::vector<PartialSums> Model::partial_sums() const {
  const Sharing::Look look(sharing_);
  std::vector<PartialSums> all;
  if (!tallies_) return all;
  for (const Tally& tally : *tallies_) all.push_back({tally.log.name, tally.sums, tally.samples});
  return all;
}

Tensor Model::metric_result(std::string_view name) const {
  Tallies tallies;
  {
    const Sharing::Look look(sharing_);
    if (tallies_) tallies = *tallies_;
  }
  std::vector<std::string_view> names;
  for (const Tally& tally : tallies) {
    if (tally.log.name != name) {
      names.push_back(tally.log.name);
    } else if (tally.log.metric) {
      return tally.log.metric->results(tally.sums, tally.samples);
    } else {
      return Tensor::scalar(static_cast<float>(tally.result()));
    }
  }
  fail<ArgumentError>("metric_result: the last pass over data had no \"{}\"; it had: {}", name,
                      fmt::join(names, ", "));
}

Dataset Model::class_weighted(const Dataset& data, const ClassWeight& weights) const {
  if (weights.empty()) return data;
  const Loss& loss = loss_of(output_names()[0]);
  if (data.targets() == 1 && loss.integer_targets && data.y().row_shape().elements() != 1) {
    fail<ShapeError>("class_weight: it is for samples of one class each, but y is {}",
                     with_any_batch(with_batch(1, data.y().row_shape())));
  }
  const Shape& output = outputs_[0].shape;
  const std::int64_t classes = output.rank() > 0 && output[-1] > 1 ? output[-1] : 0;
  return data.class_weighted(weights, classes);
}

History Model::fit(const Dataset& data, const FitOptions& options) {
  expect_at_least(1, "fit", "batch_size", options.batch_size);
  expect_at_least(1, "fit", "validation_freq", options.validation_freq);
  expect_at_least(0, "fit", "initial_epoch", options.initial_epoch);
  training();
  const Sharing::Training exclusive(sharing_, "fit", Sharing::Length::fit);
  Dataset train = data, validation = options.validation_data;
  if (options.validation_split != 0 && validation.size() == 0) {
    std::tie(train, validation) = data.split(options.validation_split);
  }
  prepare("fit", train, true);
  train = class_weighted(train, options.class_weight);
  if (validation.size() > 0) prepare("fit: validation", validation, true);

  const std::int64_t steps = batches(train.size(), options.batch_size);
  const std::vector<std::int64_t> validation_order = in_order(validation.size());
  std::vector<std::int64_t> order;
  Progress progress(options.verbose, options.console);
  Logs logs;
  for (const Callback& callback : options.callbacks) {
    if ((callback.state == nullptr) == (callback.set_state == nullptr)) continue;
    fail<ArgumentError>("fit: a callback must have both state and set_state, or neither");
  }
  stop_training = false;
  resume.reset();
  unwritten.clear();
  std::vector<std::shared_ptr<void>> held;
  for (const Callback& callback : options.callbacks) {
    if (callback.hold) held.push_back(callback.hold());
  }
  notify(options.callbacks, &Callback::on_train_begin, *this);
  std::optional<Facts> known_facts;  // of the data, if somebody asks
  const auto facts = [&]() -> const Facts& {
    return known_facts ? *known_facts : known_facts.emplace(facts_of(train, validation));
  };
  FitState start = resume_fit(options, train.size(), facts);
  History history = std::move(start.history);
  // Those who may ask what training could go on from after this point.
  const bool asked = std::ranges::any_of(
      options.callbacks, [](const Callback& callback) { return callback.on_state != nullptr; });
  const auto notify_state = [&](int epoch, std::int64_t batch) {
    if (!asked) return;
    const std::function<FitState()> state = [&] {
      return FitState{.epoch = epoch,
                      .batch = batch,
                      .samples = train.size(),
                      .batch_size = options.batch_size,
                      .seed = options.seed,
                      .sums = batch > 0 ? partial_sums() : std::vector<PartialSums>(),
                      .history = history,
                      .callbacks = states_of(options.callbacks),
                      .data = facts()};
    };
    notify(options.callbacks, &Callback::on_state, *this, state);
  };
  bool warned = false;
  for (int epoch = start.epoch; epoch < options.epochs && !stop_training; ++epoch) {
    notify(options.callbacks, &Callback::on_epoch_begin, *this, epoch);
    progress.begin(steps, options.epochs > 1 ? fmt::format("Epoch {}/{}", epoch + 1, options.epochs)
                                             : std::string());
    const std::int64_t first_batch = std::exchange(start.batch, 0);
    // Seeded with the number of the step, training goes the same way if it is stopped and resumed.
    const std::int64_t iteration = steps_taken() - first_batch;
    order = in_order(train.size());
    if (options.shuffle) {
      Random random(options.seed, fmt::format("shuffle {}", iteration));
      shuffle(order, random);
    }
    logs = run({.mode = Mode::train,
                .data = train,
                .order = order,
                .batch_size = options.batch_size,
                .callbacks = options.callbacks,
                .progress = &progress,
                .seed = options.seed,
                .iteration = iteration,
                .first_batch = first_batch,
                .sums = std::move(start.sums),
                .after_batch = [&](std::int64_t batch) { notify_state(epoch, batch + 1); }});
    if (validation.size() > 0 && (epoch + 1) % options.validation_freq == 0) {
      notify(options.callbacks, &Callback::on_test_begin, *this);
      Logs validated = run({.mode = Mode::evaluate,
                            .data = validation,
                            .order = validation_order,
                            .batch_size = options.batch_size,
                            .callbacks = options.callbacks});
      notify(options.callbacks, &Callback::on_test_end, *this, validated);
      for (const auto& [name, value] : validated) logs.set("val_" + name, value);
    }
    notify(options.callbacks, &Callback::on_epoch_end, *this, epoch, logs);
    if (!warned) warned = warn_if_lost(*this, epoch);
    history.append(epoch, logs);
    progress.finish(logs);
    notify_state(epoch + 1, 0);
  }
  finish_training();
  notify(options.callbacks, &Callback::on_train_end, *this, logs);
  return history;
}

/// Where fit begins, after on_train_begin.
FitState Model::resume_fit(const FitOptions& options, std::int64_t samples,
                           const std::function<const Facts&()>& facts) {
  if (!resume) return {.epoch = options.initial_epoch};
  FitState state = *std::exchange(resume, std::nullopt);
  if (const std::string other = state.data.empty() ? "" : difference(state.data, facts());
      !other.empty()) {
    fail<ArgumentError>(
        "fit: {}training broke off with other data, and cannot go on with these: {}", state.kept_in,
        other);
  }
  if (state.batch > 0 && (state.samples != samples || state.batch_size != options.batch_size)) {
    fail<ArgumentError>(
        "fit: training broke off in an epoch of {} samples in batches of {}, and cannot go on with "
        "{} in batches of {}",
        state.samples, state.batch_size, samples, options.batch_size);
  }
  if (state.seed != options.seed) {
    fail<ArgumentError>("fit: training broke off with the seed {}, and cannot go on with {}",
                        state.seed, options.seed);
  }
  expect_same_number(options.callbacks, state.callbacks);
  if (state.restore) state.restore(*this);
  set_states(*this, options.callbacks, state.callbacks);
  return state;
}

History Model::fit(const Tensor& x, const Tensor& y, const FitOptions& options) {
  return fit(Dataset(x, y), options);
}

Logs Model::evaluate(const Dataset& data, const EvaluateOptions& options) {
  expect_at_least(1, "evaluate", "batch_size", options.batch_size);
  prepare("evaluate", data, true);
  Progress progress(options.verbose, options.console);
  notify(options.callbacks, &Callback::on_test_begin, *this);
  progress.begin(batches(data.size(), options.batch_size));
  Logs logs = run({.mode = Mode::evaluate,
                   .data = data,
                   .order = in_order(data.size()),
                   .batch_size = options.batch_size,
                   .callbacks = options.callbacks,
                   .progress = &progress});
  notify(options.callbacks, &Callback::on_test_end, *this, logs);
  progress.finish(logs);
  if (options.verbose != 0) report_not_finite(*this, logs);
  return logs;
}

Logs Model::evaluate(const Tensor& x, const Tensor& y, const EvaluateOptions& options) {
  return evaluate(Dataset(x, y), options);
}

Tensor Model::predict(const Dataset& x, const EvaluateOptions& options) {
  expect_one_output("predict", "predict_all() returns all of them");
  return predict_all(x, options)[0];
}

/// Tensors for every output of that many samples, and where each begins.
std::vector<Tensor> Model::fresh_predictions(std::int64_t samples,
                                             std::vector<std::byte*>& memory) const {
  std::vector<Tensor> predictions;
  for (const Type& output : outputs_) {
    predictions.emplace_back(Type{output.dtype, with_batch(samples, output.shape)});
    memory.push_back(predictions.back().bytes());
  }
  return predictions;
}

std::vector<Tensor> Model::predict_all(const Dataset& x, const EvaluateOptions& options) {
  expect_at_least(1, "predict", "batch_size", options.batch_size);
  prepare("predict", x, false);
  std::vector<std::byte*> memory;
  std::vector<Tensor> predictions = fresh_predictions(x.size(), memory);
  Progress progress(options.verbose, options.console);
  notify(options.callbacks, &Callback::on_predict_begin, *this);
  progress.begin(batches(x.size(), options.batch_size));
  const Logs none = run({.mode = Mode::predict,
                         .data = x,
                         .order = in_order(x.size()),
                         .batch_size = options.batch_size,
                         .callbacks = options.callbacks,
                         .progress = &progress,
                         .predictions = memory});
  notify(options.callbacks, &Callback::on_predict_end, *this);
  progress.finish(none);
  if (options.verbose != 0) report_not_finite(*this, predictions);
  return predictions;
}

// ---- a batch by itself

Logs Model::train_on_batch(const Dataset& batch, const BatchOptions& options) {
  const Sharing::Training exclusive(sharing_, "train_on_batch", Sharing::Length::batch);
  prepare("train_on_batch", batch, true);
  const Dataset weighted = class_weighted(batch, options.class_weight);
  return run({.mode = Mode::train,
              .data = weighted,
              .order = in_order(batch.size()),
              .batch_size = batch.size(),
              .seed = options.seed,
              .iteration = steps_taken()});
}

Logs Model::train_on_batch(const Tensor& x, const Tensor& y, const BatchOptions& options) {
  return train_on_batch(Dataset(x, y), options);
}

Logs Model::test_on_batch(const Dataset& batch) {
  prepare("test_on_batch", batch, true);
  return run({.mode = Mode::evaluate,
              .data = batch,
              .order = in_order(batch.size()),
              .batch_size = batch.size()});
}

Logs Model::test_on_batch(const Tensor& x, const Tensor& y) { return test_on_batch(Dataset(x, y)); }

Tensor Model::predict_on_batch(const Dataset& x) {
  expect_one_output("predict_on_batch", "predict_all_on_batch() returns all of them");
  return predict_all_on_batch(x)[0];
}

std::vector<Tensor> Model::predict_all_on_batch(const Dataset& x) {
  prepare("predict", x, false);
  std::vector<std::byte*> memory;
  std::vector<Tensor> predictions = fresh_predictions(x.size(), memory);
  run({.mode = Mode::predict,
       .data = x,
       .order = in_order(x.size()),
       .batch_size = x.size(),
       .predictions = memory});
  return predictions;
}

}  // namespace weft::nn
