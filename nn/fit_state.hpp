// FitState: where fit is, and all that it has to know, beside weights and what the optimizer keeps,
// to go on from there as if it had never stopped.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "graph/tensor.hpp"
#include "nn/fingerprint.hpp"
#include "nn/history.hpp"

namespace weft::nn {

class Model;

/// What a callback remembers from one batch or epoch to the next.
struct CallbackState {
  std::map<std::string, double> numbers{};
  std::map<std::string, std::vector<Tensor>> tensors{};  ///< of f32

  /// Throw ArgumentError for a name that is not there.
  double number(const std::string& name) const;
  const std::vector<Tensor>& list(const std::string& name) const;
};

/// What a loss or a metric has added up over the batches of an epoch so far.
struct PartialSums {
  std::string name;
  std::vector<double> sums{};
  double samples = 0;
};

struct FitState {
  int epoch = 0;                             ///< the one to go on with, from 0
  std::int64_t batch = 0;                    ///< its first batch that is not done yet, from 0
  std::int64_t samples = 0, batch_size = 0;  ///< of the data, and of a batch
  std::uint64_t seed = 0;                    ///< of FitOptions
  std::vector<PartialSums> sums{};           ///< of this epoch's batches before
  History history{};                         ///< of the epochs before
  std::vector<CallbackState> callbacks{};    ///< of those that have a state, in their order
  Facts data{};  ///< what tells the data from others; empty: they are not compared

  // For fit, of whoever kept the state.

  std::string kept_in{};  ///< for messages: "\"backup\"; "
  /// Sets weights and what the optimizer keeps, when fit has found that it can go on.
  std::function<void(Model&)> restore{};
};

}  // namespace weft::nn
