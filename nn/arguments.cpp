#include "nn/arguments.hpp"

#include <vector>

#include "ops/reshape.hpp"
#include "ops/transpose.hpp"

namespace weft::nn {

Value channels_last(Value x) {
  std::vector<int> axes{0};
  for (int axis = 2; axis < static_cast<int>(x.shape().rank()); ++axis) axes.push_back(axis);
  if (x.shape().rank() > 1) axes.push_back(1);
  return transpose(x, axes);
}

Value channels_first(Value x) {
  std::vector<int> axes{0};
  if (x.shape().rank() > 1) axes.push_back(-1);
  for (int axis = 1; axis + 1 < static_cast<int>(x.shape().rank()); ++axis) axes.push_back(axis);
  return transpose(x, axes);
}

Value ImageForm::images(std::string_view layer, Value x) const {
  if (static_cast<int>(x.shape().rank()) != axes_ + 2) {
    constexpr std::array forms{std::array{"[N,T,C]", "[N,C,T]"},
                               std::array{"[N,H,W,C]", "[N,C,H,W]"}};
    fail<ShapeError>("{}: the input must be f32{}, not {}", layer,
                     forms[static_cast<std::size_t>(axes_ - 1)][channels_first_ ? 1 : 0], x.type());
  }
  if (channels_first_) x = channels_last(x);
  const Shape& shape = x.shape();
  return axes_ == 2 ? x : reshape(x, {shape[0], 1, shape[1], shape[2]});
}

Value ImageForm::back(Value images) const {
  const Shape& shape = images.shape();
  const Value y = axes_ == 2 ? images : reshape(images, {shape[0], shape[2], shape[3]});
  return channels_first_ ? channels_first(y) : y;
}

}  // namespace weft::nn
