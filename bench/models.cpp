#include "bench/models.hpp"

#include <array>
#include <string_view>
#include <utility>

namespace weft::bench {
namespace {

using nn::Symbol;

Symbol classes(const Symbol& x) { return nn::Dense(10, {.activation = "softmax"})(x); }

/// A convolution without bias, since the normalisation behind it has one.
Symbol normalized(const Symbol& x, std::int64_t filters, nn::Size2D size, std::int64_t stride) {
  const Symbol y = nn::Conv2D(
      filters, size,
      {.strides = stride, .padding = "same", .use_bias = false, .kernel_initializer = "he_normal"})(
      x);
  return nn::BatchNormalization()(y);
}

/// relu(f(x) + x), where x is projected if its shape is not that of f(x).
Symbol residual_block(const Symbol& x, std::int64_t filters, std::int64_t stride) {
  Symbol y = nn::ReLU()(normalized(x, filters, 3, stride));
  y = normalized(y, filters, 3, 1);
  const Symbol shortcut = x.shape() == y.shape() ? x : normalized(x, filters, 1, stride);
  return nn::ReLU()(nn::Add()({y, shortcut}));
}

struct Row {
  std::string_view name;
  nn::Model (*make)();
};
constexpr std::array known{Row{"tutorial", tutorial}, Row{"vgg", vgg}, Row{"resnet18", resnet18}};

}  // namespace

nn::Model tutorial() {
  const auto x = nn::Input({28, 28, 1});
  Symbol y = nn::Conv2D(32, 3, {.padding = "same", .activation = "relu"})(x);
  y = nn::MaxPooling2D(2)(y);
  y = nn::Flatten()(y);
  y = nn::Dense(16, {.activation = "relu"})(y);
  return nn::Model(x, classes(y), {.name = "tutorial"});
}

nn::Model vgg() {
  const auto x = nn::Input({32, 32, 3});
  Symbol y = x;
  for (const int channels : {64, 128, 256}) {
    for (int i = 0; i < 2; ++i) {
      y = nn::Conv2D(channels, 3, {.padding = "same", .activation = "relu"})(y);
    }
    y = nn::MaxPooling2D(2)(y);
  }
  y = nn::Flatten()(y);
  y = nn::Dense(256, {.activation = "relu"})(y);
  return nn::Model(x, classes(y), {.name = "vgg"});
}

nn::Model resnet18() {
  const auto x = nn::Input({32, 32, 3});
  Symbol y = nn::ReLU()(normalized(x, 64, 3, 1));
  for (const int filters : {64, 128, 256, 512}) {
    y = residual_block(y, filters, filters == 64 ? 1 : 2);
    y = residual_block(y, filters, 1);
  }
  y = nn::GlobalAveragePooling2D()(y);
  return nn::Model(x, classes(y), {.name = "resnet18"});
}

const std::vector<std::string>& model_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Row& row : known) result.emplace_back(row.name);
    return result;
  }();
  return names;
}

Network network(const std::string& name) {
  nn::Model model = nn::find_named("model", name, std::span<const Row>(known)).make();
  model.compile({.optimizer = "adam", .loss = "categorical_crossentropy"});
  Shape input = model.network().inputs[0].shape;
  return {std::move(model), std::move(input)};
}

}  // namespace weft::bench
