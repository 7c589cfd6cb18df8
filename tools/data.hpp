// --data: what one trains with and tests on.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "nn/model.hpp"

namespace weft::tools {

/// Data for a model, as its loss wants the targets.
struct Data {
  nn::Dataset train, test;
  std::vector<std::string> classes;  ///< names; none: 0, 1, ...
};

struct DataOptions {
  std::string data;
  double scale = 1.0 / 255;
  double validation_split = 0.1;
  std::uint64_t seed = 1;

  /// Adds --data, --scale and, if there is to be trained, --validation-split; else all that has no
  /// test samples is taken for that.
  void add_to(CLI::App& command, bool training);
  /// mnist, fashion, a folder of IDX files like MNIST's, a folder of folders of pictures, or a
  /// .csv. Of what has no test samples of its own, a part is kept for that, chosen by the seed.
  ///   model  whose input's size pictures get
  ///   throws UsageError for data that the model does not take; IoError if there are no such data,
  ///   saying where they were looked for
  Data load(nn::Model& model) const;

 private:
  Data find(const Shape& input) const;
};

/// The same data with targets as the model's loss wants them: classes, or vectors of 0 and 1.
/// Throws UsageError for data that do not fit.
nn::Dataset fitting(const nn::Dataset& data, nn::Model& model);

/// How to train a model of which nothing is said: by Adam, with the loss and the metric that fit
/// its output and the targets.
nn::TrainOptions fitting_options(nn::Model& model, const nn::Dataset& data);

}  // namespace weft::tools
