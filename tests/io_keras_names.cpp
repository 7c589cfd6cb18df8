// Names of layers, and models within models, in files that every Keras reads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "io/keras/hdf5.hpp"
#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"
#include "tests/keras_testing.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// All names of layers in a config, models within it included; each model's must be unique.
void check_names(const json& config) {
  static const std::regex allowed("[A-Za-z0-9.][A-Za-z0-9_.\\\\>-]*");  // TensorFlow's, without "/"
  std::set<std::string> names;
  for (const json& layer : config["layers"]) {
    const auto name = layer["config"]["name"].get<std::string>();
    CAPTURE(name);
    CHECK(std::regex_match(name, allowed));
    CHECK(names.insert(name).second);
    if (layer.contains("name")) CHECK(layer["name"] == name);
    if (layer["config"].contains("layers")) check_names(layer["config"]);
  }
}

/// What a file says of layers: the config.
json config_of(const fs::path& h5) {
  return json::parse(*Hdf5File::open(h5).root().text("model_config"))["config"];
}

nn::Model model_with_names(const std::vector<std::string>& names) {
  const nn::Input x({4}, {.name = "in/put"});
  nn::Symbol y = x;
  for (const std::string& name : names) y = nn::Dense(4, {.name = name})(y);
  return nn::Model(x, y, {.name = "my model!", .seed = 5});
}

/// A model called on two inputs, within which there is a Sequential.
nn::Model nested_model(std::uint64_t seed) {
  const nn::Input i({4}), a({4}, {.name = "a"}), b({4}, {.name = "b"});
  const nn::Sequential inner({nn::Dense(5, {.input_shape = {6}}), nn::BatchNormalization()},
                             {.name = "inner"});
  const nn::Model tower(i, nn::Dense(3)(inner(nn::Dense(6, {.activation = "tanh"})(i))),
                        {.name = "tower"});
  const nn::Symbol left = tower(a), right = tower(b);
  return nn::Model({a, b}, {nn::Dense(2)(nn::Concatenate()({left, right})), right},
                   {.name = "pair", .seed = seed});
}

}  // namespace

TEST_CASE("keras names: in files they are such as every Keras takes") {
  const TemporaryFolder folder;
  nn::Model model = model_with_names({"conv1", "conv1/bn", "conv1_bn", "relu!", "größe", ".", "_x",
                                      "top_level_model_weights", "a b", std::string("n\0l", 3)});
  const nn::Dataset x(ramp({3, 4}));
  for (const char* name : {"m.h5", "m.keras", "m.json"}) {
    CAPTURE(name);
    model.save(folder / name);
    nn::Model loaded = nn::load_model(folder / name);
    if (std::string_view(name) == "m.json") loaded.load_weights(folder / "m.h5");
    check_same(model, loaded, x);
    check_names(json::parse(loaded.to_json())["config"]);
    CHECK(loaded.name() == "my_model_");
    CHECK(loaded.get_layer("conv1_bn").type() == "Dense");
    CHECK(loaded.get_layer("gr__e").type() == "Dense");
  }
  check_names(config_of(folder / "m.h5"));
  // Layers are found by either name.
  nn::Model named = model_with_names({"conv1/bn", "conv1", "relu!"});
  named.load_weights(folder / "m.h5", {.by_name = true});
  for (const auto& [to, from] : {std::pair{2, 0}, {4, 6}}) {
    CHECK(std::ranges::equal(named.get_weights()[static_cast<std::size_t>(to)].data<float>(),
                             model.get_weights()[static_cast<std::size_t>(from)].data<float>()));
  }
}

TEST_CASE("keras names: losses and metrics by output follow the outputs' names") {
  const TemporaryFolder folder;
  const nn::Input x({4});
  nn::Model model(x, {nn::Dense(2, {.name = "a/1"})(x), nn::Dense(2, {.name = "a/2"})(x)});
  model.compile(
      {.optimizer = "sgd",
       .outputs = {{"a/1", {.loss = "mse", .loss_weight = 3}}, {"a/2", {.loss = "mae"}}}});
  for (const char* name : {"m.h5", "m.keras"}) {
    CAPTURE(name);
    model.save(folder / name);
    const nn::Model loaded = nn::load_model(folder / name);
    REQUIRE(loaded.training().outputs.size() == 2);
    CHECK(loaded.training().outputs[0].first == "a_1");
    CHECK(loaded.training().outputs[0].second.loss_weight == 3);
  }
}

TEST_CASE("keras names: a layer n/d and a layer d of a model n are two") {
  const TemporaryFolder folder;
  const auto make = [](std::uint64_t seed) {
    const nn::Input i({4}), x({4});
    const nn::Model n(i, nn::Dense(4, {.name = "d"})(i), {.name = "n"});
    return nn::Model(x, nn::Dense(4, {.name = "n/d"})(n(x)), {.seed = seed});
  };
  nn::Model model = make(1);
  REQUIRE(model.weights().size() == 4);
  CHECK_FALSE(std::ranges::equal(model.get_weights()[0].data<float>(),
                                 model.get_weights()[2].data<float>()));
  const nn::Dataset x(ramp({3, 4}));
  for (const char* name : {"m.h5", "m.keras"}) {
    CAPTURE(name);
    model.save(folder / name);
    nn::Model loaded = nn::load_model(folder / name), other = make(2);
    check_same(model, loaded, x);
    other.load_weights(folder / name);
    check_same(model, other, x);
  }
}

TEST_CASE("keras files: what JSON cannot hold is refused before anything is written") {
  const TemporaryFolder folder;
  const auto refused = [&](nn::Layer layer, std::initializer_list<std::string_view> texts) {
    nn::Sequential model({std::move(layer)});
    for (const char* name : {"m.h5", "m.keras", "m.json"}) {
      check_message<UnsupportedError>([&] { model.save(folder / name); }, texts);
      CHECK_FALSE(fs::exists(folder / name));
    }
  };
  const double inf = std::numeric_limits<double>::infinity();
  refused(nn::ReLU({.max_value = inf, .input_shape = {4}}), {"re_lu", "max_value", "inf"});
  refused(nn::Rescaling({1, std::nan("")}, {0}, {.input_shape = {2}}), {"scale", "nan"});
  nn::Sequential model({nn::Dense(2, {.input_shape = {4}})});
  nn::Metric named = "mae";
  named.name = "\xff";
  model.compile({.optimizer = "sgd", .loss = "mse", .metrics = {named}});
  check_message<UnsupportedError>([&] { model.save(folder / "m.keras"); }, {"UTF-8"});
}

TEST_CASE("keras nesting: a description fits the weights in every format") {
  const TemporaryFolder folder;
  nn::Model model = nested_model(1);
  const nn::Dataset x({ramp({3, 4}), Tensor::full({3, 4}, 0.5f)}, {});
  model.save(folder / "m.json");
  model.save(folder / "m.h5");
  model.save(folder / "m.keras");
  model.save_weights(folder / "w.h5");
  model.save_weights(folder / "w.weights.h5");
  for (const char* description : {"m.json", "m.h5", "m.keras"}) {
    for (const char* weights : {"m.h5", "m.keras", "w.h5", "w.weights.h5"}) {
      CAPTURE(description);
      CAPTURE(weights);
      nn::Model loaded = nn::load_model(folder / description);
      loaded.load_weights(folder / weights);
      check_same(model, loaded, x);
      CHECK(loaded.summary() == model.summary());
    }
  }
}

TEST_CASE("keras nesting: each call of a model stands twice where Keras 2 and 3 both read") {
  nn::Model model = nested_model(1);
  const json config = json::parse(model.to_json())["config"];
  const auto& layers = config["layers"];
  const auto tower =
      std::ranges::find_if(layers, [](const json& l) { return l["name"] == "tower"; });
  REQUIRE(tower != layers.end());
  const json& calls = (*tower)["inbound_nodes"];
  REQUIRE(calls.size() == 4);
  CHECK(calls[0] == calls[1]);
  CHECK(calls[2] == calls[3]);
  CHECK(calls[1] != calls[2]);
  // Keras 2 finds the first of two by that number, and Keras 3 the second.
  CHECK(config["output_layers"][1] == json::array({"tower", 3, 0}));
  // As a layer it returns a tensor, and no list of one.
  CHECK((*tower)["config"]["output_layers"][0].is_string());
  CHECK((*tower)["config"]["layers"][2]["inbound_nodes"].size() == 2);
  // The second calls are not made when the file is read, and not written once more.
  nn::Model again = nn::model_from_json(model.to_json());
  CHECK(again.to_json() == model.to_json());
  CHECK(again.network().calls.size() == model.network().calls.size());
}

TEST_CASE("keras nesting: two calls on the same input are two, if both are needed") {
  const nn::Input i({4}), x({4});
  const nn::Model noisy(i, nn::Dropout(0.5)(nn::Dense(4)(i)), {.name = "noisy"});
  nn::Model model(x, nn::Subtract()({noisy(x), noisy(x)}));
  nn::Model again = nn::model_from_json(model.to_json());
  CHECK(again.network().calls.size() == 3);
}

TEST_CASE("keras nesting: a Sequential with a layer called twice is written as Functional") {
  const TemporaryFolder folder;
  const nn::Layer dense = nn::Dense(4, {.activation = "tanh", .input_shape = {4}});
  nn::Sequential inner({dense, dense}, {.name = "inner"});
  const nn::Input x({4});
  nn::Model model(x, nn::Dense(2)(inner(x)), {.seed = 3});
  const nn::Dataset data(ramp({3, 4}));
  for (const char* name : {"m.h5", "m.keras", "m.json"}) {
    CAPTURE(name);
    model.save(folder / name);
    nn::Model loaded = nn::load_model(folder / name);
    if (std::string_view(name) == "m.json") {
      model.save_weights(folder / "w.weights.h5");
      loaded.load_weights(folder / "w.weights.h5");
    }
    check_same(model, loaded, data);
    check_names(json::parse(loaded.to_json())["config"]);
    CHECK(loaded.layers()[0].layer.as<nn::NestedModel>()->type == "Functional");
  }
}

}  // namespace weft::test
