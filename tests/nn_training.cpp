#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>
#include <thread>

#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "tests/nn_testing.hpp"

namespace weft::test {
namespace {

/// Points in the plane, in three classes by the sector they lie in.
nn::Dataset sectors(std::int64_t count, std::uint64_t seed, bool one_hot) {
  nn::Random random(seed);
  Tensor x(Type{DType::f32, {count, 2}}), y(Type{DType::u8, {count}});
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const double angle = random.uniform(0, 6.28), radius = random.uniform(0.5, 1);
    x.data<float>()[2 * at] = static_cast<float>(radius * std::cos(angle));
    x.data<float>()[2 * at + 1] = static_cast<float>(radius * std::sin(angle));
    y.data<std::uint8_t>()[at] = static_cast<std::uint8_t>(angle / 2.0944);
  }
  return {x, one_hot ? nn::to_categorical(y, 3) : y};
}

/// u8 images of 8 x 8 with noise, and one of four bars: a row or a column, in either half.
nn::Dataset bars(std::int64_t count, std::uint64_t seed) {
  nn::Random random(seed);
  Tensor x(Type{DType::u8, {count, 8, 8}}), y(Type{DType::u8, {count}});
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint8_t* image = x.data<std::uint8_t>().data() + 64 * i;
    for (int p = 0; p < 64; ++p) image[p] = static_cast<std::uint8_t>(random.below(60));
    const auto kind = random.below(4), place = random.below(4) + (kind % 2) * 4;
    for (std::uint64_t p = 0; p < 8; ++p) image[kind < 2 ? 8 * place + p : 8 * p + place] = 220;
    y.data<std::uint8_t>()[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(kind);
  }
  return nn::Dataset(x, nn::to_categorical(y, 4)).scaled(1.0f / 255);
}

/// The samples of sectors() as they are.
Tensor data_of(const nn::Dataset& data) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(data.size()));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  Tensor x(Type{DType::f32, {data.size(), 2}});
  data.x().take(rows, x);
  return x;
}

nn::Sequential dense_net(std::uint64_t seed = 0, double dropout = 0) {
  return nn::Sequential({nn::Input({2}), nn::Dense(16, {.activation = "relu"}),
                         nn::Dropout(dropout), nn::Dense(3, {.activation = "softmax"})},
                        {.seed = seed});
}

const nn::TrainOptions sparse{
    .optimizer = nn::Adam{.learning_rate = 0.02},
    .loss = "sparse_categorical_crossentropy",
    .metrics = {"accuracy"},
};

}  // namespace

TEST_CASE("training: a dense net learns") {
  nn::Sequential model = dense_net();
  model.compile(sparse);
  const nn::Dataset train = sectors(500, 1, false), test = sectors(200, 2, false);
  const nn::Logs before = model.evaluate(test, {.verbose = 0});
  const nn::History history =
      model.fit(train, {.epochs = 15, .validation_data = test, .verbose = 0});
  CHECK(history["loss"].size() == 15);
  CHECK(history["loss"].front() > 2 * history["loss"].back());
  CHECK(history["val_accuracy"].back() > 0.95);
  CHECK(history.names() ==
        std::vector<std::string>{"loss", "accuracy", "val_loss", "val_accuracy"});
  const nn::Logs after = model.evaluate(test, {.batch_size = 64, .verbose = 0});
  CHECK(after.begin()->name == "loss");
  CHECK(after["loss"] < before["loss"]);
  CHECK(after["accuracy"] == doctest::Approx(history["val_accuracy"].back()));
  CHECK(after["loss"] == doctest::Approx(history["val_loss"].back()).epsilon(1e-5));
  CHECK(model.iterations() == 15 * 16);
}

TEST_CASE("training: every optimizer and loss learns") {
  for (const nn::Optimizer& optimizer :
       {nn::Optimizer(nn::SGD{.learning_rate = 0.5}),
        nn::Optimizer(nn::SGD{.learning_rate = 0.05, .momentum = 0.9, .nesterov = true}),
        nn::Optimizer(nn::AdamW{.learning_rate = 0.02}),
        nn::Optimizer(nn::RMSprop{.learning_rate = 0.01})}) {
    for (const char* loss : {"categorical_crossentropy", "binary_crossentropy", "mse"}) {
      CAPTURE(optimizer.name);
      CAPTURE(loss);
      nn::Sequential model = dense_net();
      model.compile({.optimizer = optimizer, .loss = loss, .metrics = {"acc"}});
      const auto history = model.fit(sectors(500, 1, true), {.epochs = 15, .verbose = 0});
      CHECK(history["acc"].back() > 0.9);
    }
  }
}

TEST_CASE("training: a small convolutional net learns from bytes, channel axis or not") {
  nn::Sequential model;
  model.add(
      nn::Conv2D(8, {3, 3}, {.padding = "same", .activation = "relu", .input_shape = {8, 8, 1}}));
  model.add(nn::MaxPooling2D({2, 2}));
  model.add(nn::Flatten());
  model.add(nn::Dropout(0.1));
  model.add(nn::Dense(4, {.activation = "softmax"}));
  model.compile({.optimizer = nn::Adam{.learning_rate = 0.01},
                 .loss = "categorical_crossentropy",
                 .metrics = {"accuracy"}});
  const nn::Dataset test = bars(200, 2);
  model.fit(bars(600, 1), {.epochs = 8, .batch_size = 64, .verbose = 0});
  CHECK(model.evaluate(test, {.verbose = 0})["accuracy"] > 0.95);

  const Tensor p = model.predict(test, {.batch_size = 64, .verbose = 0});
  CHECK(p.type() == Type{DType::f32, {200, 4}});
  double sum = 0;
  for (const float number : p.data<float>()) sum += number;
  CHECK(sum == doctest::Approx(200));
  const Tensor first = model.predict(test.rows(0, 1), {.verbose = 0});
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(first.data<float>()[i] == doctest::Approx(p.data<float>()[i]).epsilon(1e-5));
  }
}

TEST_CASE("training: the same seeds give the same bits") {
  const auto train = [](std::uint64_t model_seed, std::uint64_t seed) {
    nn::Sequential model = dense_net(model_seed, 0.3);
    model.compile(sparse);
    auto history = model.fit(sectors(200, 1, false), {.epochs = 3, .verbose = 0, .seed = seed});
    return std::pair{history["loss"], to_floats(model.get_weights()[0])};
  };
  const auto first = train(7, 9);
  CHECK(first == train(7, 9));
  CHECK(first.first != train(8, 9).first);
  CHECK(first.first != train(7, 10).first);
}

TEST_CASE("training: slices that differ by a row train as the whole batch does") {
  // 100 samples in batches of 33: slices of 9, 8, 8 and 8, and a last batch of one sample.
  const nn::Dataset data = sectors(100, 1, false);
  std::vector<std::vector<float>> weights;
  std::vector<nn::History> histories;
  for (const std::size_t replicas : {1, 4}) {
    nn::Sequential model = dense_net();
    model.config.replicas = replicas;
    model.compile(sparse);
    CHECK(model.training_step(data, 33).statistics().replicas == replicas);
    histories.push_back(model.fit(data, {.epochs = 3, .batch_size = 33, .verbose = 0}));
    weights.push_back(to_floats(model.get_weights()[0]));
  }
  for (const char* name : {"loss", "accuracy"}) {
    for (std::size_t epoch = 0; epoch < 3; ++epoch) {
      CHECK(histories[1][name][epoch] == doctest::Approx(histories[0][name][epoch]).epsilon(1e-5));
    }
  }
  for (std::size_t i = 0; i < weights[0].size(); ++i) {
    CHECK(std::abs(weights[0][i] - weights[1][i]) < 1e-4f);
  }
}

TEST_CASE("training: what a layer keeps is the mean over all samples, whatever the slices") {
  struct Watch {
    static std::string_view name() { return "Watch"; }
    Value operator()(nn::Scope& scope, Value x) const {
      scope.update(scope.state("mean", {}), mean(x));
      const Value steps = scope.state("steps", {});
      scope.update(steps, steps + 1.0f);  // equal in all slices, and so not averaged: exact
      return x;
    }
  };
  const nn::Dataset data = sectors(28, 3, false);
  double sum = 0;
  for (const float number : to_floats(data_of(data))) sum += number;
  for (const std::size_t replicas : {1, 2, 3, 5}) {
    nn::Sequential model({nn::Input({2}), Watch{}, nn::Dense(3, {.activation = "softmax"})},
                         {.replicas = replicas});
    model.compile(sparse);
    model.fit(data, {.epochs = 40, .verbose = 0});
    CHECK(model.variables().get("watch/mean").item<float>() == doctest::Approx(sum / 56));
    CHECK(model.variables().get("watch/steps").item<float>() == 40);
  }
}

TEST_CASE("training: two models in two threads, each as if it were alone") {
  const nn::Dataset data = bars(150, 1);
  const auto train = [&](std::uint64_t seed) {
    nn::Sequential model({nn::Input({8, 8}), nn::Flatten(), nn::Dense(16, {.activation = "relu"}),
                          nn::Dropout(0.2), nn::Dense(4, {.activation = "softmax"})},
                         {.seed = seed, .replicas = 2});
    model.compile({.optimizer = "adam", .loss = "categorical_crossentropy"});
    auto losses = model.fit(data, {.epochs = 4, .verbose = 0})["loss"];
    losses.push_back(model.evaluate(data, {.verbose = 0})["loss"]);
    return losses;
  };
  const std::vector<std::vector<double>> alone{train(1), train(2)};
  std::vector<std::vector<double>> together(2);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] { together[i] = train(i + 1); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(together == alone);
}

TEST_CASE("training: in two calls as in one") {
  const nn::Dataset data = sectors(200, 1, false);
  nn::Sequential once = dense_net(0, 0.3), twice = dense_net(0, 0.3);
  once.compile(sparse);
  twice.compile(sparse);
  once.fit(data, {.epochs = 4, .verbose = 0});
  twice.fit(data, {.epochs = 2, .verbose = 0});
  const auto rest = twice.fit(data, {.epochs = 4, .initial_epoch = 2, .verbose = 0});
  CHECK(rest.epoch == std::vector<int>{2, 3});
  CHECK(to_floats(once.get_weights()[2]) == to_floats(twice.get_weights()[2]));
}

TEST_CASE("training: one step of gradient descent, by hand") {
  // y = w x + b with w = b = 0, on samples 1 and 3 with targets 2 and 4: the gradient of the mean
  // square is (-14, -6).
  nn::Sequential model{nn::Dense(1, {.kernel_initializer = "zeros"})};
  model.compile({.optimizer = nn::SGD{.learning_rate = 0.1}, .loss = "mse", .metrics = {"mae"}});
  const Tensor x = Tensor::of<float>({2}, {1, 3}), y = Tensor::of<float>({2}, {2, 4});
  const auto history = model.fit(x, y, {.verbose = 0});
  CHECK(history["loss"][0] == doctest::Approx(10));
  CHECK(history["mae"][0] == doctest::Approx(3));
  CHECK(model.get_weights()[0].item<float>() == doctest::Approx(1.4));
  CHECK(model.get_weights()[1].item<float>() == doctest::Approx(0.6));
}

TEST_CASE("training: what is shown is the mean over samples, last partial batch included") {
  // Without learning, loss and metric of 5 samples in batches of 2, 2 and 1 are plain means.
  nn::Sequential model{nn::Dense(1, {.kernel_initializer = "ones"})};
  model.compile({.optimizer = nn::SGD{.learning_rate = 0}, .loss = "mse", .metrics = {"mae"}});
  const Tensor x = Tensor::of<float>({5, 1}, {1, 2, 3, 4, 10}),
               y = Tensor(Type{DType::f32, {5, 1}});
  std::vector<double> means;
  const nn::Callback watch{.on_train_batch_end = [&](nn::Model&, std::int64_t, nn::Logs& logs) {
    means.push_back(logs["mae"]);
  }};
  const auto history =
      model.fit(x, y, {.batch_size = 2, .shuffle = false, .verbose = 0, .callbacks = {watch}});
  CHECK(history["loss"][0] == doctest::Approx(26));
  check_close(means, {1.5, 2.5, 4});
  CHECK(model.evaluate(x, y, {.batch_size = 3, .verbose = 0})["mae"] == doctest::Approx(4));
}

TEST_CASE("training: validation_split takes the last samples, and they are not trained on") {
  nn::Sequential model{nn::Dense(1, {.kernel_initializer = "ones"})};
  model.compile({.optimizer = nn::SGD{.learning_rate = 0}, .loss = "mae"});
  const Tensor x = Tensor::of<float>({4, 1}, {1, 2, 3, 8}), y = Tensor(Type{DType::f32, {4, 1}});
  const auto history =
      model.fit(x, y, {.epochs = 3, .validation_split = 0.25, .validation_freq = 2, .verbose = 0});
  CHECK(history["loss"][0] == doctest::Approx(2));
  CHECK(history["val_loss"] == std::vector<double>{8});  // after the second of three epochs
}

TEST_CASE("training: callbacks are called in order, and can stop") {
  nn::Sequential model = dense_net();
  model.compile(sparse);
  std::string calls;
  nn::Callback log;
  log.on_train_begin = [&](nn::Model&) { calls += "("; };
  log.on_train_end = [&](nn::Model&, nn::Logs& logs) {
    calls += logs.contains("extra") ? ")" : "?";
  };
  log.on_epoch_begin = [&](nn::Model&, int epoch) { calls += "e" + std::to_string(epoch); };
  log.on_epoch_end = [&](nn::Model&, int, nn::Logs& logs) {
    calls += logs.contains("val_loss") ? "." : "?";
    logs.set("extra", 1);
  };
  log.on_train_batch_begin = [&](nn::Model&, std::int64_t) { calls += "["; };
  log.on_train_batch_end = [&](nn::Model& m, std::int64_t batch, nn::Logs&) {
    calls += std::to_string(batch) + "]";
    m.stop_training = calls.find("e1[0]") != std::string::npos;
  };
  log.on_test_begin = [&](nn::Model&) { calls += "t"; };
  log.on_test_batch_end = [&](nn::Model&, std::int64_t, nn::Logs&) { calls += "v"; };
  log.on_test_end = [&](nn::Model&, nn::Logs&) { calls += "T"; };
  const auto history = model.fit(
      sectors(40, 1, false),
      {.epochs = 5, .validation_data = sectors(10, 2, false), .verbose = 0, .callbacks = {log}});
  CHECK(calls == "(e0[0][1]tvT.e1[0]tvT.)");
  CHECK(history["extra"].size() == 2);
}

TEST_CASE("training: the learning rate changes between steps") {
  nn::Sequential model = dense_net();
  model.compile(sparse);
  CHECK(model.learning_rate() == doctest::Approx(0.02));
  const nn::Dataset data = sectors(64, 1, false);
  model.fit(data, {.verbose = 0});
  model.set_learning_rate(0);
  const auto before = to_floats(model.get_weights()[0]);
  model.fit(data, {.verbose = 0});
  CHECK(before == to_floats(model.get_weights()[0]));
  CHECK(model.iterations() == 4);
  model.compile(sparse);  // begins anew
  CHECK(model.iterations() == 0);
  CHECK(model.learning_rate() == doctest::Approx(0.02));
  for (const float m : to_floats(model.variables().get("adam/momentum/dense/kernel")))
    CHECK(m == 0);
}

TEST_CASE("training: a user's own layer, loss, metric and optimizer") {
  struct Scale {
    static std::string_view name() { return "Scale"; }
    Value operator()(nn::Scope& scope, Value x) const {
      return x * scope.parameter("factor", {x.shape()[-1]}, "ones");
    }
  };
  struct Descent {
    double learning_rate = 0.1;
    static std::string_view name() { return "descent"; }
    Value operator()(nn::OptimizerScope& scope, Value w, Value g) const {
      return w - scope.learning_rate() * g;
    }
  };
  nn::Sequential model{nn::Input({2}), Scale{}};
  model.compile({.optimizer = Descent{},
                 .loss = [](Value p, Value t) { return sum(square(p - t), {-1}); },
                 .metrics = {{"worst", [](Value p, Value t) { return max(abs(p - t)); }}}});
  const Tensor x = Tensor::of<float>({2, 2}, {1, 1, 1, -1}),
               y = Tensor::of<float>({2, 2}, {3, 0, 3, 0});
  const auto history = model.fit(x, y, {.epochs = 60, .verbose = 0});
  CHECK(history["worst"].front() == doctest::Approx(2));
  const auto factor = to_floats(model.get_weights()[0]);
  CHECK(factor[0] == doctest::Approx(3).epsilon(1e-3));
  CHECK(std::abs(factor[1]) < 1e-3);
}

TEST_CASE("training: state is kept in training only") {
  struct Counter {
    static std::string_view name() { return "Counter"; }
    Value operator()(nn::Scope& scope, Value x) const {
      const Value steps = scope.state("steps", {});
      scope.update(steps, steps + 1.0f);
      return x;
    }
  };
  nn::Sequential model{nn::Input({2}), Counter{}, nn::Dense(3, {.activation = "softmax"})};
  model.compile(sparse);
  const nn::Dataset data = sectors(70, 1, false);
  model.fit(data, {.epochs = 2, .verbose = 0});
  model.evaluate(data, {.verbose = 0});
  model.predict(data, {.verbose = 0});
  CHECK(model.variables().get("counter/steps").item<float>() == 6);
  CHECK(model.summary().find("Optimizer params: 20 (80.00 Byte)\n") != std::string::npos);
}

TEST_CASE("training: progress on the way") {
  nn::Sequential model = dense_net();
  model.compile(sparse);
  std::ostringstream out;
  double time = 0;
  const nn::Console console{.out = &out, .terminal = false, .clock = [&] { return time += 0.01; }};
  model.fit(sectors(64, 1, false), {.epochs = 2, .verbose = 2, .console = console});
  const std::string text = out.str();
  CHECK(text.starts_with("Epoch 1/2\n2/2 - 0s - loss: "));
  CHECK(text.find("\nEpoch 2/2\n2/2 - 0s - loss: ") != std::string::npos);
  CHECK(text.ends_with(" - 10ms/epoch - 5ms/step\n"));
  out.str("");
  model.evaluate(sectors(64, 1, false), {.verbose = 1, .console = console});
  CHECK(out.str().starts_with("\n1/2 [==============>...............] - ETA: 0s - loss: "));
}

TEST_CASE("training: the executable behind predict, filled and read by hand") {
  nn::Sequential model{nn::Dense(3, {.activation = "softmax"})};
  const std::vector<float> numbers{1, 2, 3, 4};
  const nn::Dataset data(Tensor::of<float>({2, 2}, numbers), Tensor::of<std::uint8_t>({2}, {0, 1}));
  CHECK(message_of<Error>([&] { model.prediction_step(2); }).find("prediction_step") == 0);
  model.build({2});
  CHECK(message_of<ArgumentError>([&] { model.prediction_step(0); }) ==
        "prediction_step: batch_size must be at least 1, not 0");

  model.compile({.optimizer = "sgd", .loss = "sparse_categorical_crossentropy"});
  model.fit(data, {.batch_size = 2, .verbose = 0});
  Executable& step = model.prediction_step(2);
  model.fit(data, {.batch_size = 2, .verbose = 0});  // what is compiled reads the weights of now
  std::ranges::copy(numbers, step.input("x").data<float>().begin());
  step.step();
  const Tensor expected = model.predict(data, {.batch_size = 2, .verbose = 0});
  CHECK(std::ranges::equal(step.output(0).data<float>(), expected.data<float>()));
}

TEST_CASE("training: what does not fit") {
  nn::Sequential model = dense_net();
  const nn::Dataset data = sectors(10, 1, false);
  const auto fit = [&](const nn::Dataset& d, const nn::FitOptions& options = {}) {
    model.fit(d, options);
  };
  CHECK(
      message_of<Error>([&] { fit(data); }) ==
      "model \"sequential\": it has not been compiled: call compile() with an optimizer and a loss "
      "first");
  CHECK(
      message_of<Error>([&] { model.evaluate(data); }).starts_with("model \"sequential\": it has"));
  CHECK(message_of<ArgumentError>([&] { model.compile({}); }) ==
        "compile: there is no loss; try .loss = \"categorical_crossentropy\"");
  CHECK(message_of<ArgumentError>([&] {
          model.compile({.loss = "mse", .metrics = {"acc", "acc"}});
        }) == "compile: the name \"acc\" is taken; metrics need names of their own");
  model.compile(sparse);

  const Tensor x(Type{DType::f32, {4, 2}});
  CHECK(message_of<ArgumentError>([&] { fit(nn::Dataset(x)); }) == "fit: there are no targets y");
  CHECK(message_of<ArgumentError>([&] { fit(nn::Dataset()); }) == "fit: there are no samples");
  CHECK(message_of<ShapeError>([&] {
          fit({Tensor(Type{DType::f32, {4, 3}}), Tensor(Type{DType::u8, {4}})});
        }) == "fit: the model's input is [2], but a sample of x is [3]");
  CHECK(message_of<ArgumentError>([&] {
          fit({x, Tensor::of<std::uint8_t>({4}, {0, 1, 3, 2})});
        }) == "labels: label 3 at position 2 is not one of the 3 classes 0 to 2");
  CHECK(message_of<ArgumentError>([&] {
          fit(data, {.validation_data = {x, Tensor::of<std::int32_t>({4}, {0, 1, 2, -1})}});
        }) == "labels: label -1 at position 3 is not one of the 3 classes 0 to 2");
  CHECK(message_of<ShapeError>([&] {
          fit({x, nn::to_categorical(Tensor(Type{DType::u8, {4}}), 3)});
        }) ==
        "sparse_categorical_crossentropy: the output is [N,3], so targets must be integer classes "
        "[N], but they are [N,3]: for one-hot vectors use categorical_crossentropy");
  CHECK(message_of<ArgumentError>([&] { fit(data, {.batch_size = 0}); }) ==
        "fit: batch_size must be at least 1, not 0");
  CHECK(message_of<ArgumentError>([&] { fit(data, {.validation_freq = 0}); }) ==
        "fit: validation_freq must be at least 1, not 0");
  CHECK(message_of<ArgumentError>([&] { fit(data, {.initial_epoch = -1}); }) ==
        "fit: initial_epoch must be at least 0, not -1");

  model.compile({.loss = "categorical_crossentropy"});
  CHECK(message_of<ShapeError>([&] { fit(data); })
            .find("for integer classes use sparse_categorical_crossentropy, or "
                  "nn::to_categorical(y, 3)") != std::string::npos);
  model.compile({.loss = [](Value p, Value) { return argmax(p); }});
  CHECK(message_of<TypeError>([&] { fit(data); }) ==
        "loss: it must return f32 numbers, not s32[N]");
}

}  // namespace weft::test
