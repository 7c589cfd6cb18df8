#include "io/keras/keras1.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "graph/print.hpp"

namespace weft::keras {
namespace {

using Names = std::map<std::string, std::string, std::less<>>;

/// An argument's value, which goes out of the config; or null.
Json take(Json& config, const std::string& key) {
  const auto found = config.find(key);
  if (found == config.end()) return nullptr;
  Json value = std::move(*found);
  config.erase(found);
  return value;
}

void rename(Json& config, const std::string& from, const std::string& to) {
  if (!config.contains(from) || config.contains(to)) return;
  config[to] = take(config, from);
}

/// Two arguments that became one, [first, second].
void join(Json& config, const std::string& first, const std::string& second,
          const std::string& to) {
  if (!config.contains(first) || !config.contains(second)) return;
  Json both = Json::array();
  both.push_back(take(config, first));
  both.push_back(take(config, second));
  config[to] = std::move(both);
}

/// Initializers by the names that they had then.
Json present_initializer(Json value) {
  static const Names now{{"zero", "zeros"},
                         {"one", "ones"},
                         {"normal", "random_normal"},
                         {"uniform", "random_uniform"}};
  if (!value.is_string()) return value;
  const auto found = now.find(value.get<std::string>());
  return found == now.end() ? value : Json(found->second);
}

/// {"name": "WeightRegularizer", "l1": 0, "l2": 0.1}: the class was called name, and its arguments
/// stood beside.
Json present_object(Json value) {
  if (!value.is_object() || value.contains("class_name") || !member(value, "name").is_string()) {
    return value;
  }
  static const Names now{
      {"L1L2Regularizer", "L1L2"}, {"WeightRegularizer", "L1L2"}, {"ActivityRegularizer", "L1L2"}};
  const auto name = take(value, "name").get<std::string>();
  const auto found = now.find(name);
  rename(value, "m", "max_value");
  return {{"class_name", found == now.end() ? name : found->second}, {"config", value}};
}

Json present_padding(const Json& value) {
  const auto four = [](const Json& a, const Json& b, const Json& c, const Json& d) {
    return Json::array({Json::array({a, b}), Json::array({c, d})});
  };
  if (value.is_object() && value.contains("top_pad")) {
    return four(member(value, "top_pad"), member(value, "bottom_pad"), member(value, "left_pad"),
                member(value, "right_pad"));
  }
  if (value.is_object() && value.contains("left_pad")) {
    return Json::array({member(value, "left_pad"), member(value, "right_pad")});
  }
  if (value.is_array() && value.size() == 4) return four(value[0], value[1], value[2], value[3]);
  return value;
}

/// Merge, whose mode became a class each.
void split_merge(std::string& class_name, Json& config, const std::string& where) {
  static const Names classes{{"sum", "Add"},     {"mul", "Multiply"},
                             {"ave", "Average"}, {"concat", "Concatenate"},
                             {"max", "Maximum"}, {"dot", "Dot"}};
  const Json mode = take(config, "mode");
  const auto found = mode.is_string() ? classes.find(mode.get<std::string>()) : classes.end();
  if (found == classes.end() || member(config, "mode_type") == "lambda" ||
      member(config, "mode_type") == "func") {
    fail<UnsupportedError>("{}: Weft has nothing for mode {}", where, excerpt(mode));
  }
  if (!member(config, "layers").is_null() && !member(config, "layers").empty()) {
    fail<UnsupportedError>(
        "{}: it has layers in it, where models have several inputs since Keras 2", where);
  }
  class_name = found->second;
  const Json axis = take(config, "concat_axis"), axes = take(config, "dot_axes");
  if (class_name == "Concatenate") config["axis"] = axis;
  if (class_name == "Dot") config["axes"] = axes;
  for (const char* gone : {"mode_type", "output_shape", "output_shape_type", "output_mask",
                           "output_mask_type", "arguments"}) {
    config.erase(gone);
  }
}

/// Deconvolution2D, which was told the size of its output: (out - K) mod s is what that has beyond
/// the least that its input can give, where padding does not leave that to the stride.
void forget_output_shape(Json& config, const std::string& where) {
  const Json sizes = take(config, "output_shape");
  if (sizes.is_null()) return;
  const auto whole = [&](const Json& list, std::size_t i) {
    if (!list.is_array() || list.size() <= i || !list[i].is_number_integer() ||
        list[i].get<std::int64_t>() < 1) {
      fail<IoError>("{}: a size of it is no size but {}", where, excerpt(list));
    }
    return list[i].get<std::int64_t>();
  };
  const std::size_t first = member(config, "data_format") == "channels_first" ? 2 : 1;
  const bool same = member(config, "padding") == "same";
  Json beyond = Json::array();
  bool usual = true;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t out = whole(sizes, first + i);
    const std::int64_t kernel = whole(member(config, "kernel_size"), i);
    const std::int64_t stride = whole(member(config, "strides"), i);
    if (same && out % stride != 0) {
      fail<UnsupportedError>(
          "{}: its output_shape is {}; where border_mode is \"same\", Weft makes outputs whose "
          "sizes "
          "are multiples of subsample",
          where, excerpt(sizes));
    }
    beyond.push_back(((out - kernel) % stride + stride) % stride);
    if (!same && beyond.back() != std::max<std::int64_t>(stride - kernel, 0)) usual = false;
  }
  if (!usual) config["output_padding"] = std::move(beyond);
}

}  // namespace

void modernize(std::string& class_name, Json& config, const std::string& where) {
  static const Names classes{{"Convolution1D", "Conv1D"},
                             {"Convolution2D", "Conv2D"},
                             {"AtrousConvolution1D", "Conv1D"},
                             {"AtrousConvolution2D", "Conv2D"},
                             {"SeparableConvolution2D", "SeparableConv2D"},
                             {"DepthwiseConvolution2D", "DepthwiseConv2D"},
                             {"Convolution2DTranspose", "Conv2DTranspose"},
                             {"Deconvolution2D", "Conv2DTranspose"},
                             {"ThresholdedReLU", "ReLU"},
                             {"BatchNormalizationV1", "BatchNormalization"},
                             {"BatchNormalizationV2", "BatchNormalization"},
                             {"SyncBatchNormalization", "BatchNormalization"}};
  if (const auto found = classes.find(class_name); found != classes.end()) {
    class_name = found->second;
  }
  if (class_name == "Merge") split_merge(class_name, config, where);
  if (class_name == "ReLU") rename(config, "theta", "threshold");
  if (class_name == "Dense") rename(config, "output_dim", "units");
  join(config, "nb_row", "nb_col", "kernel_size");
  // What kernels of layers are called in their arguments.
  const std::string kernel = class_name == "Embedding"         ? "embeddings"
                             : class_name == "PReLU"           ? "alpha"
                             : class_name == "SeparableConv2D" ? "depthwise"
                                                               : "kernel";
  const std::array<std::pair<const char*, std::string>, 18> names{{
      {"nb_filter", "filters"},
      {"filter_length", "kernel_size"},
      {"border_mode", "padding"},
      {"subsample", "strides"},
      {"subsample_length", "strides"},
      {"atrous_rate", "dilation_rate"},
      {"dim_ordering", "data_format"},
      {"pool_length", "pool_size"},
      {"stride", "strides"},
      {"length", "size"},
      {"bias", "use_bias"},
      {"p", "rate"},
      {"sigma", "stddev"},
      {"init", kernel + "_initializer"},
      {"W_regularizer", kernel + "_regularizer"},
      {"b_regularizer", "bias_regularizer"},
      {"W_constraint", kernel + "_constraint"},
      {"b_constraint", "bias_constraint"},
  }};
  for (const auto& [old, now] : names) rename(config, old, now);
  for (auto& [key, value] : config.items()) {
    if (key.ends_with("_initializer")) value = present_initializer(std::move(value));
    if (key.ends_with("_regularizer") || key.ends_with("_constraint")) {
      value = present_object(std::move(value));
    }
  }
  if (const Json& format = member(config, "data_format"); format == "tf" || format == "th") {
    config["data_format"] = format == "tf" ? "channels_last" : "channels_first";
  }
  if (class_name == "Conv2DTranspose") forget_output_shape(config, where);
  if (class_name.starts_with("ZeroPadding")) {
    config["padding"] = present_padding(member(config, "padding"));
  }
}

}  // namespace weft::keras
