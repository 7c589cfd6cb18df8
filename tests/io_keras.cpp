// Keras' files: samples in the dialect that both generations read, and round trips.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

Tensor ramp(const Shape& shape, int period) {
  Tensor tensor({DType::f32, shape});
  int i = 0;
  for (float& number : tensor.data<float>()) {
    number = static_cast<float>(i++ % period) / static_cast<float>(period);
  }
  return tensor;
}

bool equal(const Tensor& a, const Tensor& b) {
  if (a.type() != b.type()) return false;
  return std::ranges::equal(a.data<float>(), b.data<float>());
}

/// A bit of everything that has weights or arguments.
nn::Model sample_model() {
  nn::Sequential model({.name = "sample", .seed = 3});
  model.add(nn::Input({8, 8, 2}));
  model.add(nn::Conv2D(4, 3, {.padding = "same", .activation = "relu"}));
  model.add(nn::BatchNormalization());
  model.add(nn::MaxPooling2D(2));
  model.add(nn::LeakyReLU({.negative_slope = 0.1}));
  model.add(nn::Dropout(0.25));
  model.add(nn::Flatten());
  model.add(nn::Dense(5, {.activation = "tanh", .kernel_regularizer = nn::L2{0.001}}));
  model.add(nn::Dense(3, {.activation = "softmax"}));
  return model;
}

nn::Model two_way_model() {
  const nn::Input a({6}, {.name = "a"}), b({6}, {.name = "b"});
  const nn::Layer shared = nn::Dense(4, {.activation = "relu", .name = "shared"});
  const nn::Sequential tower(
      {nn::Dense(4, {.activation = "elu", .input_shape = {4}}), nn::Dense(3)}, {.name = "tower"});
  const nn::Symbol left = tower(shared(a)), right = tower(shared(b));
  return nn::Model({a, b},
                   {nn::Dense(2, {.name = "one"})(nn::Concatenate()({left, right})),
                    nn::Dense(1, {.name = "two"})(nn::Subtract()({left, right}))},
                   {.name = "two_way", .seed = 4});
}

void check_same(nn::Model& a, nn::Model& b, const nn::Dataset& x) {
  const auto expected = a.predict_all(x, {.verbose = 0}), got = b.predict_all(x, {.verbose = 0});
  REQUIRE(expected.size() == got.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(equal(expected[i], got[i]));
}

}  // namespace

TEST_CASE("keras files: what is saved predicts the same when it is loaded") {
  const TemporaryFolder folder;
  nn::Model model = sample_model();
  const nn::Dataset x(ramp({3, 8, 8, 2}, 13));
  for (const char* name : {"m.h5", "m.hdf5", "m.keras"}) {
    CAPTURE(name);
    model.save(folder / name);
    nn::Model loaded = nn::load_model(folder / name);
    check_same(model, loaded, x);
    CHECK(loaded.name() == "sample");
    CHECK(loaded.type() == "Sequential");
    CHECK(loaded.summary() == model.summary());
    CHECK(loaded.to_json() == model.to_json());
    CHECK_FALSE(loaded.is_compiled());
  }
  for (const char* name : {"w.h5", "w.weights.h5", "m.keras", "m.h5"}) {
    CAPTURE(name);
    if (name[0] == 'w') model.save_weights(folder / name);
    nn::Model again = nn::model_from_json(model.to_json());
    again.load_weights(folder / name);
    check_same(model, again, x);
  }
}

TEST_CASE("keras files: shared layers, models in models, several inputs and outputs") {
  const TemporaryFolder folder;
  nn::Model model = two_way_model();
  const nn::Dataset x({ramp({5, 6}, 7), ramp({5, 6}, 11)}, {});
  for (const char* name : {"m.h5", "m.keras"}) {
    CAPTURE(name);
    model.save(folder / name);
    nn::Model loaded = nn::load_model(folder / name);
    check_same(model, loaded, x);
    CHECK(loaded.count_params() == model.count_params());
    CHECK(loaded.output_names() == model.output_names());
    nn::Model other = two_way_model();
    other.load_weights(folder / name);
    check_same(model, other, x);
  }
}

TEST_CASE("keras files: a model of branches in a Sequential stays one") {
  const TemporaryFolder folder;
  const nn::Input image({6});
  const nn::Symbol x = nn::Dense(4, {.activation = "tanh"})(image);
  const nn::Model base(image, nn::Add()({x, nn::Dense(4)(image)}), {.name = "base"});
  nn::Sequential model({base, nn::Dense(2)}, {.seed = 6});
  const nn::Dataset data(ramp({5, 6}, 7));
  for (const char* name : {"m.h5", "m.keras"}) {
    CAPTURE(name);
    model.save(folder / name);
    nn::Model loaded = nn::load_model(folder / name);
    check_same(model, loaded, data);
  }
  const auto json = nlohmann::json::parse(model.to_json());
  CHECK(json["class_name"] == "Sequential");
  CHECK(json["config"]["layers"][1]["class_name"] == "Functional");
}

TEST_CASE("keras files: what README.md shows") {
  const TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const nn::Dataset pictures(ramp({24, 8, 8, 2}, 17), Tensor::full({24}, 1));
  nn::Model taught = sample_model();
  taught.compile({.optimizer = "adam", .loss = "sparse_categorical_crossentropy"});
  taught.save("model.h5");
  // [files]
  nn::Model model = nn::load_model("model.h5");  // of Keras 1.2 to 3; a .keras, too
  model.fit(pictures, {.epochs = 2});  // with the loss and optimizer that it was saved with
  model.save("tuned.keras");           // Keras 3 opens it, and trains on
  model.save_weights("tuned.weights.h5");
  // [end]
  CHECK(model.iterations() == 2);
  nn::Model tuned = nn::load_model("tuned.keras"), weighed = sample_model();
  weighed.load_weights("tuned.weights.h5");
  CHECK(tuned.iterations() == 2);
  check_same(model, tuned, pictures);
  check_same(model, weighed, pictures);
  std::filesystem::current_path(before);
}

TEST_CASE("keras files: a .json names a module, without which Keras 3 does not read it") {
  for (auto& [model, type] :
       {std::pair{sample_model(), "Sequential"}, {two_way_model(), "Model"}}) {
    nn::Model described = model;
    const auto json = nlohmann::json::parse(described.to_json());
    CHECK(json["module"] == "keras");
    CHECK(json["class_name"] == type);
    CHECK(json["keras_version"] == "2.15.0");
    CHECK(nn::model_from_json(json.dump()).to_json() == described.to_json());
  }
}

TEST_CASE("keras files: training that is saved, loaded and continued is as if it never stopped") {
  const TemporaryFolder folder;
  const Tensor x = ramp({24, 8, 8, 2}, 17);
  Tensor y({DType::u8, {24}});
  for (std::size_t i = 0; i < 24; ++i) y.data<std::uint8_t>()[i] = i % 3;
  const nn::FitOptions first{.epochs = 2, .batch_size = 8, .verbose = 0, .seed = 5};
  const nn::FitOptions second{
      .epochs = 4, .batch_size = 8, .initial_epoch = 2, .verbose = 0, .seed = 5};
  for (const char* optimizer : {"adam", "sgd", "rmsprop", "adagrad"}) {
    CAPTURE(optimizer);
    nn::Model model = sample_model();
    model.compile({.optimizer = optimizer,
                   .loss = "sparse_categorical_crossentropy",
                   .metrics = {"accuracy"}});
    model.fit(x, y, first);
    for (const char* name : {"m.h5", "m.keras"}) {
      CAPTURE(name);
      model.save(folder / name);
      nn::Model loaded = nn::load_model(folder / name);
      REQUIRE(loaded.is_compiled());
      CHECK(loaded.iterations() == 6);
      nn::Model undisturbed = model;
      CHECK(undisturbed.fit(x, y, second)["loss"] == loaded.fit(x, y, second)["loss"]);
      CHECK(undisturbed.iterations() == loaded.iterations());
    }
  }
}

TEST_CASE("keras files: a layer of the program's is registered once, and then read and written") {
  struct Times {
    double factor = 1;
    static std::string_view name() { return "Times"; }
    Value operator()(nn::Scope&, Value x) const { return x * static_cast<float>(factor); }
    void fields(nn::Fields& f) { f("factor", factor); }
  };
  const TemporaryFolder folder;
  nn::Sequential model{nn::Input({4}), nn::Layer(Times{2.5}), nn::Dense(2)};
  model.weights();
  check_message<UnsupportedError>([&] { model.save(folder / "m.h5"); },
                                  {"times", "register_layer"});
  CHECK(std::filesystem::is_empty(folder.path()));
  nn::register_layer<Times>();
  for (const char* name : {"m.h5", "m.keras"}) {
    model.save(folder / name);
    nn::Model loaded = nn::load_model(folder / name);
    check_same(model, loaded, nn::Dataset(ramp({3, 4}, 5)));
    CHECK(loaded.layers()[0].layer.as<Times>()->factor == 2.5);
  }
  check_message<ArgumentError>([] { nn::register_layer<Times>(); }, {"Times", "already"});
  check_message<ArgumentError>([] { nn::register_layer<Times>("Dense"); }, {"Dense", "already"});
}

TEST_CASE("keras files: what Weft does not have is named") {
  const auto load = [](const std::string& layer) {
    nn::model_from_json(R"({"class_name":"Sequential","config":{"name":"s","layers":[
      {"class_name":"InputLayer","config":{"batch_input_shape":[null,4],"name":"i"}},)" +
                        layer + "]}}");
  };
  check_message<UnsupportedError>(
      [&] { load(R"({"class_name":"LSTM","config":{"name":"l","units":3}})"); },
      {"\"l\"", "LSTM", "units", "register_layer"});
  check_message<UnsupportedError>(
      [&] { load(R"({"class_name":"Lambda","config":{"name":"l","function":["x"]}})"); },
      {"Lambda", "code"});
  check_message<UnsupportedError>(
      [&] { load(R"({"class_name":"Dense","config":{"name":"d","units":3,"spin":2}})"); },
      {"\"d\"", "\"spin\"", "2"});
  check_message<UnsupportedError>(
      [&] { load(R"({"class_name":"Dense","config":{"name":"d","units":3,"dtype":"float16"}})"); },
      {"\"d\"", "float16", "float32"});
  check_message<UnsupportedError>(
      [&] {
        load(R"({"class_name":"Dense","config":{"name":"d","units":3,"activation":"wiggle"}})");
      },
      {"\"d\"", "wiggle"});
  check_message<IoError>(
      [&] { load(R"({"class_name":"Dense","config":{"name":"d","units":"three"}})"); },
      {"\"d\"", "units", "integer", "three"});
  check_message<IoError>(
      [&] { load(R"({"class_name":"Dense","config":{"name":"d","units":-3}})"); },
      {"\"d\"", "units", "-3"});
  check_message<IoError>([] { nn::model_from_json("{]"); }, {"JSON"});
  check_message<IoError>([] { nn::model_from_json(std::string(100000, '[')); }, {"levels"});
}

TEST_CASE("keras files: weights of other layers are refused, and nothing is changed") {
  const TemporaryFolder folder;
  nn::Sequential small({nn::Dense(3, {.input_shape = {4}, .name = "d"})}, {.seed = 1});
  nn::Sequential wide({nn::Dense(5, {.input_shape = {4}, .name = "d"})}, {.seed = 2});
  nn::Sequential deep({nn::Dense(3, {.input_shape = {4}}), nn::Dense(3)}, {.seed = 3});
  for (const char* name : {"w.h5", "w.weights.h5"}) {
    CAPTURE(name);
    small.weights();
    small.save_weights(folder / name);
    const std::vector<Tensor> before = wide.get_weights();
    check_message<ShapeError>([&] { wide.load_weights(folder / name); },
                              {"d/kernel", "f32[4,5]", "f32[4,3]"});
    CHECK(equal(wide.get_weights()[0], before[0]));
    CHECK_NOTHROW(wide.load_weights(folder / name, {.skip_mismatch = true}));
    CHECK(equal(wide.get_weights()[0], before[0]));
    CHECK_THROWS_AS(deep.load_weights(folder / name), Error);
  }
  check_message<ShapeError>([&] { deep.load_weights(folder / "w.h5"); },
                            {"2 layers", "file has 1"});
  nn::Sequential named({nn::Dense(7, {.input_shape = {4}, .name = "other"}), nn::Dense(4),
                        nn::Dense(3, {.name = "d"})},
                       {.seed = 4});
  named.load_weights(folder / "w.h5", {.by_name = true});
  CHECK(equal(named.get_weights()[4], small.get_weights()[0]));
  check_message<ArgumentError>(
      [&] { small.load_weights(folder / "w.weights.h5", {.by_name = true}); }, {"by_name"});
}

TEST_CASE("keras files: endings, missing files, and files of other kinds") {
  const TemporaryFolder folder;
  nn::Model model = sample_model();
  check_message<ArgumentError>([&] { model.save(folder / "m.onnx"); }, {"m.onnx", ".keras"});
  check_message<ArgumentError>([&] { model.save(folder / "m.weights.h5"); }, {"save_weights"});
  check_message<ArgumentError>([&] { model.save_weights(folder / "m.keras"); }, {".weights.h5"});
  check_message<IoError>([&] { nn::load_model(folder / "none.h5"); }, {"none.h5", "no such file"});
  check_message<IoError>([&] { nn::load_model(folder.path()); }, {"folder"});
  const auto text = put(folder / "text.h5", "no model at all");
  check_message<IoError>([&] { nn::load_model(text); }, {"text.h5", "no model"});
  check_message<IoError>([&] { model.load_weights(text); }, {"text.h5"});
  model.save_weights(folder / "w.h5");
  check_message<IoError>([&] { nn::load_model(folder / "w.h5"); }, {"w.h5", "load_weights"});
}

TEST_CASE("keras files: cut short at every hundredth of its length, a file throws") {
  const TemporaryFolder folder;
  nn::Model model = sample_model();
  for (const char* name : {"m.h5", "m.keras", "m.weights.h5"}) {
    CAPTURE(name);
    const bool whole = std::string_view(name) != "m.weights.h5";
    whole ? model.save(folder / name) : model.save_weights(folder / name);
    const std::string bytes = content(folder / name);
    for (std::size_t part = 0; part < 100; ++part) {
      CAPTURE(part);
      const auto cut = put(folder / (std::string("cut") + name),
                           std::string_view(bytes).substr(0, bytes.size() * part / 100));
      if (whole) {
        CHECK_THROWS_AS(nn::load_model(cut), Error);
      } else {
        CHECK_THROWS_AS(model.load_weights(cut), Error);
      }
    }
  }
}

}  // namespace weft::test
