#include "tools/server/asked_model.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "nn/shapes.hpp"
#include "tools/digit.hpp"
#include "tools/server/refusals.hpp"
#include "tools/server/server.hpp"

namespace weft {
namespace {

using nlohmann::json;

constexpr std::int64_t largest_side = 1024;  // of a picture

constexpr const char* right_body =
    R"({"pixels":[...]} with numbers from 0 to 255, and for a digit "digit":true, "width" and "height")";

json parsed(const std::string& body) {
  const auto limit_depth = [](int depth, json::parse_event_t, json&) {
    if (depth > 8) refuse(400, "the body is no JSON of the form {}", right_body);
    return true;  // nesting is no part of any request
  };
  json result = json::parse(body, limit_depth, false);
  if (!result.is_object()) refuse(400, "the body is no JSON of the form {}", right_body);
  return result;
}

std::vector<float> pixels_of(const json& body, std::int64_t count, const char* whose) {
  const auto found = body.find("pixels");
  if (found == body.end() || !found->is_array()) {
    refuse(400, "there is no list of \"pixels\"; the body must be {}", right_body);
  }
  if (found->size() != static_cast<std::size_t>(count)) {
    refuse(400, "there are {} pixels; {} has {}", found->size(), whose, count);
  }
  std::vector<float> values;
  values.reserve(found->size());
  for (const json& number : *found) {
    // What is too large for a double is not finite.
    const double value = number.is_number() ? number.get<double>() : -1;
    if (!(value >= 0 && value <= 255)) {
      refuse(400, "pixel {} is {}; pixels are numbers from 0 to 255", values.size(),
             number.is_number() ? number.dump() : number.type_name());
    }
    values.push_back(static_cast<float>(value));
  }
  return values;
}

/// A grey picture of any size, as MNIST would have it.
std::vector<float> digit_of(const json& body) {
  const auto length = [&](const char* name) {
    const auto found = body.find(name);
    const bool is_right =
        found != body.end() && found->is_number_unsigned() && *found >= 1 && *found <= largest_side;
    if (!is_right) refuse(400, "\"{}\" must be a whole number, 1 to {}", name, largest_side);
    return found->get<std::int64_t>();
  };
  const std::int64_t height = length("height"), width = length("width");
  const std::vector<float> values = pixels_of(body, height * width, "a picture of that size");
  Tensor picture(Type{DType::u8, {height, width}});
  std::ranges::transform(values, picture.data<std::uint8_t>().begin(),
                         [](float v) { return static_cast<std::uint8_t>(std::lround(v)); });
  return to_floats(as_mnist_digit(picture));
}

}  // namespace

AskedModel::AskedModel(nn::Model model, double scale, std::vector<std::string> classes)
    : model_(std::move(model)), scale_(scale) {
  const nn::Network& network = model_.network();
  if (network.inputs.size() != 1 || network.outputs.size() != 1) {
    fail<ArgumentError>("serve: the model has {} inputs and {} outputs; it must have one of each",
                        network.inputs.size(), network.outputs.size());
  }
  input_ = network.inputs[0].shape;
  const Shape output = model_.output_shape();
  if (network.inputs[0].dtype != DType::f32 || output.rank() != 1) {
    fail<ArgumentError>("serve: the model makes {} of {}; it must make one vector of f32", output,
                        Type{network.inputs[0].dtype, input_});
  }
  classes_.emplace(model_, std::move(classes), "serve");
  drawing_ = svg_of(model_);
}

json AskedModel::description() const {
  static constexpr const char* outputs[] = {"softmax", "sigmoid", "scores"};
  json shape = json::array();
  for (std::size_t i = 0; i < input_.rank(); ++i) shape.push_back(input_[i]);
  return {{"name", model_.name()},
          {"input", shape},
          {"image", is_image()},
          {"digit", is_digit()},
          {"classes", classes_->names()},
          {"output", outputs[static_cast<int>(classes_->output())]},
          {"scale", scale_},
          {"drawing", !drawing_.empty()}};
}

bool AskedModel::is_image() const {
  return input_.rank() == 3 && (input_[2] == 1 || input_[2] == 3) && input_[0] > 0 &&
         input_[1] > 0 && input_[0] <= largest_side && input_[1] <= largest_side;
}

json AskedModel::answer(const std::string& body) {
  const json request = parsed(body);
  const auto flag = request.find("digit");
  const bool digit = flag != request.end() && *flag == true;
  if (digit && !is_digit()) refuse(400, "the model does not take digits, [28,28,1]");
  const auto pixels =
      digit ? digit_of(request) : pixels_of(request, this->pixels(), "the model's input");
  json said{{"probabilities", probabilities(pixels)}};
  if (digit) said["digit"] = pixels;
  return said;
}

std::vector<float> AskedModel::probabilities(const std::vector<float>& pixels) {
  Tensor x(Type{DType::f32, nn::with_batch(1, input_)});
  std::ranges::transform(pixels, x.data<float>().begin(),
                         [&](float v) { return static_cast<float>(v * scale_); });
  const Tensor y = model_.predict_on_batch(x);
  return classes_->probabilities(y.data<float>());
}

}  // namespace weft
