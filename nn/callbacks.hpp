// Callback: functions of the user's that fit, evaluate and predict call on their way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "nn/fit_state.hpp"
#include "nn/history.hpp"

namespace weft::nn {

class Model;

/// Functions that are set are called, in the order of the list of callbacks. Epochs and batches
/// count from 0. What is added to logs at the end of an epoch appears in the progress line and in
/// History.
///
///   model.fit(x, y, {.epochs = 50, .callbacks = {{.on_epoch_end = [](auto& model, int, auto& logs)
///   {
///     model.stop_training = logs["loss"] < 0.01;
///   }}}});
struct Callback {
  using Event = std::function<void(Model&)>;
  using EpochEvent = std::function<void(Model&, int epoch)>;
  using BatchEvent = std::function<void(Model&, std::int64_t batch)>;
  using LogsEvent = std::function<void(Model&, Logs&)>;
  using EpochLogsEvent = std::function<void(Model&, int epoch, Logs&)>;
  using BatchLogsEvent = std::function<void(Model&, std::int64_t batch, Logs&)>;
  using StateEvent = std::function<void(Model&, const std::function<FitState()>& state)>;

  Event on_train_begin{};
  LogsEvent on_train_end{};
  EpochEvent on_epoch_begin{};
  EpochLogsEvent on_epoch_end{};
  BatchEvent on_train_batch_begin{};
  BatchLogsEvent on_train_batch_end{};  ///< logs are means over the epoch so far
  Event on_test_begin{};                ///< also for the validation inside fit
  LogsEvent on_test_end{};
  BatchEvent on_test_batch_begin{};
  BatchLogsEvent on_test_batch_end{};
  Event on_predict_begin{};
  Event on_predict_end{};
  BatchEvent on_predict_batch_begin{};
  BatchEvent on_predict_batch_end{};

  // Training that was broken off goes on as if it had not been, if whoever keeps its state
  // (BackupAndRestore) is told it, and each callback that remembers something says what.

  /// In fit, after every batch and every epoch, when all callbacks have seen its end. To ask for
  /// the state takes the time to gather it.
  StateEvent on_state{};
  std::function<CallbackState()> state{};
  /// Takes what state() returned, after on_train_begin. There must be both or neither.
  std::function<void(Model&, const CallbackState&)> set_state{};
  /// Called by fit before on_train_begin. What it returns is kept until fit ends, by an exception
  /// or not: a lock.
  std::function<std::shared_ptr<void>()> hold{};
};

}  // namespace weft::nn
