// What the curves of a training say, in words.
#pragma once

#include <optional>
#include <string>

#include "nn/history.hpp"

namespace weft::nn {

enum class Verdict {
  unknown,       ///< there is no validation loss to judge by
  underfitting,  ///< the best epoch is the last one: both losses may fall further
  good_fit,     ///< behind the best epoch, validation loss neither falls below it nor clearly rises
  overfitting,  ///< behind the best epoch, validation loss rises while training loss goes on
                ///< falling
  diverging     ///< both rise behind the best epoch, or the loss is no number any more
};

struct Diagnosis {
  Verdict verdict = Verdict::unknown;
  int epochs = 0;                         ///< the last one, counted from 1 as fit shows them
  std::optional<int> best_epoch{};        ///< from 1: the first where the validation loss is lowest
  std::optional<double> best_loss{};      ///< of validation, then
  std::optional<int> overfitting_from{};  ///< the epoch that was validated next behind the best one
  std::optional<int> diverged_from{};     ///< the first whose training loss is no finite number

  /// "Best epoch: 7 of 10 (val_loss 0.0521). From epoch 8 on the model overfits: ..."
  std::string text() const;
};

/// Reads "loss" and "val_loss". The best epoch is where the validation loss is lowest. To the left
/// of it the model underfits, since both losses still fall; if it is the last one, training may
/// have ended too early. To the right of it the model overfits, if validation loss rises while
/// training loss falls.
///
/// The lowest of noisy numbers has higher ones behind it even where nothing rises. So a rise counts
/// only where the straight line through the validation losses from the best epoch on (by least
/// squares) climbs by more than 1 % of the best loss, and by more than 1.645 standard errors, which
/// noise around a level line exceeds one time in twenty. The noise is taken from third differences
/// of all validation losses, which a smooth curve hardly has: for independent noise of deviation s
/// they have sqrt(20) s, and half of them are less than 0.6745 of that in size. With less than four
/// validated epochs, no noise is known of. Since the line begins with the lowest of all, some one
/// in five of long histories that are noise around a level line is still taken for overfitting.
/// Training loss falls if the line through it goes down over the same epochs.
///
/// Epochs whose loss is no finite number are left out.
Diagnosis diagnosis(const History& history);

}  // namespace weft::nn
