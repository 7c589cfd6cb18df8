// Model: what can be trained, evaluated and asked. It is a list of calls of layers
// (nn/network.hpp); for each batch size it meets it is traced into a graph once, and compiled with
// the optimizer into one executable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/tensor.hpp"
#include "nn/callbacks.hpp"
#include "nn/confusion_metrics.hpp"
#include "nn/dataset.hpp"
#include "nn/history.hpp"
#include "nn/layer.hpp"
#include "nn/losses.hpp"
#include "nn/metrics.hpp"
#include "nn/network.hpp"
#include "nn/optimizers.hpp"
#include "nn/progress.hpp"
#include "nn/score_metrics.hpp"
#include "nn/sharing.hpp"
#include "nn/unwritten.hpp"
#include "runtime/variables.hpp"

namespace weft::nn {

struct ModelConfig {
  std::string name{};
  std::uint64_t seed = 0;  ///< of the initial weights, together with their names
  /// How many slices a batch is cut into, to be worked on side by side; fewer if it has fewer rows.
  /// 0: what suits the batch and the threads at hand (compile_batch in runtime/compile.hpp).
  /// A loss that compares samples with one another (Loss::whole_batch) trains as one.
  std::size_t replicas = 0;
  /// How many threads its steps may use, for all slices together. 0: thread_count(). Fewer are used
  /// where the work is not worth so many.
  int threads = 0;
  bool winograd = true;  ///< CompileOptions::winograd
  bool tune = false;     ///< CompileOptions::tune
};

/// How to train one of several outputs.
struct OutputOptions {
  Loss loss{};  ///< none: as for all outputs
  double loss_weight = 1;
  std::vector<Metric> metrics{};           ///< beside those for all outputs
  std::vector<Metric> weighted_metrics{};  ///< the same
};

struct TrainOptions {
  Optimizer optimizer = "rmsprop";
  Loss loss{};                    ///< for every output
  std::vector<Metric> metrics{};  ///< for every output; sample weights do not count in them
  /// For every output, and by sample weights. One of a name that is there among metrics is shown
  /// as "weighted_<name>".
  std::vector<Metric> weighted_metrics{};
  /// By the output's name; what is minimized is the sum of the losses, each times its weight.
  std::vector<std::pair<std::string, OutputOptions>> outputs{};
};

struct FitOptions {
  int epochs = 1;                ///< the last epoch, counted from 1
  std::int64_t batch_size = 32;  ///< samples; the last batch of an epoch takes what is left
  bool shuffle = true;           ///< anew each epoch
  Dataset validation_data{};
  double validation_split = 0;  ///< part of the data, from the end, if there is no validation_data
  /// {{0, 1.0}, {1, 2.5}}: what samples of a class count in the loss, times their sample weights;
  /// for one output, and not in validation.
  ClassWeight class_weight{};
  int initial_epoch = 0;
  int validation_freq = 1;       ///< epochs
  std::optional<int> verbose{};  ///< see Progress
  std::vector<Callback> callbacks{};
  std::uint64_t seed = 0;  ///< of shuffles and dropout, together with the number of the step
  Console console{};
};

struct EvaluateOptions {
  std::int64_t batch_size = 32;
  std::optional<int> verbose{};
  std::vector<Callback> callbacks{};
  Console console{};
};

struct LoadWeightsOptions {
  bool by_name = false;        ///< layers of the same name, in an .h5; others keep their weights
  bool skip_mismatch = false;  ///< layers whose weights do not fit keep theirs
};

/// What a drawing of a model shows.
struct DrawOptions {
  bool shapes = true;          ///< of what layers make, without the batch
  bool parameters = true;      ///< how many each layer has
  std::string rankdir = "TB";  ///< from top to bottom, or "LR": from left to right
};

/// For a batch by itself.
struct BatchOptions {
  ClassWeight class_weight{};  ///< as FitOptions'; in training only
  std::uint64_t seed = 0;      ///< of dropout, together with the number of the step
};

/// A functional model: what lies between symbols, with any number of inputs and outputs. A copy has
/// weights of its own and starts with the same numbers. The same seeds, data, threads and
/// replicas give the same results to the last bit. (Left to itself, a model measures how many
/// replicas suit batches of less than 8 rows a thread.)
///
/// Threads: any number may predict and evaluate with one model at the same time, each with what it
/// needs for itself, also beside one that trains: then they see the weights as they are between two
/// steps. One thread at a time trains: while fit is at work, fit, train_on_batch, compile and add
/// throw BusyError in every other thread; train_on_batch waits for that of another thread. All else
/// that changes a model (freezing, building it for another shape, moving) is for when nobody uses
/// it. prediction_step and training_step return executables whose own session is for one thread;
/// others take a session() of them.
///
/// A forked child may use the model as its parent did; a training of another thread's is over there.
///
///   auto left = nn::Input({8}), right = nn::Input({8});
///   const nn::Layer shared = nn::Dense(4);
///   auto same = nn::Dense(1, {.name = "same"})(nn::Subtract()({shared(left), shared(right)}));
///   nn::Model model({left, right}, same);
///   model.compile({.loss = "mse"});
///   model.fit(nn::Dataset({a, b}, {y}));
class Model {
 public:
  ModelConfig config;
  bool stop_training = false;  ///< set by a callback, ends fit after this batch and its epoch's end
  /// Set by a callback in on_train_begin, makes fit go on from there, as if it had done what was
  /// before. fit throws ArgumentError if its callbacks are others, or if it is in the middle of an
  /// epoch of other data or batches.
  std::optional<FitState> resume{};
  /// What callbacks could not write since fit began: nn/unwritten.hpp.
  std::vector<Unwritten> unwritten{};

  /// Layers in Keras' order: the longer the way to an output, the earlier. An input may be what
  /// a layer made; the model then begins behind it.
  ///   throws  ArgumentError for none of either, for an input that is there twice, for an output
  ///           that depends on an Input that is not among the inputs, and for two layers of one
  ///           given name
  Model(const Symbols& inputs, const Symbols& outputs, ModelConfig config = {});
  Model(const Model& other);
  Model& operator=(const Model& other);
  Model(Model&&) = default;
  Model& operator=(Model&&) = default;
  virtual ~Model() = default;

  // A model is also a layer: as long as it is not given other layers, it shares its weights with
  // every model that contains it, so that training either trains both.

  operator Layer() const;
  /// As Layer's.
  Symbol operator()(const Symbols& inputs) const { return Layer(*this)(inputs); }
  std::vector<Symbol> call_all(const Symbols& inputs) const {
    return Layer(*this).call_all(inputs);
  }
  /// Inside a layer of the user's that has this model as a member.
  Value operator()(Scope& scope, Value x) const;
  std::vector<Value> operator()(Scope& scope, const std::vector<Value>& inputs) const {
    return network_(scope, inputs);
  }

  using Member = Network::Member;
  /// Without inputs; names are unique in this model.
  const std::vector<Member>& layers() const noexcept { return network_.layers; }
  /// Throws ArgumentError for an unknown name, listing those there are.
  const Layer& get_layer(std::string_view name) const;
  const Network& network() const noexcept { return network_; }
  std::vector<std::string> input_names() const;
  /// What its outputs are named in compile(), logs and history: the layers that make them.
  std::vector<std::string> output_names() const { return network_.output_names(); }
  /// Layer::set_trainable of the model and all layers in it. What was compiled before trains on as
  /// it was: compile() again to make it count. As in Keras, no layer of a frozen model is trained,
  /// also not one that is thawed by itself afterwards.
  void set_trainable(bool trainable) { Layer(*this).set_trainable(trainable); }
  bool trainable() const { return as_layer_ ? as_layer_->trainable() : trainable_; }
  const std::string& type() const noexcept { return type_; }  ///< "Functional"; also as a layer
  /// As given, or else made of the type's.
  std::string name() const { return config.name.empty() ? snake_case(type()) : config.name; }

  /// Layers, output shapes and numbers of parameters, as Keras prints them; and what layers are
  /// connected to, where they are no chain. Throws Error if the input's shape is not known yet.
  std::string summary();

  /// Draws layers and connections: a box for each call of a layer, grey where it is frozen; dotted
  /// lines tie the calls of one layer together. The ending says how: io/drawing.hpp, which
  /// must be linked (weft::weft has it). Throws as summary() and write_drawing do.
  void draw(const std::filesystem::path& file, const DrawOptions& options = {});
  /// The same drawing in Graphviz' DOT language.
  std::string to_dot(const DrawOptions& options = {});
  /// Draws the graph of a training step into a folder, which is made if need be: as it is traced,
  /// and after every pass of the compiler, 00-traced.svg, 01-expand.svg, ... Throws as fit and
  /// write_drawing do.
  void draw_training_step(const std::filesystem::path& folder, const Dataset& data,
                          std::int64_t batch_size, const std::string& format = "svg");

  // Files, in Keras' formats, by their ending: io/model_files.hpp has the table, and load_model().
  // They are written whole or not at all. All throw IoError for what cannot be written or read.

  /// Writes layers, weights, how it was compiled, and what the optimizer keeps: .h5, .hdf5 or
  /// .keras; .json has the layers alone. Throws ArgumentError for another ending, UnsupportedError
  /// for what a file cannot hold: functions of the program's, layers that are not registered.
  void save(const std::filesystem::path& file);
  /// Writes weights: .weights.h5 as Keras 3 does, with what the optimizer keeps; .h5 as Keras 2.
  void save_weights(const std::filesystem::path& file);
  /// Reads weights from any of these files. Nothing is changed unless all fit.
  ///   throws  ShapeError for a file of other layers, naming them
  void load_weights(const std::filesystem::path& file, const LoadWeightsOptions& options = {});
  /// Layers and their connections as Keras 2 writes them: nn::model_from_json() reads it.
  std::string to_json();

  /// Says how to train. State of an optimizer of the same name is reset.
  /// Throws ArgumentError for an output without a loss, for options of an output that is not there,
  /// and for two metrics of one name.
  void compile(TrainOptions options);
  /// Trains; on from where an earlier call ended.
  ///   throws  Error before compile(), and if all weights are frozen; ShapeError for samples or
  ///           targets that do not fit the model; ArgumentError for labels that are no class, and
  ///           options out of range
  History fit(const Dataset& data, const FitOptions& options = {});
  History fit(const Tensor& x, const Tensor& y, const FitOptions& options = {});
  /// The loss, then the metrics. Says on std::cerr if one is not finite (verbose > 0). Throws as fit.
  Logs evaluate(const Dataset& data, const EvaluateOptions& options = {});
  Logs evaluate(const Tensor& x, const Tensor& y, const EvaluateOptions& options = {});
  /// The output for all samples; what is NaN or infinite is said on std::cerr (verbose > 0). Throws
  /// ShapeError for samples that do not fit, ArgumentError if there are several outputs.
  Tensor predict(const Dataset& x, const EvaluateOptions& options = {});
  /// Every output. Throws ShapeError as above.
  std::vector<Tensor> predict_all(const Dataset& x, const EvaluateOptions& options = {});

  // The same for a batch by itself, of any size: no progress, no callbacks. What is compiled for a
  // size is that of fit, evaluate and predict, and is compiled once.

  /// One training step. Returns loss and metrics of this batch, before the step. Throws as fit
  /// does.
  Logs train_on_batch(const Dataset& batch, const BatchOptions& options = {});
  Logs train_on_batch(const Tensor& x, const Tensor& y, const BatchOptions& options = {});
  Logs test_on_batch(const Dataset& batch);
  Logs test_on_batch(const Tensor& x, const Tensor& y);
  Tensor predict_on_batch(const Dataset& x);
  std::vector<Tensor> predict_all_on_batch(const Dataset& x);

  /// All that a metric says of the last pass over data (an epoch's, its validation's, evaluate's or
  /// a batch's), by its name in the logs: a confusion matrix f32[K,K], the F score of each class;
  /// else the number of the logs, as a scalar. Throws ArgumentError for an unknown name, listing
  /// those there are.
  Tensor metric_result(std::string_view name) const;

  struct Weight {
    std::string name;  ///< "conv2d/kernel": also its name in variables()
    Shape shape;
    bool trainable;
  };
  /// In Keras' order: layer by layer, first what is trained. These and what follows throw Error if
  /// the input's shape is not known yet.
  std::vector<Weight> weights();
  /// A weight as a layer asks for it.
  struct DeclaredWeight {
    std::string name;   ///< as Weight's
    std::string owner;  ///< how it begins: the layer that the model called, "tower/conv2d/"
    Shape shape;
    bool is_parameter;  ///< of Scope::parameter(), not of Scope::state()
    bool trainable;
  };
  /// All weights in the order of their creation, without making them: once a value of each is in
  /// variables(), no other is made.
  std::vector<DeclaredWeight> declared_weights();
  std::vector<Tensor> get_weights();
  /// Throws ShapeError if their number or a shape differs.
  void set_weights(std::span<const Tensor> values);
  /// The first weight with a NaN or an infinity, or nothing. fit looks after each epoch, and warns
  /// once.
  std::optional<std::string> find_not_finite();
  std::int64_t count_params();
  /// Without the batch. Throws ArgumentError if there are several outputs.
  Shape output_shape();
  std::vector<Shape> output_shapes();

  /// All that lives between steps: weights, and "<optimizer>/..." once training began.
  Variables& variables() noexcept { return variables_; }
  const Variables& variables() const noexcept { return variables_; }
  /// As given to compile(). Throws Error before.
  const TrainOptions& training() const;
  bool is_compiled() const noexcept { return training_.has_value(); }
  /// Names of all that the optimizer keeps, in variables(), in Keras 3's order; it is made if it is
  /// not there yet. Throws Error before compile().
  std::vector<std::string> optimizer_variables();
  /// Of the next step; nothing is compiled again. Throw Error before compile(), and for setting a
  /// rate that follows a schedule; ArgumentError for a rate below 0.
  double learning_rate() const;
  void set_learning_rate(double rate);
  /// Updates of the weights since compile(): steps, divided by gradient_accumulation_steps.
  std::int64_t iterations() const;

  /// What the model holds of compiled steps: those of the batch sizes that it met last, up to eight,
  /// and those that training_step() and prediction_step() gave away.
  struct StepStatistics {
    std::size_t count = 0;        ///< executables
    std::size_t contexts = 0;     ///< of all of them: what ran at the same time
    std::size_t arena_bytes = 0;  ///< of all contexts
  };
  StepStatistics step_statistics() const;
  /// The executable of a training step for batches of that size, for reports and profiles; gone
  /// with the next compile(). Throws as fit does.
  Executable& training_step(const Dataset& data, std::int64_t batch_size);
  /// The executable behind predict for batches of that size: fill its input "x", step, read output
  /// 0. It sees what training changes; gone with the next compile() or add().
  /// Throws Error if the input's shape is not known yet, ArgumentError for a batch below 1.
  Executable& prediction_step(std::int64_t batch_size);

 protected:
  Model(std::string type, Network network, ModelConfig model_config)
      : config(std::move(model_config)), type_(std::move(type)), network_(std::move(network)) {}

  /// Forgets what was traced: the model is another now.
  void changed();
  /// Throws BusyError while another thread trains.
  void expect_no_training(std::string_view who) const { sharing_.expect_no_training(who); }
  void expect_input_shape(std::string_view who) const;
  /// Creates the weights where they do not exist yet.
  void build();

  // What it was made as, also where it is a mere Model now. Before network_, whose errors name it.
  std::string type_ = "Functional";
  Network network_;

 private:
  enum class Mode { train, evaluate, predict };
  /// A number that is logged: without a metric, the mean over samples of what a step gives.
  struct Log {
    std::string name;
    std::optional<Metric> metric{};
  };
  /// What a log has added up in a pass over data.
  struct Tally {
    Log log;
    std::vector<double> sums{};
    double samples = 0;
    double result() const {
      return log.metric ? log.metric->result(sums, samples) : sums[0] / samples;
    }
  };
  using Tallies = std::vector<Tally>;
  /// What a step is compiled for.
  struct StepKey {
    Mode mode;
    std::int64_t batch;
    std::vector<Type> y;
    std::vector<std::optional<Type>> weights;
    std::size_t replicas;
    int threads;
    bool winograd, tune;
    friend bool operator==(const StepKey&, const StepKey&) = default;
  };
  struct Compiled {
    StepKey key;
    Executable executable;
    // Which inputs of the executable they are; nothing where it does not read them.
    using Place = std::optional<std::size_t>;
    std::vector<Place> x, y, weights;
    Place random_key, random_step;
    std::vector<Log> logs;       // of its outputs
    bool is_lent = false;        // somebody has a reference to it
    std::uint64_t last_use = 0;  // by step_uses_
  };
  struct Stepping;
  struct Run;
  class MadeRows;

  /// How one output is trained.
  struct Objective {
    std::string output;
    const Loss& loss;
    double loss_weight;
    std::vector<Metric> metrics, weighted_metrics;
  };
  /// Of a whole batch. Sample weights: none, one column for all outputs, or one for each that has.
  struct TargetTypes {
    std::vector<Type> y;
    std::vector<std::optional<Type>> weights;
  };
  std::vector<Objective> objectives(const TrainOptions& options) const;
  /// What evaluate() returns: the loss, each output's if there are several, and the metrics.
  std::vector<Log> logs(const TrainOptions& options) const;
  std::vector<Value> append(Trace& trace, std::int64_t batch, bool trainable) const;
  void expect_one_output(std::string_view who, std::string_view instead) const;
  void prepare(std::string_view who, const Dataset& data, bool with_targets);
  void check_shapes(std::string_view who, const Dataset& data, bool with_targets);
  void check_numbers(const Dataset& data) const;
  void check_made(const Dataset& data, const MadeRows& made) const;
  const Loss& loss_of(const std::string& output) const;
  TargetTypes target_types(const Dataset& data, std::int64_t batch) const;
  Dataset class_weighted(const Dataset& data, const ClassWeight& weights) const;
  std::shared_ptr<Compiled> compiled(Mode mode, std::int64_t batch, const Dataset& data);
  std::shared_ptr<Compiled> find_compiled(const StepKey& key);
  std::shared_ptr<Compiled> compile_step(const StepKey& key);
  std::vector<std::shared_ptr<Compiled>> take_old_steps();
  Executable& lend(Mode mode, std::int64_t batch, const Dataset& data);
  Traced trace_slice(Mode mode, Graph& graph, const Slice& slice, const TargetTypes& targets);
  std::vector<Value> append_losses(Trace& trace, const std::vector<Value>& predictions,
                                   const TargetTypes& targets);
  void append_training(Trace& trace, Value loss);
  void keep(const std::vector<OptimizerScope::Slot>& slots,
            const std::vector<Trace::Weight>& trained);
  std::int64_t steps_taken() const;  ///< since compile()
  /// Puts averages in the place of the weights, if the optimizer has them.
  void finish_training();
  Value added_losses(const Trace& trace) const;
  /// Parameters of the optimizer; 0 until training begins.
  std::int64_t count_optimizer_params() const;
  Logs run(const Run& run);
  /// Traces for one sample without making weights; returns what Network::trace does.
  std::vector<std::vector<Value>> trace_types(Trace& trace) const;
  /// Compiles a training step and drops it, for `watch` to see.
  void watch_training_step(const Dataset& data, std::int64_t batch_size,
                           const CompileOptions::Watch& watch);
  std::shared_ptr<Tallies> begin_tallies(Stepping& step);
  void add_to_tallies(Tallies& tallies, Stepping& step, std::int64_t samples, Logs& logs);
  /// Goes on with what batches before have added up.
  void set_tallies(Tallies& tallies, const std::vector<PartialSums>& before, Logs& logs);
  std::vector<PartialSums> partial_sums() const;
  std::vector<Tensor> fresh_predictions(std::int64_t samples,
                                        std::vector<std::byte*>& memory) const;
  FitState resume_fit(const FitOptions& options, std::int64_t samples,
                      const std::function<const Facts&()>& facts);

  Variables variables_;
  std::optional<TrainOptions> training_;
  bool trainable_ = true;                         // unless as_layer_ knows better
  std::map<const void*, bool> trainable_layers_;  // which were, at compile(), by identity
  bool was_trainable_ = true;                     // at compile()
  std::map<std::string, float> slots_;            // that were traced, with what they start as
  // Since compile(): what the optimizer keeps, and weights with the names of their averages.
  std::vector<std::string> kept_;
  std::vector<std::pair<std::string, std::string>> averages_;
  // Guards what threads that predict and evaluate share: compiled_, checked_, tallies_, and what
  // build() found out.
  mutable Sharing sharing_;
  std::vector<std::shared_ptr<Compiled>> compiled_;
  std::uint64_t step_uses_ = 0;
  // Data of these types fit: samples, targets and weights, without the batch.
  std::vector<std::vector<Type>> checked_;
  std::shared_ptr<Tallies> tallies_;  // of the last pass over data
  // What build() found out.
  bool built_ = false;
  std::uint64_t freezes_ = 0;  // Layer::freezes() then
  std::vector<Weight> weights_;
  std::vector<Type> outputs_;  // without the batch
  mutable std::optional<Layer>
      as_layer_;  // so that a model is one layer, however often it is asked
};

}  // namespace weft::nn
