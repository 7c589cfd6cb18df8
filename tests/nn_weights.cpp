// What is done to weights: initializers, regularizers, constraints, freezing.
#include <cmath>
#include <numeric>

#include "autodiff/gradients.hpp"
#include "ops/ops.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

template <class F>
std::string argument_error(F f) {
  return message_of<ArgumentError>(f);
}

nn::Dataset samples(std::int64_t count = 48) {
  nn::Random random(1);
  Tensor x(Type{DType::f32, {count, 6}}), y(Type{DType::f32, {count, 2}});
  for (float& number : x.data<float>()) number = static_cast<float>(random.normal());
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    y.data<float>()[2 * at + (x.data<float>()[6 * at] > 0 ? 1 : 0)] = 1;
  }
  return {x, y};
}

const nn::TrainOptions options{.optimizer = nn::Adam{.learning_rate = 0.05},
                               .loss = "categorical_crossentropy"};

std::vector<std::vector<float>> numbers_of(nn::Model& model) {
  std::vector<std::vector<float>> all;
  for (const Tensor& weight : model.get_weights()) all.push_back(to_floats(weight));
  return all;
}

std::vector<std::string> names_of(nn::Model& model) {
  std::vector<std::string> names;
  for (const auto& weight : model.weights()) names.push_back(weight.name);
  return names;
}

/// Which weights, by place, fit changes.
std::vector<std::size_t> moved_by_fit(nn::Model& model, std::int64_t batch_size = 16) {
  const auto before = numbers_of(model);
  model.fit(samples(), {.batch_size = batch_size, .verbose = 0});
  const auto after = numbers_of(model);
  std::vector<std::size_t> moved;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] != after[i]) moved.push_back(i);
  }
  return moved;
}

using Places = std::vector<std::size_t>;

}  // namespace

TEST_CASE("initializers: by name, with a seed, over axes of one's own") {
  nn::Random random(1);
  CHECK(nn::Initializer("uniform").name == "random_uniform");
  CHECK(nn::Initializer("normal").name == "random_normal");
  CHECK(nn::Initializer("Zeros").as<nn::Zeros>() != nullptr);
  CHECK(nn::Initializer("he_normal").as<nn::HeNormal>()->scale == 2);
  CHECK(nn::Initializer("identity").as<nn::IdentityInitializer>() != nullptr);
  CHECK(nn::Initializer("variance_scaling").as<nn::VarianceScaling>()->mode ==
        nn::VarianceScaling::fan_in);
  CHECK(to_floats(nn::IdentityInitializer{2}({2, 3}, random)) ==
        std::vector<float>{2, 0, 0, 0, 2, 0});
  CHECK(message_of<ShapeError>([&] {
          nn::IdentityInitializer{}({2, 3, 4}, random);
        }) == "identity: a matrix is needed, not f32[2,3,4]");
  CHECK(argument_error([&] {
          nn::VarianceScaling{0}({2, 3}, random);
        }) == "VarianceScaling: scale must be above 0, not 0");

  const auto deviation = [](const nn::Initializer& initializer, const Shape& shape) {
    nn::Random numbers(1);
    const Tensor made = initializer(shape, numbers);
    double squares = 0;
    for (const float number : made.data<float>()) squares += double{number} * number;
    return std::sqrt(squares / static_cast<double>(shape.elements()));
  };
  using V = nn::VarianceScaling;
  const Shape shape{100, 20, 30};
  CHECK(deviation(V{1, V::fan_in, V::untruncated_normal}, shape) ==
        doctest::Approx(std::sqrt(1 / 2000.0)).epsilon(0.02));
  CHECK(deviation(V{3, V::fan_out, V::truncated_normal}, shape) ==
        doctest::Approx(std::sqrt(3 / 3000.0)).epsilon(0.02));
  CHECK(deviation(V{1, V::fan_avg, V::uniform}, shape) ==
        doctest::Approx(std::sqrt(1 / 2500.0)).epsilon(0.02));
  CHECK(deviation(V{.scale = 1, .input_axes = {0}, .output_axes = {1, 2}}, shape) ==
        doctest::Approx(0.1).epsilon(0.02));

  for (const nn::Initializer& seeded :
       std::vector<nn::Initializer>{nn::GlorotUniform(3), nn::HeNormal(3),
                                    nn::RandomNormal{.seed = 3}, nn::RandomUniform{.seed = 3},
                                    nn::TruncatedNormal{.seed = 3}, nn::Orthogonal{.seed = 3}}) {
    CAPTURE(seeded.name);
    nn::Random one(1), other(2);
    CHECK(to_floats(seeded({3, 4}, one)) == to_floats(seeded({3, 4}, other)));
  }
  nn::Random one(1), other(2);
  CHECK(to_floats(nn::GlorotUniform()({3, 4}, one)) !=
        to_floats(nn::GlorotUniform()({3, 4}, other)));
}

TEST_CASE("regularizers: names, members and mistakes") {
  CHECK(nn::Regularizer("L1L2").as<nn::L1L2>()->l1 == 0.01);
  CHECK(nn::Regularizer(nn::OrthogonalRegularizer{.mode = "columns"})
            .as<nn::OrthogonalRegularizer>()
            ->mode == "columns");
  CHECK_FALSE(nn::Regularizer());
  CHECK(argument_error([] { nn::Regularizer("l3"); }) ==
        "regularizer: unknown name \"l3\"; known are l1, l2, l1_l2, orthogonal_regularizer");
  Graph graph;
  const Value w = graph.input({DType::f32, {3, 4}}, "w"), v = graph.input({DType::f32, {3}}, "v"),
              row = graph.input({DType::f32, {1, 4}}, "row");
  CHECK(argument_error([&] { nn::L1{-1}(w); }) == "L1: l1 must be finite and at least 0, not -1");
  CHECK(argument_error([&] { nn::L2{INFINITY}(w); }) ==
        "L2: l2 must be finite and at least 0, not inf");
  CHECK(argument_error([&] { nn::L1L2{.l2 = -2}(w); }) ==
        "L1L2: l2 must be finite and at least 0, not -2");
  CHECK(argument_error([&] { nn::OrthogonalRegularizer{-1}(w); }) ==
        "OrthogonalRegularizer: factor must be finite and at least 0, not -1");
  CHECK(argument_error([&] { nn::OrthogonalRegularizer{.mode = "both"}(w); }) ==
        "OrthogonalRegularizer: mode must be \"rows\" or \"columns\", not \"both\"");
  CHECK(message_of<ShapeError>([&] { nn::OrthogonalRegularizer{}(v); }) ==
        "OrthogonalRegularizer: the weight must be a matrix, not f32[3]");
  CHECK(message_of<ShapeError>([&] { nn::OrthogonalRegularizer{}(row); }) ==
        "OrthogonalRegularizer: f32[1,4] has but one of its rows");
  CHECK(message_of<TypeError>([&] { nn::Regularizer([](Value x) { return x; })(w); }) ==
        "regularizer \"regularizer\": it must return f32[], not f32[3,4]");
  CHECK(evaluate({nn::L1L2{}(w)}, {{"w", Array({3, 4})}})[0].data[0] == 0);
}

TEST_CASE("constraints: names, members and mistakes") {
  CHECK(nn::Constraint("MinMaxNorm").as<nn::MinMaxNorm>()->rate == 1);
  CHECK(nn::Constraint("max_norm").as<nn::MaxNorm>()->axis == nn::Axes(0));
  CHECK_FALSE(nn::Constraint());
  CHECK(argument_error([] { nn::Constraint("maxi"); }) ==
        "constraint: unknown name \"maxi\"; known are max_norm, min_max_norm, non_neg, unit_norm");
  Graph graph;
  const Value w = graph.input({DType::f32, {3, 4}}, "w");
  CHECK(message_of<ShapeError>([&] { nn::Constraint([](Value x) { return sum(x); })(w); }) ==
        "constraint \"constraint\": it must return f32[3,4], as its argument, not f32[]");
  CHECK_FALSE(message_of<ShapeError>([&] { nn::MaxNorm{1, 2}(w); }).empty());
}

TEST_CASE("regularizers: the loss shown has what weights add, in fit and in evaluate") {
  const auto build = [](const nn::Regularizer& kernel, const nn::Regularizer& bias,
                        std::size_t replicas) {
    nn::Sequential model({nn::Input({6}),
                          nn::Dense(4, {.activation = "relu",
                                        .bias_initializer = "ones",
                                        .kernel_regularizer = kernel,
                                        .bias_regularizer = bias}),
                          nn::Dense(2, {.activation = "softmax"})},
                         {.replicas = replicas});
    model.compile({.optimizer = nn::SGD{.learning_rate = 0}, .loss = "categorical_crossentropy"});
    return model;
  };
  for (const std::size_t replicas : {1, 2, 3}) {
    CAPTURE(replicas);
    nn::Sequential plain = build({}, {}, replicas),
                   penalized = build(nn::L2{0.1}, nn::L1{0.01}, replicas);
    double squares = 0;
    for (const float number : to_floats(penalized.get_weights()[0])) {
      squares += double{number} * number;
    }
    const double added = 0.1 * squares + 0.01 * 4;
    CHECK(added > 0.1);
    // Batches of 16, and a last one of another size.
    const nn::Dataset data = samples(40);
    const auto fit = [&](nn::Sequential& model) {
      return model.fit(data, {.batch_size = 16, .shuffle = false, .verbose = 0})["loss"][0];
    };
    const auto evaluate = [&](nn::Sequential& model) {
      return model.evaluate(data, {.batch_size = 16, .verbose = 0})["loss"];
    };
    CHECK(fit(penalized) == doctest::Approx(fit(plain) + added).epsilon(1e-6));
    CHECK(evaluate(penalized) == doctest::Approx(evaluate(plain) + added).epsilon(1e-6));
    // Frozen weights add nothing, once that is compiled.
    penalized.get_layer("dense").set_trainable(false);
    CHECK(evaluate(penalized) == doctest::Approx(evaluate(plain) + added).epsilon(1e-6));
    penalized.compile(penalized.training());
    CHECK(evaluate(penalized) == doctest::Approx(evaluate(plain)).epsilon(1e-6));
  }
}

TEST_CASE("regularizers: a layer that is called twice is penalized once") {
  const nn::Layer shared = nn::Dense(6, {.kernel_regularizer = nn::L2{0.1}});
  auto x = nn::Input({6});
  const nn::Symbol y = nn::Dense(2, {.activation = "softmax"})(shared(shared(x)));
  nn::Model model(x, y);
  model.compile(options);
  double squares = 0;
  for (const float number : to_floats(model.get_weights()[0])) squares += double{number} * number;
  const double with = model.evaluate(samples(), {.verbose = 0})["loss"];
  shared.set_trainable(false);
  model.compile(options);
  const double without = model.evaluate(samples(), {.verbose = 0})["loss"];
  CHECK(with - without == doctest::Approx(0.1 * squares).epsilon(1e-5));
}

TEST_CASE("regularizers: outputs cost their mean over the batch, frozen or not") {
  nn::Sequential plain{nn::Input({6})}, penalized{nn::Input({6})};
  plain.add(nn::Dense(2, {.activation = "softmax"}));
  penalized.add(nn::ActivityRegularization({.l1 = 0.5}))
      .add(nn::Dense(2, {.activation = "softmax", .activity_regularizer = nn::L1{0.25}}));
  const nn::Dataset data = samples(40);
  double sizes = 0;
  std::vector<std::int64_t> rows(40);
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  Tensor x(Type{DType::f32, {40, 6}});
  data.x().take(rows, x);
  for (const float number : x.data<float>()) sizes += std::abs(number) / 40;
  for (const bool trainable : {true, false}) {
    penalized.get_layer("dense").set_trainable(trainable);
    plain.compile(options);
    penalized.compile(options);
    // A softmax adds up to 1.
    CHECK(penalized.evaluate(data, {.batch_size = 16, .verbose = 0})["loss"] ==
          doctest::Approx(plain.evaluate(data, {.batch_size = 16, .verbose = 0})["loss"] +
                          0.5 * sizes + 0.25)
              .epsilon(1e-5));
  }
}

TEST_CASE("constraints: they hold after every step, however the batch is cut") {
  for (const std::size_t replicas : {1, 2, 3}) {
    CAPTURE(replicas);
    nn::Sequential model(
        {nn::Input({6}),
         nn::Dense(8, {.activation = "relu",
                       .bias_initializer = "ones",
                       .kernel_constraint = nn::MaxNorm{0.5},
                       .bias_constraint = "non_neg"}),
         nn::Dense(2, {.activation = "softmax", .kernel_constraint = "unit_norm"})},
        {.replicas = replicas});
    model.compile(
        {.optimizer = nn::Adam{.learning_rate = 0.3}, .loss = "categorical_crossentropy"});
    const auto norms = [](const Tensor& kernel) {
      const auto columns = static_cast<std::size_t>(kernel.shape()[1]);
      std::vector<double> result(columns);
      for (std::size_t i = 0; i < kernel.data<float>().size(); ++i) {
        result[i % columns] += double{kernel.data<float>()[i]} * kernel.data<float>()[i];
      }
      for (double& norm : result) norm = std::sqrt(norm);
      return result;
    };
    int steps = 0;
    bool reached = false;
    const auto check = [&](nn::Model& trained, std::int64_t, nn::Logs&) {
      ++steps;
      const std::vector<Tensor> weights = trained.get_weights();
      for (const double norm : norms(weights[0])) {
        CHECK(norm < 0.5 + 1e-6);
        reached = reached || norm > 0.4999;
      }
      for (const float number : weights[1].data<float>()) CHECK(number >= 0);
      for (const double norm : norms(weights[2])) CHECK(norm == doctest::Approx(1).epsilon(1e-6));
    };
    model.fit(samples(), {.epochs = 3,
                          .batch_size = 16,
                          .verbose = 0,
                          .callbacks = {{.on_train_batch_end = check}}});
    CHECK(steps == 9);
    CHECK(reached);
  }
}

TEST_CASE("freezing: weights of a frozen layer stay to the bit, in the same order") {
  for (const std::size_t replicas : {1, 2}) {
    CAPTURE(replicas);
    nn::Sequential model(
        {nn::Input({6}), nn::Dense(8, {.name = "a"}), nn::BatchNormalization({.name = "b"}),
         nn::Dense(2, {.activation = "softmax", .name = "c"})},
        {.replicas = replicas});
    model.compile(options);
    const auto names = names_of(model);
    CHECK(names == std::vector<std::string>{"a/kernel", "a/bias", "b/gamma", "b/beta",
                                            "b/moving_mean", "b/moving_variance", "c/kernel",
                                            "c/bias"});
    CHECK(moved_by_fit(model) == Places{0, 1, 2, 3, 4, 5, 6, 7});
    const auto trained = [&] {
      std::vector<bool> which;
      for (const auto& weight : model.weights()) which.push_back(weight.trainable);
      return which;
    };
    CHECK(trained() == std::vector<bool>{true, true, true, true, false, false, true, true});

    // What was compiled before trains on as it was.
    model.get_layer("a").set_trainable(false);
    model.get_layer("b").set_trainable(false);
    CHECK_FALSE(model.get_layer("a").trainable());
    CHECK(trained() == std::vector<bool>{false, false, false, false, false, false, true, true});
    CHECK(moved_by_fit(model) == Places{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(names_of(model) == names);

    model.compile(options);
    CHECK(moved_by_fit(model) == Places{6, 7});
    model.get_layer("b").set_trainable(true);
    CHECK(moved_by_fit(model) == Places{6, 7});
    model.compile(options);
    CHECK(moved_by_fit(model) == Places{2, 3, 4, 5, 6, 7});
    CHECK(names_of(model) == names);
  }
}

TEST_CASE("freezing: a frozen batch normalization uses what it has kept, also inside fit") {
  for (const std::size_t replicas : {1, 2}) {
    CAPTURE(replicas);
    nn::Sequential model({nn::Input({6}), nn::BatchNormalization({.trainable = false}),
                          nn::Dense(2, {.activation = "softmax"})},
                         {.replicas = replicas});
    model.compile({.optimizer = nn::SGD{.learning_rate = 0}, .loss = "categorical_crossentropy"});
    std::vector<Tensor> weights = model.get_weights();
    weights[2] = Tensor::of<float>({6}, {1, 2, 3, -1, -2, -3});
    weights[3] = Tensor::of<float>({6}, {4, 5, 6, 1, 2, 3});
    model.set_weights(weights);
    const auto before = numbers_of(model);
    const double trained = model.fit(samples(), {.batch_size = 16, .verbose = 0})["loss"][0];
    const double evaluated = model.evaluate(samples(), {.batch_size = 16, .verbose = 0})["loss"];
    CHECK(trained == doctest::Approx(evaluated).epsilon(1e-6));
    CHECK(numbers_of(model) == before);
    // Thawed, it uses the batch's.
    model.get_layer("batch_normalization").set_trainable(true);
    model.compile(model.training());
    const double of_batch = model.fit(samples(), {.batch_size = 16, .verbose = 0})["loss"][0];
    CHECK(std::abs(of_batch - evaluated) > 1e-3);
    CHECK(numbers_of(model) != before);
  }
}

TEST_CASE("freezing: summary() moves the counts") {
  nn::Sequential model{nn::Input({6}), nn::Dense(8), nn::BatchNormalization(), nn::Dense(2)};
  const auto ends_with = [&](const std::string& counts) {
    return model.summary().find(counts) != std::string::npos;
  };
  CHECK(
      ends_with("Total params: 106 (424.00 Byte)\n"
                "Trainable params: 90 (360.00 Byte)\n"
                "Non-trainable params: 16 (64.00 Byte)\n"));
  model.get_layer("dense").set_trainable(false);
  CHECK(
      ends_with("Total params: 106 (424.00 Byte)\n"
                "Trainable params: 34 (136.00 Byte)\n"
                "Non-trainable params: 72 (288.00 Byte)\n"));
  model.set_trainable(false);
  CHECK(ends_with("Trainable params: 0 (0.00 Byte)\n"));
  model.set_trainable(true);
  CHECK(ends_with("Trainable params: 90 (360.00 Byte)\n"));
  CHECK(model.count_params() == 106);
}

TEST_CASE("freezing: models in models, and layers in layers") {
  nn::Sequential base(
      {nn::Input({6}), nn::Dense(8, {.name = "first"}), nn::Dense(8, {.name = "second"})},
      {.name = "base"});
  const auto outer = [&] {
    return nn::Sequential{nn::Input({6}), base, nn::Dense(2, {.activation = "softmax"})};
  };
  {
    nn::Sequential model = outer();
    base.set_trainable(false);
    CHECK_FALSE(base.trainable());
    CHECK_FALSE(base.get_layer("second").trainable());
    model.compile(options);
    CHECK(moved_by_fit(model) == Places{4, 5});
    // As in Keras, no layer of a frozen model is trained.
    base.get_layer("second").set_trainable(true);
    model.compile(options);
    CHECK(moved_by_fit(model) == Places{4, 5});
    // Thawed as a whole, and then frozen in part: the recipe of fine tuning.
    base.set_trainable(true);
    base.get_layer("first").set_trainable(false);
    model.compile(options);
    CHECK(moved_by_fit(model) == Places{2, 3, 4, 5});
    // A copy has it too.
    nn::Sequential copy = model;
    CHECK(copy.summary().find("Trainable params: 90 ") != std::string::npos);
    CHECK(moved_by_fit(copy) == Places{2, 3, 4, 5});
    copy.compile(options);
    CHECK(moved_by_fit(copy) == Places{2, 3, 4, 5});
    // Layers of its own: what is done to them is no matter of the first.
    copy.get_layer("base").set_trainable(false);
    copy.compile(options);
    CHECK(moved_by_fit(copy) == Places{4, 5});
    CHECK(base.get_layer("second").trainable());
    model.compile(options);
    CHECK(moved_by_fit(model) == Places{2, 3, 4, 5});
  }
  struct Block {
    nn::Layer first = nn::Dense(8), second = nn::Dense(8);
    static std::string_view name() { return "Block"; }
    Value operator()(nn::Scope& scope, Value x) const { return second(scope, first(scope, x)); }
  };
  nn::Sequential model{nn::Input({6}), Block{}, nn::Dense(2, {.activation = "softmax"})};
  model.compile(options);
  CHECK(moved_by_fit(model) == Places{0, 1, 2, 3, 4, 5});
  model.get_layer("block").set_trainable(false);
  model.compile(options);
  CHECK(moved_by_fit(model) == Places{4, 5});
}

TEST_CASE("freezing: a model that is frozen as a whole") {
  nn::Sequential model({nn::Input({6}), nn::Dense(8, {.name = "a"}),
                        nn::Dense(2, {.activation = "softmax", .name = "c"})},
                       {.name = "frozen"});
  const auto error = [](nn::Model& frozen) {
    return message_of<Error>([&] { frozen.fit(samples(), {.verbose = 0}); });
  };
  const std::string wanted =
      "fit: model \"frozen\" has no trainable weights: set_trainable(true) and compile() again";
  model.set_trainable(false);
  model.compile(options);
  CHECK(error(model) == wanted);
  CHECK(model.evaluate(samples(), {.verbose = 0})["loss"] > 0);  // which needs no training
  // Also where a layer in it was thawed by itself, where a layer is added, and in a copy.
  model.get_layer("a").set_trainable(true);
  model.compile(options);
  CHECK(error(model) == wanted);
  nn::Sequential copy = model;
  CHECK_FALSE(copy.trainable());
  CHECK(copy.get_layer("a").trainable());
  CHECK(error(copy) == wanted);
  copy.compile(options);
  CHECK(error(copy) == wanted);
  copy.add(nn::Dense(2, {.name = "d"}));
  CHECK_FALSE(copy.trainable());
  copy.set_trainable(true);
  copy.compile(options);
  CHECK(moved_by_fit(copy) == Places{0, 1, 2, 3, 4, 5});
  CHECK(error(model) == wanted);
}

}  // namespace weft::test
