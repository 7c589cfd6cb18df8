#include "io/keras/optimizers.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "graph/print.hpp"
#include "io/keras/classes.hpp"

namespace weft::keras {

static void describe(nn::Fields& f, nn::SGD& o) {
  f("learning_rate", o.learning_rate)("momentum", o.momentum)("nesterov", o.nesterov);
}
static void describe(nn::Fields& f, nn::RMSprop& o) {
  f("learning_rate", o.learning_rate)("rho", o.rho)("momentum", o.momentum);
  f("epsilon", o.epsilon)("centered", o.centered);
}
static void describe(nn::Fields& f, nn::Adam& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon)("amsgrad", o.amsgrad);
}
static void describe(nn::Fields& f, nn::AdamW& o) {
  f("learning_rate", o.learning_rate)("weight_decay", o.weight_decay)("beta_1", o.beta_1);
  f("beta_2", o.beta_2)("epsilon", o.epsilon)("amsgrad", o.amsgrad);
}
static void describe(nn::Fields& f, nn::Adadelta& o) {
  f("learning_rate", o.learning_rate)("rho", o.rho)("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Adagrad& o) {
  f("learning_rate", o.learning_rate);
  f("initial_accumulator_value", o.initial_accumulator_value)("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Adamax& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Adafactor& o) {
  f("learning_rate", o.learning_rate)("beta_2_decay", o.beta_2_decay)("epsilon_1", o.epsilon_1);
  f("epsilon_2", o.epsilon_2)("clip_threshold", o.clip_threshold);
  f("relative_step", o.relative_step);
}
static void describe(nn::Fields& f, nn::Nadam& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Ftrl& o) {
  f("learning_rate", o.learning_rate)("learning_rate_power", o.learning_rate_power);
  f("initial_accumulator_value", o.initial_accumulator_value);
  f("l1_regularization_strength", o.l1_regularization_strength);
  f("l2_regularization_strength", o.l2_regularization_strength);
  f("l2_shrinkage_regularization_strength", o.l2_shrinkage_regularization_strength);
  f("beta", o.beta);
}
static void describe(nn::Fields& f, nn::Lion& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
}
static void describe(nn::Fields& f, nn::Lamb& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon);
}
static void describe(nn::Fields& f, nn::Muon& o) {
  f("learning_rate", o.learning_rate)("adam_beta_1", o.adam_beta_1);
  f("adam_beta_2", o.adam_beta_2)("adam_weight_decay", o.adam_weight_decay);
  f("epsilon", o.epsilon)("weight_decay", o.weight_decay)("exclude_layers", o.exclude_layers);
  f("exclude_embeddings", o.exclude_embeddings)("muon_a", o.muon_a)("muon_b", o.muon_b);
  f("muon_c", o.muon_c)("adam_lr_ratio", o.adam_lr_ratio)("momentum", o.momentum);
  f("ns_steps", o.ns_steps)("nesterov", o.nesterov)("rms_rate", o.rms_rate);
}
static void describe(nn::Fields& f, nn::ScheduleFreeAdamW& o) {
  f("learning_rate", o.learning_rate)("beta_1", o.beta_1)("beta_2", o.beta_2);
  f("epsilon", o.epsilon)("warmup_steps", o.warmup_steps);
}

static void describe_common(nn::Fields& f, nn::OptimizerConfig& c, bool has_weight_decay) {
  if (!has_weight_decay) f("weight_decay", c.weight_decay);
  f("clipnorm", c.clipnorm)("global_clipnorm", c.global_clipnorm)("clipvalue", c.clipvalue);
  f("use_ema", c.use_ema)("ema_momentum", c.ema_momentum);
  f("ema_overwrite_frequency", c.ema_overwrite_frequency);
  f("loss_scale_factor", c.loss_scale_factor);
  f("gradient_accumulation_steps", c.gradient_accumulation_steps);
}

namespace {

struct OptimizerClass {
  std::string_view name;
  nn::Optimizer (*read)(ReadFields&);
  bool (*write)(const nn::Optimizer&, WriteFields&, bool with_common);
};

template <class T>
constexpr OptimizerClass optimizer_class(std::string_view name) {
  constexpr bool has_weight_decay = requires(T object) { object.weight_decay; };
  return {name,
          [](ReadFields& fields) -> nn::Optimizer {
            T object{};
            describe(fields, object);
            nn::OptimizerConfig common;
            describe_common(fields, common, has_weight_decay);
            return {std::move(object), std::move(common)};
          },
          [](const nn::Optimizer& any, WriteFields& fields, bool with_common) {
            const T* object = any.as<T>();
            if (object == nullptr) return false;
            T copy = *object;
            describe(fields, copy);
            nn::OptimizerConfig common = any.config;
            if (with_common) describe_common(fields, common, has_weight_decay);
            return true;
          }};
}

constexpr std::array optimizers{
    optimizer_class<nn::SGD>("SGD"),
    optimizer_class<nn::RMSprop>("RMSprop"),
    optimizer_class<nn::Adam>("Adam"),
    optimizer_class<nn::AdamW>("AdamW"),
    optimizer_class<nn::Adadelta>("Adadelta"),
    optimizer_class<nn::Adagrad>("Adagrad"),
    optimizer_class<nn::Adamax>("Adamax"),
    optimizer_class<nn::Adafactor>("Adafactor"),
    optimizer_class<nn::Nadam>("Nadam"),
    optimizer_class<nn::Ftrl>("Ftrl"),
    optimizer_class<nn::Lion>("Lion"),
    optimizer_class<nn::Lamb>("Lamb"),
    optimizer_class<nn::Muon>("Muon"),
    optimizer_class<nn::ScheduleFreeAdamW>("ScheduleFreeAdamW"),
};

}  // namespace

nn::Optimizer read_optimizer_config(const Json& value) {
  const std::string where = "optimizer";
  if (value.is_string()) {
    try {
      return {value.get<std::string>()};
    } catch (const ArgumentError& error) {
      fail<UnsupportedError>("{}", error.what());
    }
  }
  const Described object = described(value, where);
  for (const OptimizerClass& known : optimizers) {
    // TensorFlow 2.11 and 2.12 write Keras' own as "Custom>Adam".
    const std::string_view class_name = object.class_name.starts_with("Custom>")
                                            ? without_package(object.class_name)
                                            : object.class_name;
    if (!nn::same_name(known.name, class_name)) continue;
    Json config = *object.config;
    // Before 2.3 it was called lr; a decay of the rate over time was an argument until 2.10.
    if (!config.contains("learning_rate") && config.contains("lr")) {
      config["learning_rate"] = config["lr"];
    }
    const Json& decay = member(config, "decay");
    if (decay.is_number() && decay.get<double>() != 0) {
      Json schedule = Json::object();
      schedule["class_name"] = "InverseTimeDecay";
      schedule["config"] = {{"initial_learning_rate", config["learning_rate"]},
                            {"decay_steps", 1},
                            {"decay_rate", decay}};
      config["learning_rate"] = std::move(schedule);
    }
    ReadFields fields(config, where + " " + object.class_name, Generation::keras3);
    for (const char* key : {"name", "lr", "decay", "jit_compile", "is_legacy_optimizer"}) {
      fields.ignore(key);
    }
    const nn::Optimizer optimizer = known.read(fields);
    fields.finish();
    return optimizer;
  }
  fail<UnsupportedError>("optimizer: there is no \"{}\"", object.class_name);
}

namespace {

/// What is common to all optimizers and not as it is by default.
bool says_nothing(const nn::OptimizerConfig& c) {
  return !c.weight_decay && !c.clipnorm && !c.global_clipnorm && !c.clipvalue && !c.use_ema &&
         !c.ema_overwrite_frequency && !c.loss_scale_factor && !c.gradient_accumulation_steps;
}

}  // namespace

Json write_optimizer_config(const nn::Optimizer& optimizer, Generation to) {
  const nn::OptimizerConfig& common = optimizer.config;
  if (!common.exclude_from_weight_decay.empty()) {
    fail<UnsupportedError>("optimizer \"{}\": exclude_from_weight_decay is no part of Keras' files",
                           optimizer.name);
  }
  // Keras 2 reads it from an .h5 into an optimizer that knows no more of it than the clips, and
  // refuses what else there is; Keras 3 would not know how Keras 2 names the other optimizer.
  const bool with_common = to == Generation::keras3 || !says_nothing(common);
  for (const OptimizerClass& known : optimizers) {
    Json config = Json::object();
    config["name"] = optimizer.name;
    WriteFields fields(config, "optimizer", to);
    if (!known.write(optimizer, fields, with_common)) continue;
    if (to == Generation::keras2) {
      Json said = Json::object();
      for (const auto& [key, value] : config.items()) {
        const bool means_nothing =
            value.is_null() || (!common.use_ema && key.find("ema") != std::string::npos);
        if (!means_nothing) said[key] = value;
      }
      config = std::move(said);
    }
    return object_of("keras.optimizers", known.name, std::move(config), to);
  }
  fail<UnsupportedError>("optimizer \"{}\" is of the program's own type, which no file can hold",
                         optimizer.name);
}

// ---- what optimizers keep

namespace {

/// Adafactor keeps three slots of each parameter in Keras, of which either one or two are used.
void add_unused(std::vector<Kept>& kept, nn::Model& model) {
  std::map<std::string, Shape> parameters;
  for (const auto& weight : model.weights()) parameters.emplace(weight.name, weight.shape);
  std::vector<Kept> all;
  for (Kept& one : kept) {
    const std::string slot = one.slot, parameter = one.parameter;
    if (slot == "velocity") {
      for (const char* unused : {"r", "c"}) all.push_back({"", {}, unused, parameter});
    }
    all.push_back(std::move(one));
    if (slot == "c") all.push_back({"", parameters.at(parameter), "velocity", parameter});
  }
  kept = std::move(all);
}

}  // namespace

std::vector<Kept> kept_by_optimizer(nn::Model& model) {
  const nn::Optimizer& optimizer = model.training().optimizer;
  const std::string prefix = optimizer.name + '/';
  std::vector<Kept> kept;
  for (const std::string& name : model.optimizer_variables()) {
    const std::string own = name.substr(prefix.size());
    const std::size_t end = own.find('/');
    Kept one{name, model.variables().type(name).shape, own.substr(0, end),
             end == std::string::npos ? "" : own.substr(end + 1)};
    kept.push_back(std::move(one));
  }
  if (optimizer.as<nn::Adafactor>() != nullptr) add_unused(kept, model);
  return kept;
}

Tensor count_of_steps(std::int64_t stored) {
  return Tensor::scalar(static_cast<std::int32_t>(std::clamp<std::int64_t>(stored, 0, INT32_MAX)));
}

bool read_legacy_optimizer(nn::Model& model, const Hdf5Group& group) {
  if (!model.is_compiled()) return false;
  // Until 2.10, all of one slot, and then all of the next; later as in Keras 3, where slots of a
  // parameter may be neighbours.
  std::vector<Kept> now;
  std::map<std::string, std::string> numbers;  // names of numbers that all share
  for (Kept& one : kept_by_optimizer(model)) {
    if (one.parameter.empty()) {
      numbers.emplace(one.slot, one.name);
    } else if (one.shape.rank() > 0) {
      now.push_back(std::move(one));
    }
  }
  std::vector<std::pair<std::string, Tensor>> values;
  std::optional<std::int64_t> count;
  std::map<std::string, Tensor> stored;  // of numbers
  for (const std::string& place : group.texts("weight_names")) {
    Tensor value = group.array(place);
    const bool is_number = value.shape().rank() == 0;
    if (is_number && !count && place.find("iter") != std::string::npos) {
      count = group.integer(place);
    } else if (is_number && place.find("learning_rate") != std::string::npos) {
      stored.insert_or_assign("learning_rate", std::move(value));
    } else if (is_number) {
      stored.insert_or_assign("u_product", std::move(value));  // the only one beside
    } else {
      values.emplace_back(place, std::move(value));
    }
  }
  if (!count || values.size() != now.size()) return false;
  std::vector<Kept> before = now;
  std::map<std::string, std::size_t> slots;
  for (const Kept& one : now) slots.emplace(one.slot, slots.size());
  std::ranges::stable_sort(before, {}, [&](const Kept& one) { return slots.at(one.slot); });
  const auto fits = [&](const std::vector<Kept>& order) {
    return std::ranges::equal(order, values, [](const Kept& one, const auto& value) {
      return one.shape == value.second.shape();
    });
  };
  // The names say which it is where shapes do not.
  const bool looks_old = !values.empty() && values[0].first.ends_with("/m:0");
  const std::vector<Kept>& first = looks_old ? before : now;
  const std::vector<Kept>& second = looks_old ? now : before;
  if (!fits(first) && !fits(second)) return false;
  const std::vector<Kept>& order = fits(first) ? first : second;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (!order[i].name.empty()) model.variables().set(order[i].name, values[i].second);
  }
  model.variables().set(numbers.at("iteration"), count_of_steps(*count));
  for (const auto& [name, value] : stored) {
    if (numbers.contains(name)) model.variables().set(numbers[name], value);
  }
  return true;
}

}  // namespace weft::keras
