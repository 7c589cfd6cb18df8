// Keras' callbacks. Each is an object that becomes a Callback where fit is given one:
//
//   model.fit(x, y, {.epochs = 100, .validation_split = 0.1,
//                    .callbacks = {nn::EarlyStopping{.patience = 5, .restore_best_weights = true},
//                                  nn::ModelCheckpoint{"best.keras", {.save_best_only = true}}}});
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "nn/callbacks.hpp"

namespace weft::nn {

// A file that cannot be written while training goes on, since the disk is full, does not end it: a
// warning is written once, the files that are there stay, and Model::unwritten says what is missing
// (nn/unwritten.hpp).
//
// What several of them have in common:
//   monitor  a name in the logs: "loss", "val_accuracy". Where it is not there, it is not heeded, and
//            a warning is written once
//   mode     "min" or "max": which way is better. "auto" sees it from the name. An ArgumentError is
//            thrown where that does not say it, and for other words. NaN is never an improvement, and
//            any number is one over NaN (Keras 3 keeps a NaN that came first as the best)
//   verbose  1 says what was done, on std::cout

/// Stops when the monitored number has not become better for `patience` epochs.
struct EarlyStopping {
  std::string monitor = "val_loss";
  double min_delta = 0;  ///< what is less is no improvement
  int patience = 0;
  int verbose = 0;
  std::string mode = "auto";
  std::optional<double> baseline{};   ///< what it has to be better than
  bool restore_best_weights = false;  ///< at the end, to those after the best epoch
  int start_from_epoch = 0;           ///< before, nothing is looked at
  operator Callback() const;
};

struct ModelCheckpointConfig {
  std::string monitor = "val_loss";
  int verbose = 0;
  bool save_best_only = false;  ///< only when the monitored number is the best so far
  bool save_weights_only = false;
  std::string mode = "auto";
  std::optional<std::int64_t> save_freq{};          ///< batches; nothing: at the end of each epoch
  std::optional<double> initial_value_threshold{};  ///< what the first one has to be better than
};

/// Saves the model, or its weights, as it is trained. The ending says the format, as in
/// Model::save. Throws ArgumentError when it is made, for an ending that does not fit, and when it
/// saves, for a name that the logs do not have; what Model::save throws, but for IoError.
struct ModelCheckpoint {
  /// May name the epoch, from 1, and numbers of the logs: "{epoch:02d}-{val_loss:.2f}.keras".
  /// Folders are made.
  std::string filepath;
  ModelCheckpointConfig config{};
  operator Callback() const;
};

/// Multiplies the learning rate by `factor` when the monitored number has not become better for
/// `patience` epochs. Adds "learning_rate" to the logs.
struct ReduceLROnPlateau {
  std::string monitor = "val_loss";
  double factor = 0.1;  ///< less than 1
  int patience = 10;
  int verbose = 0;
  std::string mode = "auto";
  double min_delta = 1e-4;
  int cooldown = 0;  ///< epochs after a reduction in which nothing is counted
  double min_lr = 0;
  operator Callback() const;
};

/// Sets the learning rate before each epoch: schedule(epoch from 0, rate). Adds "learning_rate" to
/// the logs.
struct LearningRateScheduler {
  std::function<double(int epoch, double rate)> schedule;
  int verbose = 0;
  operator Callback() const;
};

/// Writes a line for each epoch, which counts from 0: epoch,accuracy,loss,val_accuracy,val_loss.
/// Columns are those of the first epoch, sorted; where a later one has no such number stands NA.
/// Lines that could not be written are tried again with the next. Throws IoError when training
/// begins, if it cannot write there.
struct CSVLogger {
  std::string filename;
  std::string separator = ",";
  bool append = false;  ///< go on with a file that is there; training that is resumed does
  operator Callback() const;
};

/// Writes what TensorBoard shows, as training goes on: `tensorboard --logdir logs`. In
/// log_dir/train and log_dir/validation are, each epoch, epoch_loss and so on for all that is
/// logged, and epoch_learning_rate; of each validation and evaluate(), against the steps so far,
/// evaluation_loss_vs_iterations and so on. Epochs count from 0. Folders are made; files of earlier
/// runs stay beside.
/// It is defined in io/tensorboard.cpp, which must be linked (weft::weft has it).
///   throws  ArgumentError when it is made, for no log_dir and frequencies out of range; IoError
///           when training begins, if it cannot write there
struct TensorBoard {
  std::string log_dir = "logs";
  int histogram_freq = 0;   ///< epochs between histograms of all weights; 0: none
  bool write_graph = true;  ///< the layers, if they have a form in JSON
  bool write_steps_per_second = false;
  /// Batches between batch_loss and so on, means over the epoch so far; nothing: none are written,
  /// Keras' "epoch". Keras' "batch" is 1.
  std::optional<std::int64_t> update_freq{};
  operator Callback() const;
};

/// Stops at once when the loss is no number any more, or infinite, and at the end of an epoch when a
/// weight is (Model::find_not_finite).
struct TerminateOnNaN {
  operator Callback() const;
};

/// Keeps the state of training on the disk, so that a fit that was killed goes on from there when
/// it is started again, with the same data, options, callbacks and seeds, and ends as if it had not
/// been: with the same weights, to the last bit, the same history, and what other callbacks
/// remember, such as the best weights so far. At the end of training the state is removed. A state
/// of other data (as far as nn/fingerprint.hpp tells them apart), layers, optimizer, loss,
/// callbacks, metrics, seed or `run` is refused (ArgumentError), and then the model is as it was.
/// While fit runs, the folder is locked: a second training that is given it, in this process or
/// another, is refused (IoError). It is defined in io/backup.cpp, which must be linked (weft::weft
/// has it).
///   throws  ArgumentError when it is made, for no backup_dir and a save_freq below 1; IoError for
///           a folder that is in use, and a state that cannot be read
struct BackupAndRestore {
  std::string backup_dir;                   ///< made if need be, for nothing else
  std::optional<std::int64_t> save_freq{};  ///< batches; nothing: at the end of each epoch
  bool delete_checkpoint = true;            ///< else remove() does it
  std::string
      run{};  ///< what is trained on what, in the caller's words; for no other is it resumed
  /// Asked after each batch: shall the state be kept now, since the program is about to end?
  std::function<bool()> save_now{};
  operator Callback() const;
  bool exists() const;  ///< is there a state to go on from?
  /// Removes the state, and the folder if nothing else is in it. Throws IoError if it is in use.
  void remove() const;
  /// Locks the folder now, and not only while fit runs, until this object, its copies and the
  /// callbacks made of them are gone. Throws IoError if it is in use.
  void lock();
  std::shared_ptr<void> held{};  ///< what lock() did
};

}  // namespace weft::nn
