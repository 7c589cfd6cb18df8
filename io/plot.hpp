// Pictures of numbers: curves, confusion matrices, predictions, mistakes, filters. Drawn by PLplot,
// one at a time in a process; a program that calls PLplot itself must not do so meanwhile.
//
// The ending of a file's name says the format, .png or .svg. Sizes in pixels are PlotOptions'; 0 is
// what suits. Files are written atomically. All throw ArgumentError for another ending, a size that
// is not 64 to 16384, and nothing to show; IoError if a file cannot be written, or PLplot is not
// installed whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "graph/tensor.hpp"
#include "nn/history.hpp"

namespace weft {

using nn::PlotOptions;

/// Numbers over an axis of whole numbers. Where y is no finite number, there is a gap.
struct Curve {
  std::string name;  ///< in the legend; "": not there
  std::vector<double> x, y;
};

/// Curves between axes, with a vertical line where something is.
struct Panel {
  std::string title{}, x_label = "Epoch", y_label{};
  std::vector<Curve> curves{};
  std::optional<double> mark{};
  std::string mark_name{};
};

/// Draws panels, two in a row.
/// Throws ArgumentError, too, for a curve that has not one y for each x.
void plot_curves(const std::filesystem::path& file, const std::vector<Panel>& panels,
                 const PlotOptions& options = {});

// nn::History::plot is defined here, too.

/// How often samples of each class are taken for each class.
///   labels       integers [N] or [N,1], or vectors f32[N,K], of which the largest counts
///   predictions  f32[N,K], of which the largest counts; with [N] or [N,1], true above 0.5
///   returns      f32[K,K]: of class row, taken for class column. It is what
///                Model::metric_result("confusion_matrix") returns, too
///   throws       ShapeError or TypeError for others; ArgumentError for a label that is no
///                class, and for a prediction with a NaN
Tensor confusion_matrix(const Tensor& labels, const Tensor& predictions);

/// Draws a confusion matrix with its numbers: the darker, the more of the class. Blue is right, red
/// is wrong.
///   counts   f32[K,K], as above
///   classes  K names; none: 0, 1, ...
///   throws   ShapeError for another matrix or another number of names; TypeError if it is not f32
void plot_confusion_matrix(const std::filesystem::path& file, const Tensor& counts,
                           const std::vector<std::string>& classes = {},
                           const PlotOptions& options = {});

/// Draws one prediction as bars, the likeliest first.
///   probabilities  f32[K] or f32[1,K]
///   classes        K names; none: 0, 1, ...
///   throws         ShapeError and TypeError as above
void plot_prediction(const std::filesystem::path& file, const Tensor& probabilities,
                     const std::vector<std::string>& classes = {}, const PlotOptions& options = {});

/// A prediction that is wrong.
struct Mistake {
  std::int64_t sample;
  std::int64_t label, predicted;
  double probability;  ///< of the predicted class
};

/// The wrong predictions, those made with the highest probability first.
///   labels, predictions  as for confusion_matrix
std::vector<Mistake> mistakes(const Tensor& labels, const Tensor& predictions);

/// Draws a sheet of the first wrong predictions, each with "label -> predicted (probability)".
///   images   u8 or f32 (0 black, 1 white), [N,H,W], [N,H,W,1] or [N,H,W,3]
///   shown    those to draw, say of mistakes(); at most `most` of them
///   classes  names; none: 0, 1, ...
///   throws   ShapeError, TypeError for other images; ArgumentError for a sample or a class without
///            image or name
/// A sheet without mistakes says so.
void plot_mistakes(const std::filesystem::path& file, const Tensor& images,
                   const std::vector<Mistake>& shown, const std::vector<std::string>& classes = {},
                   const PlotOptions& options = {}, std::size_t most = 24);

/// Draws the filters of a convolution, each stretched from black (its least weight) to white (its
/// largest).
///   kernel  f32[KH,KW,C,O], Conv2D's "kernel": with 3 channels in color, else a tile for each of
///           the channels of each filter, at most 256
///   throws  ShapeError or TypeError for another kernel
void plot_filters(const std::filesystem::path& file, const Tensor& kernel,
                  const PlotOptions& options = {});

}  // namespace weft
