// Keras' files of 2.12 to 2.15, which keep layers under other names; and what Weft does not have.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
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

}  // namespace

TEST_CASE("keras stores: files of Keras 2.13 to 2.15 predict what Keras predicted") {
  for (const char* file :
       {"keras213-default-names/model.keras", "keras213-windows-names/model.keras",
        "name-is-prefix/model.h5", "nested-json-and-weights/model.h5"}) {
    CAPTURE(file);
    nn::Model model = nn::load_model(sample(file));
    check_predicts(model, fs::path(file).parent_path().string());
  }
  for (const std::string folder : {"keras213-default-names", "keras214-named-layers"}) {
    CAPTURE(folder);
    nn::Model model = nn::load_model(sample(folder) / "model.json");
    model.load_weights(sample(folder) / "model.weights.h5");
    check_predicts(model, folder);
  }
}

TEST_CASE(
    "keras stores: weights that are not there or do not fit are named, by the file's scheme") {
  const auto layers = [](std::int64_t units) {
    return nn::Sequential({nn::Conv2D(3, 3, {.input_shape = {6, 6, 1}}), nn::Conv2D(4, 3),
                           nn::BatchNormalization(), nn::Flatten(), nn::Dense(units),
                           nn::Dense(2)});
  };
  const fs::path file = sample("keras213-default-names/model.weights.h5");
  nn::Sequential fits = layers(5), other = layers(6);
  CHECK_NOTHROW(fits.load_weights(file));
  check_message<ShapeError>([&] { other.load_weights(file); },
                            {"dense/kernel", "_layer_checkpoint_dependencies/dense"});
  nn::Sequential more = layers(5);
  more.add(nn::Dense(2));
  check_message<IoError>([&] { more.load_weights(file); }, {"dense_4"});
  nn::Sequential wide = layers(6);
  wide.weights();
  CHECK_NOTHROW(wide.load_weights(file, {.skip_mismatch = true}));
  const Tensor kernel = wide.get_weights()[0], read = fits.get_weights()[0];
  CHECK(std::ranges::equal(kernel.data<float>(), read.data<float>()));
}

TEST_CASE("keras stores: a layer of two models is kept once, and counts as each Keras counts it") {
  const TemporaryFolder folder;
  const auto make = [](std::uint64_t seed) {
    const nn::Layer shared = nn::Dense(4);
    const nn::Input i({4}), x({4});
    const nn::Model inner(i, nn::Dense(4)(shared(i)), {.name = "inner"});
    return nn::Model(x, nn::Dense(2)(nn::Add()({inner(x), shared(x)})), {.seed = seed});
  };
  nn::Model model = make(1);
  const nn::Dataset x(ramp({3, 4}));
  for (const char* name : {"w.weights.h5", "w.h5"}) {
    CAPTURE(name);
    model.save_weights(folder / name);
    nn::Model other = make(2);
    other.load_weights(folder / name);
    check_same(model, other, x);
  }
  for (const char* name : {"m.keras", "m.h5"}) {  // where it is two layers
    CAPTURE(name);
    model.save(folder / name);
    nn::Model loaded = nn::load_model(folder / name), other = make(2);
    check_same(model, loaded, x);
    other.load_weights(folder / name);
    check_same(model, other, x);
  }
  // As 2.15 writes it, where the shared layer takes no second number.
  NewHdf5File hdf5 = NewHdf5File::create(folder / "old.weights.h5");
  {
    const Hdf5File written = Hdf5File::open(folder / "w.weights.h5");
    const auto copy = [&](const std::string& from, const std::string& to) {
      const Hdf5Group vars = written.root().group(from + "/vars");
      const NewHdf5Group group = hdf5.root().create_group(to + "/vars");
      for (const std::string& place : vars.children()) group.write(place, vars.array(place));
    };
    copy("layers/functional/layers/dense", "layers/functional/layers/dense");
    copy("layers/functional/layers/dense_1", "layers/functional/layers/dense_1");
    copy("layers/functional", "layers/functional");
    copy("layers/dense_1", "layers/dense");
  }
  hdf5.close();
  nn::Model old = make(3);
  old.load_weights(folder / "old.weights.h5");
  check_same(model, old, x);
}

TEST_CASE("keras stores: Keras 2 keeps no learning rate with the optimizer's state") {
  const TemporaryFolder folder;
  const auto make = [] {
    nn::Sequential model({nn::Dense(2, {.input_shape = {4}})}, {.seed = 1});
    model.compile({.optimizer = nn::Adam{.learning_rate = 0.25}, .loss = "mse"});
    return model;
  };
  nn::Sequential model = make();
  for (int i = 0; i < 3; ++i) model.train_on_batch(ramp({3, 4}), ramp({3, 2}));
  model.save_weights(folder / "w.weights.h5");
  NewHdf5File hdf5 = NewHdf5File::create(folder / "old.weights.h5");
  {
    const Hdf5File from = Hdf5File::open(folder / "w.weights.h5");
    const Hdf5Group layer = from.root().group("layers/dense/vars");
    const Hdf5Group optimizer = from.root().group("optimizer/vars");
    const NewHdf5Group dense = hdf5.root().create_group("layers/dense/vars");
    for (const char* place : {"0", "1"}) dense.write(place, layer.array(place));
    const NewHdf5Group vars = hdf5.root().create_group("optimizer/vars");
    vars.write_integer("0", optimizer.integer("0"));
    for (std::size_t i = 2; i < optimizer.children().size(); ++i) {  // 1 is the learning rate
      vars.write(std::to_string(i - 1), optimizer.array(std::to_string(i)));
    }
  }
  hdf5.close();
  nn::Sequential again = make();
  again.load_weights(folder / "old.weights.h5");
  CHECK(again.iterations() == 3);
  CHECK(again.learning_rate() == doctest::Approx(0.25));
  for (const std::string& name : model.optimizer_variables()) {
    const Tensor expected = model.variables().get(name), got = again.variables().get(name);
    CHECK(to_floats(expected) == to_floats(got));
  }
}

TEST_CASE(
    "keras files: a model trained with what Weft does not have is loaded, if one asks for it") {
  const fs::path file = sample("metric-of-ones-own/model.h5");
  check_message<UnsupportedError>([&] { nn::load_model(file); },
                                  {"model.h5", "PSNR", "{.compile = false}"});
  std::string reason;
  nn::Model model =
      nn::load_model(file, {.if_not_compiled = [&](const std::string& why) { reason = why; }});
  CHECK_FALSE(model.is_compiled());
  CHECK(reason.find("PSNR") != std::string::npos);
  check_predicts(model, "metric-of-ones-own");
}

TEST_CASE("keras files: settings of optimizers that Weft does not have are no obstacle either") {
  const TemporaryFolder folder;
  nn::Sequential model({nn::Dense(2, {.input_shape = {4}})});
  model.weights();
  const auto reason = [&](const json& training) {
    model.save(folder / "m.h5");
    std::string said;
    {
      NewHdf5File hdf5 = NewHdf5File::create(folder / "own.h5");
      {
        const Hdf5File from = Hdf5File::open(folder / "m.h5");
        const NewHdf5Group to = hdf5.root();
        const Hdf5Group weights = from.root().group("model_weights");
        to.set_text("keras_version", "2.15.0");
        to.set_text("model_config", *from.root().text("model_config"));
        to.set_text("training_config", training.dump());
        const NewHdf5Group copy = to.create_group("model_weights");
        copy.set_text("keras_version", "2.15.0");
        copy.set_texts("layer_names", weights.texts("layer_names"));
        const NewHdf5Group dense = copy.create_group("dense");
        const Hdf5Group own = weights.group("dense");
        dense.set_texts("weight_names", own.texts("weight_names"));
        for (const std::string& place : own.texts("weight_names")) {
          dense.write(place, own.array(place));
        }
      }
      hdf5.close();
    }
    const nn::Model loaded = nn::load_model(
        folder / "own.h5", {.if_not_compiled = [&](const std::string& why) { said = why; }});
    CHECK(loaded.is_compiled() == said.empty());
    return said;
  };
  const auto adam = [](const json& more) {
    json config{{"learning_rate", 0.01}};
    config.update(more);
    return json{{"class_name", "Adam"}, {"config", config}};
  };
  CHECK(reason({{"optimizer_config", adam(json::object())}, {"loss", "mse"}}).empty());
  for (const auto& [training, text] : std::vector<std::pair<json, const char*>>{
           {{{"optimizer_config", adam({{"lookahead", 5}})}, {"loss", "mse"}}, "lookahead"},
           {{{"optimizer_config", adam({{"learning_rate", "fast"}})}, {"loss", "mse"}}, "fast"},
           {{{"optimizer_config", {{"class_name", "my>Best"}, {"config", {{"x", 1}}}}},
             {"loss", "mse"}},
            "Best"},
           {{{"optimizer_config", "best"}, {"loss", "mse"}}, "best"},
           {{{"optimizer_config", adam(json::object())}, {"loss", "mine"}}, "mine"},
           {{{"optimizer_config", adam(json::object())}, {"loss", {{"nobody", "mse"}}}}, "nobody"},
           {{{"optimizer_config", adam(json::object())}, {"loss", "mse"}, {"metrics", {"mine"}}},
            "mine"},
           {{{"optimizer_config", adam(json::object())},
             {"loss", "mse"},
             {"metrics", {"mae", "mae"}}},
            "mae"}}) {
    CAPTURE(text);
    CHECK(reason(training).find(text) != std::string::npos);
  }
}

TEST_CASE("keras files: activations that are layers here") {
  for (const char* folder : {"activation-is-layer", "hard-sigmoid-keras2"}) {
    CAPTURE(folder);
    nn::Model model = nn::load_model(sample(folder) / "model.h5");
    check_predicts(model, folder);
    const TemporaryFolder there;
    model.save(there / "m.keras");
    nn::Model again = nn::load_model(there / "m.keras");
    check_predicts(again, folder);
  }
  // In a functional model, where the layer is called twice, and its follower's name is taken.
  nn::Model model = nn::model_from_json(
      R"({"keras_version":"2.15.0","class_name":"Functional","config":{"name":"m","layers":[
      {"class_name":"InputLayer","name":"a","config":{"batch_input_shape":[null,4],"name":"a"},"inbound_nodes":[]},
      {"class_name":"Activation","name":"h","config":{"name":"h","activation":{"class_name":"LeakyReLU","config":{"name":"l","alpha":0.5}}},
       "inbound_nodes":[[["a",0,0,{}]],[["h",0,0,{}]]]},
      {"class_name":"Activation","name":"h_leaky_re_lu","config":{"name":"h_leaky_re_lu","activation":"linear"},
       "inbound_nodes":[[["h",1,0,{}]]]}],
      "input_layers":[["a",0,0]],"output_layers":[["h_leaky_re_lu",0,0]]}})");
  const Tensor x = Tensor::full({1, 4}, -2);
  CHECK(model.predict(x, {.verbose = 0}).data<float>()[0] == -0.5f);
  // What regularizes the outputs would be before the activation.
  CHECK_THROWS_AS(
      nn::model_from_json(
          R"({"class_name":"Sequential","config":{"layers":[{"class_name":"Dense","config":{"name":"d",
          "units":2,"batch_input_shape":[null,4],"activity_regularizer":{"class_name":"L2","config":{"l2":0.1}},
          "activation":{"class_name":"LeakyReLU","config":{}}}}]}})"),
      UnsupportedError);
}

TEST_CASE("keras files: what a layer cannot do here is an UnsupportedError") {
  const auto load = [](const std::string& layer) {
    nn::model_from_json(R"({"class_name":"Sequential","config":{"name":"s","layers":[
      {"class_name":"InputLayer","config":{"batch_input_shape":[null,4,4,2],"name":"i"}},)" +
                        layer + "]}}");
  };
  check_message<UnsupportedError>([] { nn::load_model(sample("embedding-mask-zero/model.keras")); },
                                  {"Embedding", "mask_zero", "true"});
  for (const char* name : {"area", "gaussian", "mitchellcubic"}) {
    check_message<UnsupportedError>(
        [&] {
          load(R"({"class_name":"UpSampling2D","config":{"name":"u","interpolation":")" +
               std::string(name) + "\"}}");
        },
        {"\"u\"", name});
  }
  check_message<UnsupportedError>(
      [&] { load(R"({"class_name":"BatchNormalization","config":{"name":"b","axis":[1,3]}})"); },
      {"\"b\"", "[1, 3]"});
  check_message<IoError>(
      [&] { load(R"({"class_name":"UpSampling2D","config":{"name":"u","interpolation":"x"}})"); },
      {"\"u\"", "x"});
}

}  // namespace weft::test
