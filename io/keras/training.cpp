#include "io/keras/training.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "graph/print.hpp"
#include "io/keras/losses.hpp"
#include "io/keras/names.hpp"
#include "io/keras/optimizers.hpp"

namespace weft::keras {
namespace {

/// Losses by output: one for all, a list, or an object.
template <class F>
void for_each_output(const Json& value, const std::vector<std::string>& outputs,
                     std::string_view what, F f) {
  if (value.is_array() && value.size() == outputs.size()) {
    for (std::size_t i = 0; i < outputs.size(); ++i) f(i, value[i]);
  } else if (value.is_object()) {
    for (const auto& [name, one] : value.items()) {
      const auto at = std::find(outputs.begin(), outputs.end(), name);
      if (at == outputs.end()) {
        fail<IoError>("{}: there is no output \"{}\"; there are: {}", what, name,
                      fmt::join(outputs, ", "));
      }
      f(static_cast<std::size_t>(at - outputs.begin()), one);
    }
  } else {
    fail<IoError>("{}: {} outputs, but {}", what, outputs.size(), excerpt(value));
  }
}

/// One list for all outputs, or one for each.
std::vector<nn::Metric> read_metrics(const Json& value) {
  std::vector<nn::Metric> result;
  if (value.is_null()) return result;
  if (!value.is_array()) return {read_metric(value)};
  for (const Json& one : value) {
    if (!one.is_null()) result.push_back(read_metric(one));
  }
  return result;
}

bool is_by_output(const Json& value, std::size_t outputs) {
  if (value.is_object()) return member(value, "class_name").is_null();
  if (!value.is_array() || value.empty()) return false;
  const bool lists = std::ranges::any_of(value, [](const Json& one) { return one.is_array(); });
  return lists && (outputs > 1 || value.size() == 1);
}

void append(std::vector<nn::Metric>& to, const std::vector<nn::Metric>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

nn::OutputOptions& of_output(nn::TrainOptions& options, const std::string& output) {
  for (auto& [name, its] : options.outputs) {
    if (name == output) return its;
  }
  return options.outputs.emplace_back(output, nn::OutputOptions{}).second;
}

/// Keras 2 does not see from an .h5 that targets are numbers of classes: there, "accuracy" compares
/// these with the outputs.
Json list_of(const std::vector<nn::Metric>& metrics, const nn::Loss& loss, Generation to) {
  Json list = Json::array();
  for (const nn::Metric& metric : metrics) {
    Json text = write_metric(metric);
    const bool is_vague = text == "accuracy" || text == "acc";
    if (to == Generation::keras2 && loss && loss.integer_targets && is_vague) {
      const Json name = text;
      text = Json::object();
      text["class_name"] = "SparseCategoricalAccuracy";
      text["config"] = {{"name", name}, {"dtype", "float32"}};
    }
    list.push_back(std::move(text));
  }
  return list;
}

}  // namespace

std::optional<nn::TrainOptions> read_training(const Json& training, const nn::Model& model) {
  const Json& optimizer = training.contains("optimizer_config")
                              ? member(training, "optimizer_config")
                              : member(training, "optimizer");
  const Json& loss = member(training, "loss");
  if (optimizer.is_null() || loss.is_null()) return std::nullopt;
  const std::vector<std::string> outputs = model.output_names();
  nn::TrainOptions options{.optimizer = read_optimizer_config(optimizer)};
  if (loss.is_string() || !member(loss, "class_name").is_null()) {
    options.loss = read_loss(loss);
  } else {
    for_each_output(loss, outputs, "loss", [&](std::size_t i, const Json& one) {
      of_output(options, outputs[i]).loss = read_loss(one);
    });
  }
  const Json& weights = member(training, "loss_weights");
  if (!weights.is_null() && !weights.empty()) {
    for_each_output(weights, outputs, "loss_weights", [&](std::size_t i, const Json& one) {
      if (one.is_number()) of_output(options, outputs[i]).loss_weight = one.get<double>();
    });
  }
  const auto read = [&](const char* key, std::vector<nn::Metric>& all,
                        std::vector<nn::Metric> nn::OutputOptions::*own) {
    const Json& value = member(training, key);
    if (!is_by_output(value, outputs.size())) return append(all, read_metrics(value));
    for_each_output(value, outputs, key, [&](std::size_t i, const Json& one) {
      append(outputs.size() == 1 ? all : of_output(options, outputs[i]).*own, read_metrics(one));
    });
  };
  read("metrics", options.metrics, &nn::OutputOptions::metrics);
  read("weighted_metrics", options.weighted_metrics, &nn::OutputOptions::weighted_metrics);
  return options;
}

Json write_training(const nn::TrainOptions& options, const nn::Model& model, Generation to) {
  Json training = Json::object();
  const bool old = to == Generation::keras2;
  const auto set_optimizer = [&] {
    training[old ? "optimizer_config" : "optimizer"] =
        write_optimizer_config(options.optimizer, to);
  };
  if (!old) set_optimizer();
  if (options.outputs.empty()) {
    training["loss"] = write_loss(options.loss, to);
    training["loss_weights"] = nullptr;
    training["metrics"] = list_of(options.metrics, options.loss, to);
    training["weighted_metrics"] = options.weighted_metrics.empty()
                                       ? Json(nullptr)
                                       : list_of(options.weighted_metrics, options.loss, to);
  } else {
    Json loss = Json::object(), weights = Json::object(), metrics = Json::object(),
         weighted = Json::object();
    const std::vector<std::string> outputs = model.output_names(),
                                   written = with_file_names(model.network()).output_names();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::string& output = written[i];
      nn::OutputOptions its{.loss = options.loss};
      for (const auto& [name, given] : options.outputs) {
        if (name == outputs[i]) its = given;
      }
      const nn::Loss& own = its.loss ? its.loss : options.loss;
      loss[output] = write_loss(own, to);
      weights[output] = its.loss_weight;
      std::vector<nn::Metric> all = options.metrics, all_weighted = options.weighted_metrics;
      append(all, its.metrics);
      append(all_weighted, its.weighted_metrics);
      metrics[output] = list_of(all, own, to);
      weighted[output] = list_of(all_weighted, own, to);
    }
    training["loss"] = std::move(loss);
    training["loss_weights"] = std::move(weights);
    training["metrics"] = std::move(metrics);
    training["weighted_metrics"] = std::move(weighted);
  }
  if (old) {
    set_optimizer();
  } else {
    training["run_eagerly"] = false;
    training["steps_per_execution"] = 1;
    training["jit_compile"] = false;
  }
  return training;
}

}  // namespace weft::keras
