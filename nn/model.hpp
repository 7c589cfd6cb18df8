// Model: what can be trained, evaluated and asked. It is a function of (Scope&, Value); each batch
// size it meets is traced into a graph once, and compiled with the optimizer into one executable.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/tensor.hpp"
#include "nn/callbacks.hpp"
#include "nn/dataset.hpp"
#include "nn/history.hpp"
#include "nn/layer.hpp"
#include "nn/losses.hpp"
#include "nn/metrics.hpp"
#include "nn/optimizers.hpp"
#include "nn/progress.hpp"
#include "runtime/variables.hpp"

namespace weft::nn {

struct ModelConfig {
  std::string name{};
  std::uint64_t seed = 0;  ///< of the initial weights, together with their names
  Shape input_shape{};     ///< without the batch; rank 0: not known yet
};

struct TrainOptions {
  Optimizer optimizer = "rmsprop";
  Loss loss{};
  std::vector<Metric> metrics{};
};

struct FitOptions {
  int epochs = 1;                ///< the last epoch, counted from 1
  std::int64_t batch_size = 32;  ///< samples; the last batch of an epoch takes what is left
  bool shuffle = true;           ///< anew each epoch
  Dataset validation_data{};
  double validation_split = 0;  ///< part of the data, from the end, if there is no validation_data
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

/// What all models share. A copy has weights of its own and starts with the same numbers. The same
/// seeds, data and number of threads give the same results to the last bit.
class Model {
 public:
  ModelConfig config;
  bool stop_training = false;  ///< set by a callback, ends fit after this batch and its epoch's end

  virtual ~Model() = default;

  /// Says how to train. State of an optimizer of the same name is reset.
  /// Throws ArgumentError without a loss, and for two metrics of one name.
  void compile(TrainOptions options);
  /// Trains; on from where an earlier call ended.
  ///   throws  Error before compile(); ShapeError for samples or targets that do not fit the model;
  ///           ArgumentError for labels that are no class, and options out of range
  History fit(const Dataset& data, const FitOptions& options = {});
  History fit(const Tensor& x, const Tensor& y, const FitOptions& options = {});
  /// The loss, and then the metrics, without training. Throws as fit does.
  Logs evaluate(const Dataset& data, const EvaluateOptions& options = {});
  Logs evaluate(const Tensor& x, const Tensor& y, const EvaluateOptions& options = {});
  /// The outputs for all samples, whether compiled or not. Throws ShapeError for samples that do
  /// not fit the model.
  Tensor predict(const Dataset& x, const EvaluateOptions& options = {});

  /// Creates the weights for samples of a shape, where they do not exist yet.
  void build(const Shape& input_shape);

  struct Weight {
    std::string name;  ///< "conv2d/kernel": also its name in variables()
    Shape shape;
    bool trainable;
  };
  /// In Keras' order: layer by layer, first what is trained. These and what follows throw Error if
  /// the input's shape is not known yet.
  std::vector<Weight> weights();
  std::vector<Tensor> get_weights();
  /// Throws ShapeError if their number or a shape differs.
  void set_weights(std::span<const Tensor> values);
  std::int64_t count_params();
  Shape output_shape();  ///< without the batch

  /// All that lives between steps: weights, and "<optimizer>/..." once training began.
  Variables& variables() noexcept { return variables_; }
  const Variables& variables() const noexcept { return variables_; }
  /// As given to compile(). Throws Error before.
  const TrainOptions& training() const;
  /// Of the next steps; nothing is compiled again. Throw Error before compile().
  double learning_rate() const;
  void set_learning_rate(double rate);
  std::int64_t iterations() const;  ///< steps since compile()

  /// The executable of a training step for batches of that size, for reports and profiles; gone
  /// with the next compile(). Throws as fit does.
  Executable& training_step(const Dataset& data, std::int64_t batch_size);
  /// The executable behind predict for batches of that size: fill its input "x", step, read output
  /// 0. It sees what training changes; gone with the next compile() or add().
  /// Throws Error if the input's shape is not known yet, ArgumentError for a batch below 1.
  Executable& prediction_step(std::int64_t batch_size);

 protected:
  explicit Model(ModelConfig model_config) : config(std::move(model_config)) {}
  Model(const Model& other);
  Model& operator=(const Model& other);
  Model(Model&&) = default;
  Model& operator=(Model&&) = default;

  /// The model itself: appends it to x's graph.
  virtual Value call(Scope& scope, Value x) const = 0;
  virtual std::string display_name() const = 0;
  /// Forgets what was traced: the model is another now.
  void changed();
  void expect_input_shape(std::string_view who) const;
  /// Parameters of the optimizer; 0 until training begins.
  std::int64_t count_optimizer_params() const;

 private:
  enum class Mode { train, evaluate, predict };
  struct Compiled {
    Executable executable;
    Tensor x, y, random_key;  // memory that the executable reads; empty if it reads none
  };
  struct Run;

  void build();
  void prepare(std::string_view who, const Dataset& data, bool with_targets);
  std::shared_ptr<Compiled> compiled(Mode mode, std::int64_t batch, const Column& y);
  void append_training(Trace& trace, Value loss);
  Logs run(const Run& run);

  Variables variables_;
  std::optional<TrainOptions> training_;
  std::map<std::string, float> slots_;  // that were traced, with what they start as
  bool optimizer_traced_ = false;
  std::map<std::string, std::shared_ptr<Compiled>> compiled_;
  // What build() found out.
  bool built_ = false;
  std::vector<Weight> weights_;
  Type output_;  // without the batch
};

}  // namespace weft::nn
