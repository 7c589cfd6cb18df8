// Sample weights, class weights, and batches by themselves.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/nn_testing.hpp"
#include "tests/reference_testing.hpp"

namespace weft::test {
namespace {

Tensor input(const std::string& name) { return read("weights/" + name); }

// What two epochs of four steps make of the last bits of a loss around 1.
constexpr double log_tolerance = 1e-5;

nn::Sequential classifier(std::size_t replicas) {
  nn::Sequential model({nn::Input({4}), nn::Dense(3, {.activation = "softmax"})},
                       {.replicas = replicas});
  model.compile({.optimizer = nn::SGD{.learning_rate = 0.1},
                 .loss = "sparse_categorical_crossentropy",
                 .metrics = {"accuracy"},
                 .weighted_metrics = {"accuracy"}});
  std::vector<float> initial = to_floats(input("initial"));
  initial.resize(15);
  set_flat(model, Tensor::of<float>({15}, initial));
  return model;
}

/// Rows are epochs, or batches.
void check_logs(const std::vector<std::vector<double>>& columns, const Tensor& wanted) {
  const std::vector<float> numbers = to_floats(wanted);
  REQUIRE(columns.size() * columns[0].size() == numbers.size());
  for (std::size_t c = 0; c < columns.size(); ++c) {
    for (std::size_t r = 0; r < columns[c].size(); ++r) {
      CAPTURE(c);
      CAPTURE(r);
      const double want = static_cast<double>(numbers[r * columns.size() + c]);
      CHECK(std::abs(columns[c][r] - want) < log_tolerance);
    }
  }
}

std::vector<std::vector<double>> columns_of(const nn::History& history,
                                            const std::vector<std::string>& names) {
  std::vector<std::vector<double>> columns;
  for (const std::string& name : names) columns.push_back(history[name]);
  return columns;
}

const std::vector<std::string> log_names{"loss",     "accuracy",     "weighted_accuracy",
                                         "val_loss", "val_accuracy", "val_weighted_accuracy"};

/// Two inputs of 1 and 3 with targets of 0, through a dense layer that is the identity.
nn::Sequential identity(const nn::TrainOptions& options) {
  nn::Sequential model{nn::Input({1}), nn::Dense(1, {.kernel_initializer = "ones"})};
  model.compile(options);
  return model;
}

}  // namespace

TEST_CASE("weights: a fit with sample weights goes as Keras' does, validation too") {
  const nn::Dataset data(input("x"), input("classes"), input("first"));
  for (const std::size_t replicas : {1, 2, 3}) {
    CAPTURE(replicas);
    nn::Sequential model = classifier(replicas);
    const nn::History history = model.fit(data.rows(0, 9), {.epochs = 2,
                                                            .batch_size = 4,
                                                            .shuffle = false,
                                                            .validation_data = data.rows(9, 13),
                                                            .verbose = 0});
    check_logs(columns_of(history, log_names), input("sample_logs"));
    CHECK(difference(flat(model.get_weights()), input("sample_weights"), 1) < log_tolerance);
    // A part of the data takes its weights along.
    nn::Sequential split = classifier(replicas);
    const nn::History same = split.fit(
        data,
        {.epochs = 2, .batch_size = 4, .shuffle = false, .validation_split = 0.3, .verbose = 0});
    CHECK(same["val_loss"] == history["val_loss"]);
  }
}

TEST_CASE(
    "weights: a fit with class weights goes as Keras' does, and they are not for validation") {
  const Tensor x = input("x"), classes = input("classes");
  for (const bool one_hot : {false, true}) {
    CAPTURE(one_hot);
    nn::Sequential model = classifier(2);
    if (one_hot) {
      model.compile({.optimizer = nn::SGD{.learning_rate = 0.1},
                     .loss = "categorical_crossentropy",
                     .metrics = {"accuracy"},
                     .weighted_metrics = {"accuracy"}});
    }
    const nn::Dataset data(x, one_hot ? nn::to_categorical(classes, 3) : classes);
    const nn::History history = model.fit(data, {.epochs = 2,
                                                 .batch_size = 4,
                                                 .shuffle = false,
                                                 .validation_data = data,
                                                 .class_weight = {{0, 0.5}, {2, 3.0}},
                                                 .verbose = 0});
    check_logs(columns_of(history, log_names), input("class_logs"));
    CHECK(difference(flat(model.get_weights()), input("class_weights"), 1) < log_tolerance);
  }
}

TEST_CASE("weights: of each output or of all, as Keras has it") {
  const Tensor x = input("x"), wanted = input("two_logs");
  const std::vector<Tensor> y{input("classes"), input("numbers")};
  const std::vector<std::vector<Tensor>> weights{{input("first"), input("second")},
                                                 {input("first")}};
  const auto in = nn::Input({4});
  const auto kind = nn::Dense(3, {.activation = "softmax", .name = "kind"})(in);
  const auto size = nn::Dense(2, {.name = "size"})(in);
  nn::Model model({in}, {kind, size});
  model.compile({.optimizer = nn::SGD{.learning_rate = 0.1},
                 .outputs = {{"kind",
                              {.loss = "sparse_categorical_crossentropy",
                               .metrics = {"accuracy"},
                               .weighted_metrics = {"accuracy"}}},
                             {"size",
                              {.loss = "mse",
                               .loss_weight = 0.5,
                               .metrics = {"mae"},
                               .weighted_metrics = {"mae"}}}}});
  const std::vector<std::string> names{"loss",
                                       "kind_loss",
                                       "size_loss",
                                       "kind_accuracy",
                                       "size_mae",
                                       "kind_weighted_accuracy",
                                       "size_weighted_mae"};
  for (std::size_t i = 0; i < 2; ++i) {
    CAPTURE(i);
    set_flat(model, input("initial"));
    const nn::History history =
        model.fit(nn::Dataset({x}, y, weights[i]),
                  {.epochs = 2, .batch_size = 4, .shuffle = false, .verbose = 0});
    CHECK(history.names() == names);
    const auto both = wanted.data<float>();
    check_logs(columns_of(history, names), Tensor::of<float>({2, 7}, both.subspan(14 * i, 14)));
  }
  // An output without any: as if all were 1.
  set_flat(model, input("initial"));
  const nn::Dataset some({x}, y, {input("first"), {}});
  const nn::Logs logs = model.evaluate(some, {.batch_size = 5, .verbose = 0});
  CHECK(logs["size_weighted_mae"] == doctest::Approx(logs["size_mae"]));
  CHECK(logs["kind_weighted_accuracy"] != logs["kind_accuracy"]);
}

TEST_CASE("weights: of positions within samples, and class weights times them") {
  // Errors 1 2 | 3 4, squared 1 4 | 9 16.
  nn::Sequential model{nn::Input({2, 1}), nn::Dense(1, {.kernel_initializer = "ones"})};
  model.compile({.optimizer = "sgd", .loss = "mse", .weighted_metrics = {"mae"}});
  const Tensor x = Tensor::of<float>({2, 2, 1}, {1, 2, 3, 4}), y(Type{DType::f32, {2, 2, 1}});
  const auto loss = [&](const Tensor& weights) {
    return model.evaluate(nn::Dataset(x, y, weights), {.verbose = 0});
  };
  CHECK(loss(Tensor::of<float>({2}, {1, 2}))["loss"] == doctest::Approx(55.0 / 4));
  CHECK(loss(Tensor::of<float>({2, 1}, {1, 2}))["loss"] == doctest::Approx(55.0 / 4));
  const nn::Logs logs = loss(Tensor::of<float>({2, 2}, {1, 0, 2, 3}));
  CHECK(logs["loss"] == doctest::Approx(67.0 / 4));
  CHECK(logs["mae"] == doctest::Approx(19.0 / 6));
  CHECK(loss(Tensor::of<std::uint8_t>({2}, {0, 2}))["loss"] == doctest::Approx(50.0 / 4));

  const nn::Dataset data(Tensor(Type{DType::f32, {3, 2}}), Tensor::of<float>({3, 1}, {1, 0, 1}),
                         Tensor::of<float>({3, 2}, {1, 2, 3, 4, 5, 6}));
  const nn::Dataset weighted = data.class_weighted({{1, 10}});
  Tensor batch(Type{DType::f32, {3, 2}});
  weighted.sample_weight().take(std::vector<std::int64_t>{0, 1, 2}, batch);
  CHECK(to_floats(batch) == std::vector<float>{10, 20, 3, 4, 50, 60});
}

TEST_CASE("weights: what does not fit") {
  const Tensor x(Type{DType::f32, {3, 4}}), y = Tensor::of<std::int32_t>({3}, {0, 2, 1});
  const Tensor three = Tensor::full({3}, 1);
  CHECK(message_of<ShapeError>([&] { nn::Dataset(x, y, Tensor::full({4}, 1)); }) ==
        "dataset: x has 3 samples, but sample_weight has 4");
  CHECK(message_of<ArgumentError>([&] {
          nn::Dataset({x}, {y}, {three, three});
        }) == "dataset: there are 1 targets, so sample weights must be one for all or 1, not 2");
  nn::Sequential model = classifier(1);
  const auto fit = [&](const Tensor& weights, const nn::FitOptions& options = {.verbose = 0}) {
    model.fit(nn::Dataset(x, y, weights), options);
  };
  CHECK(message_of<ArgumentError>([&] {
          fit(Tensor::of<float>({3}, {1, 0, -2}));
        }) == "sample_weight: -2 at position 2 is not a finite number of at least 0");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(message_of<ArgumentError>([&] {
          fit(Tensor::of<float>({3}, {1, nan, 1}));
        }) == "sample_weight: nan at position 1 is not a finite number of at least 0");
  CHECK(message_of<ShapeError>([&] {
          fit(Tensor::full({3, 2}, 1));
        }) ==
        "sparse_categorical_crossentropy: sample weights are [N,2], but what they weigh is [N]");
  CHECK(message_of<ArgumentError>([&] {
          model.evaluate(nn::Dataset(x, y, Tensor::full({3}, -1)), {.verbose = 0});
        }).starts_with("sample_weight: -1 at position 0"));

  const auto weigh = [&](const nn::ClassWeight& weights) {
    model.fit(x, y, {.class_weight = weights, .verbose = 0});
  };
  CHECK(message_of<ArgumentError>([&] {
          weigh({{0, 1}, {3, 2}});
        }) == "class_weight: there is no class 3; there are 0 to 2");
  CHECK(message_of<ArgumentError>([&] {
          weigh({{-1, 1}});
        }) == "class_weight: there is no class -1; there are 0 to 2");
  CHECK(message_of<ArgumentError>([&] {
          weigh({{1, -0.5}});
        }) == "class_weight: -0.5 of class 1 is not a finite number of at least 0");
  CHECK(message_of<ArgumentError>([&] {
          weigh({{1, std::numeric_limits<double>::quiet_NaN()}});
        }) == "class_weight: nan of class 1 is not a finite number of at least 0");
  CHECK(message_of<ArgumentError>([&] {
          nn::Dataset({x}, {y, y}).class_weighted({{0, 2}});
        }) == "class_weight: it is for one target, not for 2");
  CHECK(message_of<ShapeError>([&] {
          nn::Dataset(x, Tensor(Type{DType::f32, {3, 2, 2}})).class_weighted({{0, 2}});
        }) ==
        "class_weight: targets must be classes [N] or [N,1], or vectors [N,K], but a sample of y "
        "is [2,2]");
  nn::Sequential positions{nn::Input({2, 4}), nn::Dense(3, {.activation = "softmax"})};
  positions.compile({.loss = "sparse_categorical_crossentropy"});
  CHECK(message_of<ShapeError>([&] {
          positions.fit(Tensor(Type{DType::f32, {3, 2, 4}}), Tensor(Type{DType::s32, {3, 2}}),
                        {.class_weight = {{0, 2}}, .verbose = 0});
        }) == "class_weight: it is for samples of one class each, but y is [N,2]");
}

TEST_CASE("weights: reductions of losses, and names of metrics") {
  CHECK(message_of<ArgumentError>([] { nn::Loss(nn::Huber{.reduction = "median"}); }) ==
        "huber: unknown reduction \"median\"; known are sum_over_batch_size, mean, sum, "
        "mean_with_sample_weight");
  CHECK(message_of<ArgumentError>([] {
          nn::Loss(nn::Huber{.reduction = "none"});
        }).starts_with("huber: with reduction \"none\" there would be many numbers to minimize"));
  const Tensor x = Tensor::of<float>({3, 1}, {1, 2, 3}), y(Type{DType::f32, {3, 1}});
  const nn::Dataset data(x, y, Tensor::of<float>({3}, {1, 0, 2}));
  const auto loss = [&](const std::string& reduction) {
    nn::Sequential model = identity({.loss = nn::MeanSquaredError{.reduction = reduction}});
    return model.evaluate(data, {.verbose = 0})["loss"];
  };
  CHECK(loss("sum_over_batch_size") == doctest::Approx(19.0 / 3));
  CHECK(loss("mean") == doctest::Approx(19.0 / 3));
  CHECK(loss("sum") == doctest::Approx(19));
  CHECK(loss("mean_with_sample_weight") == doctest::Approx(19.0 / 3));
  // Of batches, what is shown is the mean over samples: (1 * 2 + 18 * 1) / 3.
  nn::Sequential model = identity({.loss = nn::MeanSquaredError{.reduction = "sum"}});
  CHECK(model.evaluate(data, {.batch_size = 2, .verbose = 0})["loss"] == doctest::Approx(20.0 / 3));
  CHECK(message_of<ArgumentError>([] {
          identity({.loss = "mse", .weighted_metrics = {"mae", "mae"}});
        }) == "compile: the name \"mae\" is taken; metrics need names of their own");
  // Nothing counts: nothing is shown.
  const nn::Dataset none(x, y, Tensor::full({3}, 0));
  nn::Sequential unweighted =
      identity({.loss = nn::MeanSquaredError{.reduction = "mean_with_sample_weight"},
                .weighted_metrics = {"mae"}});
  const nn::Logs logs = unweighted.evaluate(none, {.verbose = 0});
  CHECK(logs["loss"] == 0);
  CHECK(logs["mae"] == 0);
}

TEST_CASE("weights: what slices must agree upon does not keep them from working side by side") {
  // 13 samples in 3 slices, 5 + 4 + 4, with losses that ask for sums over all of them.
  const Tensor x = input("x"), weights = input("first");
  const Tensor y = nn::to_categorical(input("classes"), 3);
  for (const nn::Loss& loss :
       {nn::Loss("hinge"), nn::Loss("dice"),
        nn::Loss(nn::MeanSquaredError{.reduction = "mean_with_sample_weight"}),
        nn::Loss(nn::MeanSquaredError{.reduction = "sum"})}) {
    CAPTURE(loss.name);
    std::vector<Tensor> trained;
    std::vector<double> losses;
    for (const std::size_t replicas : {1, 3}) {
      nn::Sequential model({nn::Input({4}), nn::Dense(3, {.activation = "sigmoid"})},
                           {.replicas = replicas});
      model.compile({.optimizer = nn::SGD{.learning_rate = 0.1}, .loss = loss});
      const nn::Dataset data(x, y, weights);
      CHECK(model.training_step(data, 13).statistics().replicas == replicas);
      for (int i = 0; i < 3; ++i) losses.push_back(model.train_on_batch(data)["loss"]);
      trained.push_back(flat(model.get_weights()));
    }
    CHECK(difference(trained[1], trained[0], 1) < log_tolerance);
    CHECK(losses[5] == doctest::Approx(losses[2]).epsilon(1e-5));
  }
}

TEST_CASE("batches by themselves: as Keras has it") {
  nn::Sequential model = classifier(2);
  const nn::Dataset data(input("x"), input("classes"), input("first"));
  const nn::Dataset plain(input("x"), input("classes"));
  const std::vector<nn::Logs> logs{
      model.train_on_batch(data.rows(0, 8)), model.test_on_batch(plain),
      model.train_on_batch(plain.rows(5, 13), {.class_weight = {{1, 2.0}}})};
  std::vector<std::vector<double>> columns(3);
  for (std::size_t c = 0; c < 3; ++c) {
    for (const nn::Logs& each : logs) columns[c].push_back(each[log_names[c]]);
  }
  check_logs(columns, input("batch_logs"));
  CHECK(difference(model.predict_on_batch(input("x")), input("batch_prediction"), 1) <
        log_tolerance);
  CHECK(model.iterations() == 2);
}

TEST_CASE("batches by themselves: a step of fit, and compiled once") {
  // Counts how often the model is traced.
  struct Watch {
    int* traces;
    static std::string_view name() { return "Watch"; }
    Value operator()(nn::Scope&, Value x) const {
      ++*traces;
      return x;
    }
  };
  int traces = 0;
  const auto make = [&] {
    nn::Sequential model{nn::Input({4}), Watch{&traces}, nn::Dropout(0.5),
                         nn::Dense(3, {.activation = "softmax"})};
    model.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
    return model;
  };
  const nn::Dataset data(input("x"), input("classes"));
  nn::Sequential fitted = make(), stepped = make();
  fitted.fit(data.rows(0, 12), {.batch_size = 4, .shuffle = false, .verbose = 0, .seed = 5});
  for (std::int64_t first = 0; first < 12; first += 4) {
    stepped.train_on_batch(data.rows(first, first + 4), {.seed = 5});
  }
  CHECK(to_floats(fitted.get_weights()[0]) == to_floats(stepped.get_weights()[0]));

  stepped.test_on_batch(data.rows(0, 4));
  stepped.predict_on_batch(data.rows(0, 4));
  const int before = traces;
  for (int i = 0; i < 3; ++i) {
    stepped.train_on_batch(data.rows(i, i + 4));
    stepped.test_on_batch(data.rows(i, i + 4));
    stepped.predict_on_batch(data.rows(i, i + 4));
  }
  CHECK(traces == before);
  // What is compiled is fit's, too.
  stepped.fit(data.rows(0, 12), {.batch_size = 4, .verbose = 0});
  CHECK(traces == before);
}

TEST_CASE("batches by themselves: two models in turn, one of which holds the other frozen") {
  // A generator learns to make what a critic takes for 1; the critic learns to tell it from 3.
  const nn::Layer judge = nn::Dense(1, {.activation = "sigmoid", .kernel_initializer = "ones"});
  const auto sample = nn::Input({1}), noise = nn::Input({1});
  nn::Model critic({sample}, {judge(sample)});
  critic.compile({.optimizer = nn::SGD{.learning_rate = 0.1}, .loss = "bce"});
  judge.set_trainable(false);
  nn::Model both({noise}, {judge(nn::Dense(1, {.name = "generator"})(noise))});
  both.compile({.optimizer = nn::SGD{.learning_rate = 0.1}, .loss = "bce"});
  const Tensor ones = Tensor::full({4, 1}, 1), zeros(Type{DType::f32, {4, 1}});
  const auto weight = [](const nn::Layer& layer) {
    return to_floats(layer.weights().get("kernel"));
  };
  const nn::Layer generator = both.get_layer("generator");
  CHECK(critic.count_params() + both.count_params() == 2 + 4);  // and now weights are there
  const auto judged = weight(judge), made = weight(generator);
  critic.train_on_batch(Tensor::full({4, 1}, 3), ones);
  const auto learned = weight(judge);
  CHECK(learned != judged);
  CHECK(weight(generator) == made);
  const double first = both.train_on_batch(ones, ones)["loss"];
  CHECK(weight(judge) == learned);
  CHECK(weight(generator) != made);
  for (int i = 0; i < 50; ++i) both.train_on_batch(ones, ones);
  CHECK(both.test_on_batch(ones, ones)["loss"] < first);
}

TEST_CASE("batches by themselves: what does not fit") {
  nn::Sequential model = classifier(1);
  const nn::Dataset data(input("x"), input("classes"));
  model.train_on_batch(data);
  CHECK(message_of<ArgumentError>([&] { model.train_on_batch(nn::Dataset()); }) ==
        "train_on_batch: there are no samples");
  CHECK(message_of<ArgumentError>([&] { model.test_on_batch(nn::Dataset(input("x"))); }) ==
        "test_on_batch: there are no targets y");
  // Labels are looked at in each batch, also if all else is known already.
  const Tensor bad = Tensor::of<std::int32_t>({13}, {0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(message_of<ArgumentError>([&] { model.train_on_batch(input("x"), bad); }) ==
        "labels: label 3 at position 3 is not one of the 3 classes 0 to 2");
  CHECK(message_of<ShapeError>([&] {
          model.train_on_batch(Tensor(Type{DType::f32, {2, 5}}), Tensor(Type{DType::s32, {2}}));
        }) == "train_on_batch: the model's input is [4], but a sample of x is [5]");
  model.train_on_batch(data);
}

}  // namespace weft::test
