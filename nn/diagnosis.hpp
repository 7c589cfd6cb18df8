// What the curves of a training say, in words.
#pragma once

#include <optional>
#include <string>

#include "nn/history.hpp"

namespace weft::nn {

enum class Verdict {
  unknown,       ///< there are not two validation losses to judge by
  underfitting,  ///< validation loss still falls at the end: the model may learn more
  good_fit,      ///< at the end, validation loss neither falls nor clearly rises
  overfitting,   ///< behind the best epoch, validation loss rises, training loss does not
  diverging      ///< both rise behind the best epoch, or the loss is not finite at the end
};

struct Diagnosis {
  Verdict verdict = Verdict::unknown;
  int epochs = 0;                         ///< the last one, counted from 1 as fit shows them
  bool validated = false;                 ///< whether there is a validation loss, finite or not
  std::optional<int> best_epoch{};        ///< from 1: the first where the validation loss is lowest
  std::optional<double> best_loss{};      ///< of validation, then
  std::optional<int> overfitting_from{};  ///< the epoch that was validated next behind the best one
  std::optional<int> diverged_from{};     ///< from it to the end, the training loss is not finite

  /// "Best epoch: 7 of 10 (val_loss 0.0521). From epoch 8 on the model overfits: ..."
  std::string text() const;
};

/// Reads "loss" and "val_loss". The best epoch is where the validation loss is lowest. To the left
/// of it the model underfits, since both losses still fall. To the right of it the model overfits,
/// if validation loss rises and training loss does not.
///
/// A loss rises or falls if the straight line through it (by least squares) climbs or descends by
/// more than 1 % of the lowest loss on it and by more than 1.645 (1 + 3/m) standard errors, where
/// the noise is the median of the m second differences from the epoch before the best on, divided
/// by 0.6745 sqrt(6) - or of the whole curve, if fewer than six losses remain there and that is
/// smaller -, and the best of n validation losses, from which the line begins, is lifted by
/// sqrt(2 ln n) times that, as the lowest of n noisy numbers lies so far below their level; or if
/// each of three or more losses behind the best, to the end, is above the one before. By this, some
/// 1 to 8 % of noisy histories of 5 to 200 epochs that rise nowhere are taken for overfitting, and
/// as many for still falling (up to 20 % of those of 5 epochs that have only just settled). With
/// fewer than five validated epochs noise is unknown: a rise of 5 % counts, or a fall to the end.
///
/// Whether validation loss still falls is seen from the last third of it, at least four epochs, and
/// only if the best epoch is in the second half of those. There, a tenth of all that it has fallen
/// counts, too, where that is less than 1 % of the lowest; and it falls if each loss is below the one
/// before, and the second half of the third by as much as counts. One epoch alone says nothing.
///
/// Epochs whose loss is no finite number are left out.
Diagnosis diagnosis(const History& history);

}  // namespace weft::nn
