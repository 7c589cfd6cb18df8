// Classes: what the numbers of a model's output say of classes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nn/model.hpp"

namespace weft {

class Classes {
 public:
  /// What the last layer makes of a class.
  enum class Output { softmax, sigmoid, scores };

  /// Of a model with one output, a vector.
  ///   names   of the classes; none: 0, 1, ...
  ///   throws  ArgumentError, which begins with `who`, for another number of names
  Classes(nn::Model& model, std::vector<std::string> names, std::string_view who);

  const std::vector<std::string>& names() const { return names_; }
  Output output() const { return output_; }
  /// Of each class. Scores are made probabilities by softmax; one number behind a sigmoid is that
  /// of the second class of two.
  std::vector<float> probabilities(std::span<const float> output) const;

 private:
  std::vector<std::string> names_;
  Output output_ = Output::scores;
  bool is_binary_ = false;
};

}  // namespace weft
