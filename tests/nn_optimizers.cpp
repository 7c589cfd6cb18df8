#include "nn/optimizers.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <sstream>

#include "ops/ops.hpp"
#include "runtime/compile.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

/// Runs an optimizer in double precision on one parameter with the gradient g(w), and returns the
/// parameter after each of some steps.
std::vector<double> descend(const nn::Optimizer& optimizer, double w,
                            const std::function<double(double)>& g, int steps,
                            const std::string& name = "w") {
  Graph graph;
  Variables variables;
  nn::Trace trace{graph, variables, 0, true};
  nn::Scope root(trace);
  root.parameter(name, {1}, "zeros");
  optimizer.apply(trace, trace.weights, {graph.input({DType::f32, {1}}, "g")});

  std::unordered_map<std::string, Array> feeds;
  for (const std::string& each : variables.names()) feeds[each] = to_array(variables.get(each));
  feeds[name].data[0] = w;
  std::vector<double> result;
  for (int i = 0; i < steps; ++i) {
    feeds["g"] = Array({1}, {g(feeds.at(name).data[0])});
    std::vector<Value> wanted;
    for (const Update& update : trace.updates) wanted.push_back(update.next);
    const std::vector<Array> next = evaluate(wanted, feeds);
    for (std::size_t u = 0; u < next.size(); ++u) feeds[trace.updates[u].variable.name()] = next[u];
    result.push_back(feeds[name].data[0]);
  }
  return result;
}

// The gradient of w^2, and of something that is not symmetric.
double twice(double w) { return 2 * w; }
double uneven(double w) { return w * w - 0.3; }

struct SignDescent {
  nn::LearningRate learning_rate = 0.5;
  static std::string_view name() { return "sign_descent"; }
  Value operator()(nn::OptimizerScope& scope, Value w, Value g) const {
    return w - scope.learning_rate() * sign(g);
  }
};

nn::Dataset images(std::int64_t count) {
  Tensor x(Type{DType::f32, {count, 8, 8, 1}}), y(Type{DType::f32, {count, 3}});
  std::uint32_t seed = 3;
  for (const Tensor& each : {x, y}) {
    Tensor to = each;
    for (float& number : to.data<float>()) {
      seed = seed * 1664525u + 1013904223u;
      number = static_cast<float>(seed >> 8) / 16777216.0f;
    }
  }
  return {x, y};
}

nn::Sequential small_network() {
  return {nn::Input({8, 8, 1}), nn::Conv2D(4, 3, {.activation = "relu"}), nn::Flatten{},
          nn::Dense(3)};
}

}  // namespace

TEST_CASE("optimizers: sgd") {
  check_close(descend("sgd", 1, twice, 3), {0.98, 0.9604, 0.941192});
  check_close(descend(nn::SGD{.learning_rate = 0.1}, 1, twice, 2), {0.8, 0.64});
}

TEST_CASE("optimizers: sgd with momentum, and Nesterov's") {
  // m = -0.2, w = 0.8; m = -0.18 - 0.16, w = 0.46; m = -0.306 - 0.092, w = 0.062.
  check_close(descend(nn::SGD{.learning_rate = 0.1, .momentum = 0.9}, 1, twice, 3),
              {0.8, 0.46, 0.062}, 1e-5);
  // m = -0.2, w = 1 - 0.18 - 0.2 = 0.62; m = -0.18 - 0.124 = -0.304, w = 0.62 - 0.2736 - 0.124.
  check_close(
      descend(nn::SGD{.learning_rate = 0.1, .momentum = 0.9, .nesterov = true}, 1, twice, 2),
      {0.62, 0.2224}, 1e-5);
}

TEST_CASE("optimizers: adam") {
  const nn::Adam adam{.learning_rate = 0.1, .epsilon = 1e-3};
  double w = 1, m = 0, v = 0;
  std::vector<double> wanted;
  for (int t = 1; t <= 5; ++t) {
    const double g = uneven(w);
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    w -= 0.1 * std::sqrt(1 - std::pow(0.999, t)) / (1 - std::pow(0.9, t)) * m /
         (std::sqrt(v) + 1e-3);
    wanted.push_back(w);
  }
  check_close(descend(adam, 1, uneven, 5), wanted, 1e-5);
  // The first step is learning_rate long, but for epsilon.
  CHECK(descend("adam", 1, twice, 1)[0] == doctest::Approx(0.999).epsilon(1e-5));
}

TEST_CASE("optimizers: adam keeps the largest v for amsgrad") {
  const nn::Adam adam{.learning_rate = 0.5, .beta_2 = 0.5, .amsgrad = true};
  double w = 1, m = 0, v = 0, largest = 0;
  std::vector<double> wanted;
  for (int t = 1; t <= 6; ++t) {
    const double g = twice(w);
    m += (g - m) * 0.1;
    v += (g * g - v) * 0.5;
    largest = std::max(largest, v);
    w -= 0.5 * std::sqrt(1 - std::pow(0.5, t)) / (1 - std::pow(0.9, t)) * m /
         (std::sqrt(largest) + 1e-7);
    wanted.push_back(w);
  }
  check_close(descend(adam, 1, twice, 6), wanted, 1e-5);
}

TEST_CASE("optimizers: adamw takes off decay first") {
  const nn::AdamW adamw{.learning_rate = 0.1, .weight_decay = 0.5};
  double w = 1, m = 0, v = 0;
  std::vector<double> wanted;
  for (int t = 1; t <= 4; ++t) {
    const double g = uneven(w);
    w -= w * 0.5 * 0.1;
    m += (g - m) * 0.1;
    v += (g * g - v) * 0.001;
    w -= 0.1 * std::sqrt(1 - std::pow(0.999, t)) / (1 - std::pow(0.9, t)) * m /
         (std::sqrt(v) + 1e-7);
    wanted.push_back(w);
  }
  check_close(descend(adamw, 1, uneven, 4), wanted, 1e-5);
}

TEST_CASE("optimizers: rmsprop, with epsilon inside the root") {
  for (const bool centered : {false, true}) {
    for (const double momentum : {0.0, 0.8}) {
      const nn::RMSprop rmsprop{
          .learning_rate = 0.01, .momentum = momentum, .epsilon = 1e-2, .centered = centered};
      double w = 1, v = 0, a = 0, b = 0;
      std::vector<double> wanted;
      for (int t = 1; t <= 4; ++t) {
        const double g = uneven(w);
        v = 0.9 * v + 0.1 * g * g;
        a = 0.9 * a + 0.1 * g;
        b = momentum * b + 0.01 * g / std::sqrt((centered ? v - a * a : v) + 1e-2);
        w -= b;
        wanted.push_back(w);
      }
      check_close(descend(rmsprop, 1, uneven, 4), wanted, 1e-5);
    }
  }
}

TEST_CASE("optimizers: what they keep is named after them and the parameter") {
  const auto kept = [](const nn::Optimizer& optimizer) {
    Graph graph;
    Variables variables;
    nn::Trace trace{graph, variables, 0, true};
    nn::Scope root(trace);
    root.parameter("conv2d/kernel", {2, 3}, "zeros");
    std::vector<std::string> names;
    for (const auto& slot :
         optimizer.apply(trace, trace.weights, {graph.input({DType::f32, {2, 3}}, "g")})) {
      CHECK(to_floats(variables.get(slot.name))[0] == slot.fill);
      names.push_back(slot.name);
    }
    return names;
  };
  using Names = std::vector<std::string>;
  CHECK(kept(nn::Adam{.learning_rate = 0.25}) == Names{"adam/iteration", "adam/learning_rate",
                                                       "adam/momentum/conv2d/kernel",
                                                       "adam/velocity/conv2d/kernel"});
  CHECK(kept(nn::RMSprop{.momentum = 0.5, .centered = true}) ==
        Names{"rmsprop/iteration", "rmsprop/learning_rate", "rmsprop/velocity/conv2d/kernel",
              "rmsprop/momentum/conv2d/kernel", "rmsprop/average_gradient/conv2d/kernel"});
  CHECK(kept({nn::SGD{}, {.name = "mine", .use_ema = true, .gradient_accumulation_steps = 2}}) ==
        Names{"mine/iteration", "mine/learning_rate", "mine/average/conv2d/kernel",
              "mine/gradient_accumulator/conv2d/kernel"});
  CHECK(kept(nn::Adafactor{.learning_rate = nn::CosineDecay{0.1, 10}}) ==
        Names{"adafactor/iteration", "adafactor/r/conv2d/kernel", "adafactor/c/conv2d/kernel"});
  CHECK(kept("nadam") == Names{"nadam/iteration", "nadam/learning_rate",
                               "nadam/momentum/conv2d/kernel", "nadam/velocity/conv2d/kernel",
                               "nadam/u_product"});
}

TEST_CASE("optimizers: by name, by object, of the user's own") {
  CHECK(nn::Optimizer("RMSprop").name == "rmsprop");
  CHECK(nn::Optimizer("Adam").as<nn::Adam>()->beta_2 == 0.999);
  CHECK(nn::Optimizer("ScheduleFreeAdamW").as<nn::ScheduleFreeAdamW>() != nullptr);
  CHECK(nn::Optimizer("lamb", {.clipnorm = 2}).config.clipnorm == 2);
  CHECK(message_of<ArgumentError>([] { nn::Optimizer("lam"); }) ==
        "optimizer: unknown name \"lam\"; known are sgd, rmsprop, adam, adamw, adadelta, adagrad, "
        "adamax, adafactor, nadam, ftrl, lion, lamb, muon, schedule_free_adamw");

  check_close(descend(SignDescent{}, 2, twice, 3), {1.5, 1, 0.5});
  struct Careless {
    double learning_rate = 0.1;
    Value operator()(nn::OptimizerScope&, Value, Value g) const { return sum(g); }
  };
  CHECK(message_of<ShapeError>([] { descend(Careless{}, 1, twice, 1); }) ==
        "optimizer \"optimizer\": it must return f32[1], as its parameter \"w\", not f32[]");
}

TEST_CASE("optimizers: what all of them can do works for a user's own") {
  // Decay takes off a tenth of the learning rate, and then comes the step.
  check_close(descend({SignDescent{}, {.weight_decay = 0.2}}, 2, twice, 2), {1.3, 0.67});
  check_close(
      descend({SignDescent{.learning_rate = 0.1}, {.gradient_accumulation_steps = 3}}, 1, twice, 7),
      {1, 1, 0.9, 0.9, 0.9, 0.8, 0.8});
  check_close(
      descend(SignDescent{.learning_rate = [](Value step) { return step + 1.0f; }}, 10, twice, 3),
      {9, 7, 4});
}

TEST_CASE("optimizers: weights decay unless their names say otherwise") {
  const auto after = [](const std::string& name, const std::vector<std::string>& excluded) {
    return descend(
        {nn::SGD{.learning_rate = 0.1},
         {.weight_decay = 0.5, .exclude_from_weight_decay = excluded}},
        2, [](double) { return 0.0; }, 1, name)[0];
  };
  CHECK(after("bias_net/kernel", {}) == doctest::Approx(1.9));
  CHECK(after("bias_net/kernel", {"bias"}) == doctest::Approx(1.9));
  CHECK(after("bias_net/kernel", {"gamma", "kern"}) == 2);
  CHECK(after("bias_net/kernel", {"bias_net/"}) == 2);
  // The optimizer's own decay knows of them, too.
  const nn::Optimizer adamw{nn::AdamW{.learning_rate = 0.1, .weight_decay = 0.5},
                            {.exclude_from_weight_decay = {"w"}}};
  CHECK(descend(
            adamw, 2, [](double) { return 0.0; }, 1)[0] == 2);
}

TEST_CASE("optimizers: gradients are clipped by element or by norm") {
  const auto step = [](nn::OptimizerConfig config, double g) {
    return -descend(
        {nn::SGD{.learning_rate = 1}, std::move(config)}, 0, [g](double) { return g; }, 1)[0];
  };
  for (const double g : {0.0, 0.5, 3.0, -3.0}) {
    const double clipped = std::min(std::max(g, -2.0), 2.0);
    CHECK(step({.clipvalue = 2}, g) == doctest::Approx(clipped));
    CHECK(step({.clipnorm = 2}, g) == doctest::Approx(clipped));
    CHECK(step({.global_clipnorm = 2}, g) == doctest::Approx(clipped));
  }
}

TEST_CASE("optimizers: arguments out of range") {
  const auto wrong = [](auto make) { return message_of<ArgumentError>([&] { make(); }); };
  const auto config = [&](nn::OptimizerConfig given) {
    return wrong([&] { nn::Optimizer("sgd", given); });
  };
  const auto object = [&](auto optimizer) { return wrong([&] { nn::Optimizer{optimizer}; }); };
  CHECK(wrong([] { nn::SGD{.learning_rate = -1}; }) ==
        "optimizer: learning_rate must be a number of at least 0, not -1");
  CHECK(wrong([] { nn::SGD{.learning_rate = std::nan("")}; }) ==
        "optimizer: learning_rate must be a number of at least 0, not nan");
  CHECK(config({.clipnorm = 1, .clipvalue = 1}) ==
        "sgd: only one of clipnorm, global_clipnorm and clipvalue can be set");
  CHECK(config({.clipnorm = 0}) == "sgd: clipnorm must be more than 0, not 0");
  CHECK(config({.global_clipnorm = -1}) == "sgd: global_clipnorm must be more than 0, not -1");
  CHECK(config({.clipvalue = -1}) == "sgd: clipvalue must be more than 0, not -1");
  CHECK(config({.weight_decay = -1}) == "sgd: weight_decay must be at least 0, not -1");
  CHECK(config({.ema_momentum = 1.5}) == "sgd: ema_momentum must be between 0 and 1, not 1.5");
  CHECK(config({.ema_overwrite_frequency = 0}) ==
        "sgd: ema_overwrite_frequency must be at least 1, not 0");
  CHECK(config({.loss_scale_factor = 0}) == "sgd: loss_scale_factor must be more than 0, not 0");
  CHECK(config({.gradient_accumulation_steps = 1}) ==
        "sgd: gradient_accumulation_steps must be at least 2, not 1");
  CHECK(wrong([] { nn::Optimizer("adamw", {.weight_decay = 0.1}); }) ==
        "adamw: it has a weight_decay of its own; set that instead");

  CHECK(object(nn::SGD{.momentum = 1.5}) == "sgd: momentum must be between 0 and 1, not 1.5");
  CHECK(object(nn::RMSprop{.rho = 1}) == "rmsprop: rho must be at least 0 and less than 1, not 1");
  CHECK(object(nn::Adam{.beta_1 = 1}) == "adam: beta_1 must be at least 0 and less than 1, not 1");
  CHECK(object(nn::Adam{.beta_2 = -0.5}) ==
        "adam: beta_2 must be at least 0 and less than 1, not -0.5");
  CHECK(object(nn::AdamW{.weight_decay = -1}) == "adamw: weight_decay must be at least 0, not -1");
  CHECK(object(nn::Adadelta{.epsilon = -1}) == "adadelta: epsilon must be at least 0, not -1");
  CHECK(object(nn::Adagrad{.initial_accumulator_value = -1}) ==
        "adagrad: initial_accumulator_value must be at least 0, not -1");
  CHECK(object(nn::Adamax{.beta_1 = 2}).starts_with("adamax: beta_1 must be"));
  CHECK(object(nn::Adafactor{.beta_2_decay = 0.8}) ==
        "adafactor: beta_2_decay must be at most 0, not 0.8");
  CHECK(object(nn::Adafactor{.clip_threshold = 0}) ==
        "adafactor: clip_threshold must be more than 0, not 0");
  CHECK(object(nn::Nadam{.epsilon = -1}) == "nadam: epsilon must be at least 0, not -1");
  CHECK(object(nn::Ftrl{.learning_rate_power = 1}) ==
        "ftrl: learning_rate_power must be at most 0, not 1");
  CHECK(object(nn::Ftrl{.l1_regularization_strength = -1}) ==
        "ftrl: l1_regularization_strength must be at least 0, not -1");
  CHECK(object(nn::Lion{.beta_1 = 0}) == "lion: beta_1 must be more than 0, not 0");
  CHECK(object(nn::Lamb{.beta_2 = 1}).starts_with("lamb: beta_2 must be"));
  CHECK(object(nn::Muon{.ns_steps = 0}) == "muon: ns_steps must be at least 1, not 0");
  CHECK(object(nn::ScheduleFreeAdamW{.beta_1 = 0}) ==
        "schedule_free_adamw: beta_1 must be more than 0, not 0");
}

TEST_CASE("optimizers: Muon knows its matrices") {
  const nn::Muon muon{.exclude_layers = {"head"}};
  CHECK_FALSE(muon.uses_adam("dense/kernel", {3, 4}));
  CHECK(muon.uses_adam("dense/bias", {3}));
  CHECK(muon.uses_adam("conv2d/kernel", {3, 3, 1, 4}));
  CHECK(muon.uses_adam("tokens/Embeddings", {3, 4}));
  CHECK(muon.uses_adam("head/kernel", {3, 4}));
  CHECK_FALSE(nn::Muon{.exclude_embeddings = false}.uses_adam("tokens/embeddings", {3, 4}));
}

// ---- in a model

TEST_CASE("optimizers: replicas agree, whatever needs all gradients at once") {
  for (const nn::Optimizer& optimizer :
       {nn::Optimizer{nn::Adam{.learning_rate = 0.01}, {.global_clipnorm = 0.1}},
        nn::Optimizer{nn::SGD{.learning_rate = 0.1, .momentum = 0.5}, {.clipnorm = 0.1}},
        nn::Optimizer{nn::SGD{.learning_rate = 0.1},
                      {.weight_decay = 0.1,
                      .clipvalue = 0.01,
                      .use_ema = true,
                      .ema_overwrite_frequency = 2,
                      .gradient_accumulation_steps = 2}},
        nn::Optimizer{nn::Lamb{.learning_rate = 0.01}},
        nn::Optimizer{nn::Adafactor{.learning_rate = 0.05}},
        nn::Optimizer{nn::Muon{.learning_rate = 0.02}}}) {
    CAPTURE(optimizer.name);
    std::vector<Tensor> wanted;
    for (const std::size_t replicas : {1, 2, 3}) {
      CAPTURE(replicas);
      nn::Sequential model(nn::ModelConfig{.replicas = replicas});
      model.add(nn::Input({8, 8, 1}));
      model.add(nn::Conv2D(4, 3, {.activation = "relu"}));
      model.add(nn::Flatten{});
      model.add(nn::Dense(3));
      model.compile({.optimizer = optimizer, .loss = "mse"});
      model.fit(images(26), {.epochs = 3, .batch_size = 10, .verbose = 0});  // 26: uneven slices
      const std::vector<Tensor> got = model.get_weights();
      if (wanted.empty()) wanted = got;
      for (std::size_t i = 0; i < got.size(); ++i) {
        const auto a = to_floats(got[i]), b = to_floats(wanted[i]);
        for (std::size_t k = 0; k < a.size(); ++k) {
          CHECK(a[k] == doctest::Approx(b[k]).epsilon(1e-4));
        }
      }
    }
  }
}

TEST_CASE("optimizers: replicas sum gradients by ranges, also where these are clipped by norm") {
  const auto moved = [](nn::OptimizerConfig config) {
    nn::Sequential model(nn::ModelConfig{.replicas = 2});
    model.add(nn::Dense(40, {.input_shape = {30}}));
    model.compile({.optimizer = {nn::Adam{}, std::move(config)}, .loss = "mse"});
    const nn::Dataset data(Tensor(Type{DType::f32, {8, 30}}), Tensor(Type{DType::f32, {8, 40}}));
    Executable& step = model.training_step(data, 8);
    double bytes = 0;
    for (const auto& each : step.profile_steps(false)) {
      if (each.label == "all_reduce") bytes += each.bytes;
    }
    return std::pair(bytes, step.statistics().meetings);
  };
  const auto [bytes, meetings] = moved({});
  CHECK(bytes > 0);
  CHECK(moved({.clipvalue = 1}) == std::pair(bytes, meetings));
  CHECK(moved({.clipnorm = 1}) == std::pair(bytes, meetings + 1));
  CHECK(moved({.global_clipnorm = 1}) == std::pair(bytes, meetings + 1));
}

TEST_CASE("optimizers: what they keep outlives set_weights, and ends with compile") {
  nn::Sequential model = small_network();
  const nn::TrainOptions options{.optimizer = "adagrad", .loss = "mse"};
  model.compile(options);
  model.fit(images(24), {.batch_size = 8, .verbose = 0});
  const auto kept = [&] {
    return to_floats(model.variables().get("adagrad/accumulator/dense/bias"));
  };
  const std::vector<float> before = kept();
  const std::vector<Tensor> weights = model.get_weights();
  model.set_weights(weights);
  CHECK(kept() == before);
  CHECK(model.iterations() == 3);
  model.compile(options);
  CHECK(model.iterations() == 0);
  CHECK(kept() == std::vector<float>(3, 0.1f));
}

TEST_CASE("optimizers: an update is one loop a parameter") {
  // What a step takes beside the gradients of two parameters.
  const auto steps = [](const nn::Optimizer& optimizer) {
    Graph graph;
    Variables variables;
    nn::Trace trace{graph, variables, 0, true};
    nn::Scope root(trace);
    std::vector<Value> gradients;
    for (const std::string name : {"a", "b"}) {
      const Value w = root.parameter(name, {40, 30}, "glorot_uniform");
      gradients.push_back(graph.input(w.type(), name + "/gradient"));
    }
    optimizer.apply(trace, trace.weights, gradients);
    const Executable step = compile({}, variables, {.updates = trace.updates});
    return static_cast<int>(step.statistics().steps);
  };
  const nn::Adam adam;
  const int plain = steps(adam);
  CHECK(plain == 5);  // and three for the count, the count as f32, and the rate
  CHECK(steps("adamax") == plain);
  for (const std::string name : {"sgd", "rmsprop", "adadelta", "adagrad", "ftrl", "lion"}) {
    CAPTURE(name);
    CHECK(steps(name) == 3);  // these do not ask for the count
  }
  CHECK(steps("adamw") == plain + 1);  // the rate times the decay
  CHECK(steps("nadam") <= plain + 2);
  CHECK(steps({adam, {.clipvalue = 1}}) == plain);
  CHECK(steps({adam, {.weight_decay = 0.5}}) == plain + 1);
  // Whether a number divides the count is found out in integers, one op a step.
  CHECK(steps({adam, {.use_ema = true, .ema_overwrite_frequency = 3}}) <= plain + 5);
  CHECK(steps({adam, {.gradient_accumulation_steps = 3}}) <= plain + 7);
  CHECK(steps(nn::Adam{.learning_rate = nn::CosineDecay{0.1, 10}}) <= plain + 1);
}

TEST_CASE("optimizers: averages take the weights' place when fit ends") {
  nn::Sequential model = small_network();
  model.compile(
      {.optimizer = {nn::SGD{.learning_rate = 0.05}, {.use_ema = true, .ema_momentum = 0.5}},
       .loss = "mse"});
  const nn::Dataset data = images(16);
  std::vector<float> average, before_end;
  const auto bias = [&] { return to_floats(model.get_weights()[3]); };
  const nn::Callback watch{.on_train_end = [&](nn::Model&, nn::Logs&) { CHECK(bias() == average); },
                           .on_train_batch_end =
                               [&](nn::Model&, std::int64_t, nn::Logs&) {
                                 before_end = bias();
                                 if (average.empty())
                                   average = before_end;  // the first is the weights
                                 for (std::size_t i = 0; i < average.size(); ++i) {
                                   average[i] = 0.5f * average[i] + 0.5f * before_end[i];
                                 }
                               }};
  model.fit(data, {.epochs = 2, .batch_size = 8, .verbose = 0, .callbacks = {watch}});
  CHECK(bias() == average);
  CHECK(bias() != before_end);
  // Weights that are frozen later keep what they have.
  model.get_layer("dense").set_trainable(false);
  model.compile({.optimizer = {nn::SGD{.learning_rate = 0.05}, {.use_ema = true}}, .loss = "mse"});
  model.fit(data, {.batch_size = 8, .verbose = 0});
  CHECK(bias() == average);
  // Without a step there is no average.
  const auto kernel = to_floats(model.get_weights()[0]);
  model.compile({.optimizer = {nn::SGD{}, {.use_ema = true}}, .loss = "mse"});
  model.fit(data, {.epochs = 0, .verbose = 0});
  model.training_step(data, 8);
  model.fit(data, {.epochs = 0, .verbose = 0});
  CHECK(to_floats(model.get_weights()[0]) == kernel);
}

TEST_CASE("optimizers: steps that sum up gradients leave everything else as it is") {
  nn::Sequential model = small_network();
  model.compile({.optimizer = {nn::Adam{}, {.gradient_accumulation_steps = 3}}, .loss = "mse"});
  const auto velocity = [&] {
    return to_floats(model.variables().get("adam/velocity/dense/kernel"));
  };
  std::vector<std::vector<float>> kernels;
  const auto note = [&](nn::Model&, std::int64_t batch, nn::Logs&) {
    kernels.push_back(to_floats(model.get_weights()[2]));
    CHECK(model.iterations() == (batch + 1) / 3);
    const bool is_zero = std::ranges::all_of(velocity(), [](float v) { return v == 0; });
    CHECK(is_zero == (batch < 2));
    const auto sums = to_floats(model.variables().get("adam/gradient_accumulator/dense/kernel"));
    CHECK(std::ranges::all_of(sums, [](float g) { return g == 0; }) == (batch % 3 == 2));
  };
  model.fit(images(40),
            {.batch_size = 8, .verbose = 0, .callbacks = {{.on_train_batch_end = note}}});
  REQUIRE(kernels.size() == 5);
  CHECK(kernels[0] == kernels[1]);
  CHECK(kernels[1] != kernels[2]);
  CHECK(kernels[2] == kernels[4]);
}

TEST_CASE("optimizers: a schedule's rate can be read, but not set") {
  nn::Sequential model = small_network();
  model.compile(
      {.optimizer = nn::Adam{.learning_rate = nn::InverseTimeDecay{0.5, 1, 1}}, .loss = "mse"});
  CHECK(model.learning_rate() == doctest::Approx(0.5));
  model.fit(images(24), {.batch_size = 8, .verbose = 0});
  CHECK(model.learning_rate() == doctest::Approx(0.125));
  CHECK(message_of<Error>([&] { model.set_learning_rate(0.1); }) ==
        "set_learning_rate: the learning rate of optimizer \"adam\" follows the schedule "
        "\"InverseTimeDecay\"; compile() it with a number to set it");
  const auto parameters = [&] {
    const std::string summary = model.summary();
    return summary.substr(summary.find("Optimizer params"), 24);
  };
  const std::string with_schedule = parameters();
  const nn::Model copy = model;
  CHECK(copy.learning_rate() == doctest::Approx(0.125));
  model.compile({.optimizer = nn::Adam{.learning_rate = 0.25}, .loss = "mse"});
  CHECK(model.learning_rate() == 0.25);
  model.set_learning_rate(0.5);
  CHECK(model.learning_rate() == 0.5);
  CHECK(message_of<ArgumentError>([&] { model.set_learning_rate(-1); }) ==
        "optimizer: learning_rate must be a number of at least 0, not -1");
  model.training_step(images(8), 8);
  CHECK(parameters() != with_schedule);
}

}  // namespace weft::test
