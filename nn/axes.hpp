// Axes: one axis or several, as Keras' arguments of that name.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

namespace weft::nn {

/// Of a batch, axis 0 counts the samples; -1 is the last.
struct Axes : std::vector<int> {
  Axes(int axis) : std::vector<int>{axis} {}
  Axes(std::initializer_list<int> axes) : std::vector<int>(axes) {}
  Axes(std::vector<int> axes) : std::vector<int>(std::move(axes)) {}
};

}  // namespace weft::nn
