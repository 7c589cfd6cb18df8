// Keras' files of all generations: samples that real Keras reads with the results beside them, and
// the forms that configs have had.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "io/keras/hdf5.hpp"
#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "ops/ops.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

std::filesystem::path sample(const char* name) {
  return std::filesystem::path(WEFT_SOURCE_DIR "/tests/data/keras") / name;
}

Tensor repeating(const Shape& shape, int period) {
  Tensor tensor({DType::f32, shape});
  int i = 0;
  for (float& number : tensor.data<float>()) {
    number = static_cast<float>(i++ % period) / static_cast<float>(period);
  }
  return tensor;
}

void check_sample(nn::Model& model, const nn::Dataset& x, const char* name) {
  const auto all = nlohmann::json::parse(content(sample("expected.json")));
  const auto& expected = all["outputs"][name];
  const auto got = model.predict_all(x, {.verbose = 0});
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    std::size_t at = 0;
    for (const auto& row : expected[i]) {
      for (const float number : row) {
        CHECK(std::abs(got[i].data<float>()[at++] - number) < 1e-5f);
      }
    }
    CHECK(at == got[i].data<float>().size());
  }
}

/// Its axes in another order: axis i of the result is axis order[i].
Tensor transposed(const Tensor& tensor, const std::vector<int>& order) {
  std::vector<std::int64_t> sizes, at(order.size(), 0);
  for (const int axis : order) sizes.push_back(tensor.shape()[axis]);
  Tensor result({DType::f32, Shape(sizes)});
  for (float& number : result.data<float>()) {
    std::vector<std::int64_t> from(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) from[static_cast<std::size_t>(order[i])] = at[i];
    std::int64_t place = 0;
    for (std::size_t axis = 0; axis < at.size(); ++axis) {
      place = place * tensor.shape()[axis] + from[axis];
    }
    number = tensor.data<float>()[static_cast<std::size_t>(place)];
    for (std::size_t i = at.size(); i-- > 0 && ++at[i] == sizes[i];) at[i] = 0;
  }
  return result;
}

/// An .h5 as Keras 1 wrote it, of one layer "c" with these weights.
std::filesystem::path keras1_file(const std::filesystem::path& file, const std::string& layer,
                                  const Tensor& kernel, const Tensor& bias,
                                  const std::string& backend = "") {
  NewHdf5File hdf5 = NewHdf5File::create(file);
  {
    const NewHdf5Group root = hdf5.root();
    root.set_text("model_config", R"({"class_name":"Sequential","config":[)" + layer + "]}");
    const NewHdf5Group weights = root.create_group("model_weights");
    weights.set_texts("layer_names", {"c"});
    if (!backend.empty()) {
      weights.set_text("backend", backend);
      weights.set_text("keras_version", "1.2.2");
    }
    const NewHdf5Group own = weights.create_group("c");
    own.set_texts("weight_names", {"c_W", "c_b"});
    own.write("c_W", kernel);
    own.write("c_b", bias);
  }
  hdf5.close();
  return file;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::ranges::equal(a.data<float>(), b.data<float>());
}

/// A Sequential of these layers.
nn::Model sequential(const std::string& layers) {
  return nn::model_from_json(R"({"class_name":"Sequential","config":)" + layers + "}");
}

TEST_CASE("keras generations: Keras 2 writes an activation by the name of TensorFlow's function") {
  for (const char* name : {"softmax", "log_softmax"}) {
    CAPTURE(name);
    const auto json = [&](const std::string& activation) {
      return fmt::format(
          R"({{"class_name":"Sequential","config":{{"name":"m","layers":[{{"class_name":"InputLayer",)"
          R"("config":{{"batch_input_shape":[null,4],"name":"i"}}}},{{"class_name":"Dense","config":)"
          R"({{"name":"d","units":3,"activation":"{}"}}}}]}}}})",
          activation);
    };
    const std::string expected = nn::model_from_json(json(name)).to_json();
    CHECK(nn::model_from_json(json(std::string(name) + "_v2")).to_json() == expected);
  }
}

}  // namespace

TEST_CASE("keras generations: samples predict what Keras 3 predicts of them") {
  const nn::Dataset x(repeating({2, 8, 8, 1}, 17));
  for (const char* name : {"sequential.h5", "sequential.keras"}) {
    CAPTURE(name);
    nn::Model model = nn::load_model(sample(name));
    check_sample(model, x, name);
    REQUIRE(model.is_compiled());
    CHECK(model.training().optimizer.as<nn::Adam>() != nullptr);
    CHECK(model.training().loss.name == "categorical_crossentropy");
    REQUIRE(model.training().metrics.size() == 1);
    CHECK(model.training().metrics[0].name == "accuracy");
  }
  nn::Model model = nn::load_model(sample("sequential.keras"));
  CHECK(model.iterations() == 5);
  int slots = 0;
  for (const std::string& name : model.optimizer_variables()) {
    for (const auto& [slot, value] : {std::pair{"/momentum/", 0.5f}, {"/velocity/", 0.25f}}) {
      if (name.find(slot) == std::string::npos) continue;
      ++slots;
      const Tensor kept = model.variables().get(name);
      for (const float number : kept.data<float>()) {
        CHECK(number == value);
      }
    }
  }
  CHECK(slots > 4);
  for (const char* weights : {"sequential_weights.h5", "sequential.weights.h5", "sequential.h5"}) {
    CAPTURE(weights);
    nn::Model other = nn::model_from_json(model.to_json());
    other.load_weights(sample(weights));
    check_sample(other, x, "sequential.h5");
  }
  nn::Model two = nn::load_model(sample("functional.h5"));
  CHECK_FALSE(two.is_compiled());
  check_sample(two, nn::Dataset({repeating({2, 6, 6, 2}, 13), repeating({2, 6, 6, 2}, 11)}, {}),
               "functional.h5");
}

TEST_CASE("keras generations: arguments of Keras 1 are read under their later names") {
  nn::Model model = sequential(R"([
    {"class_name":"Convolution2D","config":{"name":"c","batch_input_shape":[null,3,9,8],
      "input_dtype":"float32","trainable":true,"nb_filter":4,"nb_row":3,"nb_col":2,
      "init":"glorot_uniform","activation":"relu","border_mode":"same","subsample":[2,1],
      "dim_ordering":"th","bias":false,"W_constraint":{"name":"MaxNorm","m":2,"axis":0},
      "W_regularizer":{"name":"L1L2Regularizer","l1":0.0,"l2":0.25},"b_regularizer":null,
      "activity_regularizer":null,"b_constraint":null}},
    {"class_name":"BatchNormalization","config":{"name":"b","trainable":true,"mode":0,"axis":1,
      "epsilon":0.002,"momentum":0.9,"gamma_regularizer":null,"beta_regularizer":null}},
    {"class_name":"ZeroPadding2D","config":{"name":"z","padding":[1,0,2,3],"dim_ordering":"th"}},
    {"class_name":"MaxPooling2D","config":{"name":"m","pool_size":[2,2],"strides":[1,2],
      "border_mode":"valid","dim_ordering":"th"}},
    {"class_name":"Dropout","config":{"name":"d","p":0.25}},
    {"class_name":"Flatten","config":{"name":"f"}},
    {"class_name":"Dense","config":{"name":"e","output_dim":5,"input_dim":120,"init":"normal",
      "activation":"linear","bias":true,"W_regularizer":{"name":"WeightRegularizer","l1":0.5,"l2":0}}},
    {"class_name":"PReLU","config":{"name":"p","init":"zero"}},
    {"class_name":"GaussianNoise","config":{"name":"g","sigma":0.5}}])");
  const auto& conv = *model.get_layer("c").as<nn::Conv2D>();
  CHECK(conv.filters == 4);
  CHECK(conv.kernel_size == nn::Size2D(3, 2));
  CHECK(conv.config.strides == nn::Size2D(2, 1));
  CHECK(conv.config.padding == "same");
  CHECK(conv.config.data_format == "channels_first");
  CHECK_FALSE(conv.config.use_bias);
  CHECK(conv.config.kernel_regularizer.as<nn::L1L2>()->l2 == 0.25);
  CHECK(conv.config.kernel_constraint.as<nn::MaxNorm>()->max_value == 2);
  CHECK(model.get_layer("b").as<nn::BatchNormalization>()->config.axis == 1);
  CHECK(model.get_layer("b").as<nn::BatchNormalization>()->config.momentum == 0.9);
  CHECK(model.get_layer("z").as<nn::ZeroPadding2D>()->padding.width.after == 3);
  CHECK(model.get_layer("m").as<nn::MaxPooling2D>()->config.strides == nn::Size2D(1, 2));
  CHECK(model.get_layer("d").as<nn::Dropout>()->rate == 0.25);
  CHECK(model.get_layer("e").as<nn::Dense>()->units == 5);
  CHECK(model.get_layer("e").as<nn::Dense>()->config.kernel_regularizer.as<nn::L1L2>()->l1 == 0.5);
  CHECK(model.get_layer("g").as<nn::GaussianNoise>()->stddev == 0.5);
  CHECK(model.output_shape() == Shape{5});
}

TEST_CASE("keras generations: Conv1D of Keras 1, whose kernels had two dimensions") {
  const TemporaryFolder folder;
  const std::string layer = R"({"class_name":"Convolution1D","config":{"name":"c","nb_filter":4,
    "batch_input_shape":[null,7,2],"filter_length":3,"border_mode":"same","subsample_length":2,
    "activation":"relu","init":"uniform","bias":true,"input_dim":2,"input_length":7,
    "W_regularizer":null,"b_regularizer":null,"W_constraint":null,"b_constraint":null}})";
  const Tensor kernel = repeating({3, 2, 4}, 23), bias = repeating({4}, 4);
  const Tensor now = kernel.reshaped({3, 1, 2, 4});
  Tensor backwards({DType::f32, {3, 1, 2, 4}});
  for (std::size_t i = 0; i < 24; ++i) {
    backwards.data<float>()[i] = kernel.data<float>()[(2 - i / 8) * 8 + i % 8];
  }
  for (const auto& [stored, backend] : {std::pair{now, "tensorflow"},
                                        {now, ""},
                                        // Until 1.1, [filters,in,length,1].
                                        {transposed(now, {3, 2, 0, 1}), ""},
                                        {backwards, "theano"}}) {
    CAPTURE(backend);
    nn::Model model = nn::load_model(keras1_file(folder / "old.h5", layer, stored, bias, backend));
    const auto& conv = *model.get_layer("c").as<nn::Conv1D>();
    CHECK(conv.filters == 4);
    CHECK(conv.config.padding == "same");
    CHECK(conv.config.strides == 2);
    CHECK(same(model.get_weights()[0], kernel));
    CHECK(same(model.get_weights()[1], bias));
    CHECK(model.output_shape() == Shape{4, 4});
  }
}

TEST_CASE("keras generations: Deconvolution2D of Keras 1, which was told its output's size") {
  const TemporaryFolder folder;
  // As many channels go in as come out: only the version says how the kernel lies.
  const Tensor kernel = repeating({3, 2, 4, 4}, 89), bias = repeating({4}, 4);
  const auto layer = [](bool first, const char* mode, std::int64_t height, std::int64_t width) {
    const std::string sizes = first ? fmt::format("[null,4,{},{}]", height, width)
                                    : fmt::format("[null,{},{},4]", height, width);
    return fmt::format(R"({{"class_name":"Deconvolution2D","config":{{"name":"c","nb_filter":4,
      "batch_input_shape":{},"nb_row":3,"nb_col":2,"border_mode":"{}","subsample":[2,3],
      "output_shape":{},"dim_ordering":"{}","activation":"linear","bias":true,"init":"one"}}}})",
                       first ? "[null,4,5,6]" : "[null,5,6,4]", mode, sizes, first ? "th" : "tf");
  };
  const auto load = [&](bool first, const char* mode, std::int64_t height, std::int64_t width) {
    const Tensor stored =
        transposed(kernel, first ? std::vector{2, 3, 0, 1} : std::vector{0, 1, 3, 2});
    nn::Model model = nn::load_model(
        keras1_file(folder / "old.h5", layer(first, mode, height, width), stored, bias));
    CHECK(same(model.get_weights()[0], kernel));
    CHECK(model.output_shape() == (first ? Shape{4, height, width} : Shape{height, width, 4}));
    return model.get_layer("c").as<nn::Conv2DTranspose>()->config.output_padding;
  };
  for (const bool first : {false, true}) {
    CAPTURE(first);
    CHECK_FALSE(load(first, "valid", 11, 18));
    CHECK_FALSE(load(first, "same", 10, 18));
    CHECK(load(first, "valid", 12, 17) == nn::Size2D(1, 0));
    CHECK(load(first, "valid", 11, 17) == nn::Size2D(0, 0));
  }
  check_message<UnsupportedError>([&] { load(false, "same", 9, 18); },
                                  {"\"c\"", "output_shape", "9", "subsample"});
  check_message<IoError>([&] { load(false, "valid", 0, 18); }, {"\"c\"", "0"});
}

TEST_CASE("keras generations: ThresholdedReLU is a ReLU with a threshold") {
  nn::Model model = sequential(R"([{"class_name":"ThresholdedReLU","config":{"name":"t",
    "batch_input_shape":[null,3],"theta":{"type":"ndarray","value":0.75}}}])");
  Tensor x({DType::f32, {1, 3}});
  std::ranges::copy(std::array{0.75f, 0.5f, 2.0f}, x.data<float>().begin());
  const Tensor y = model.predict(x, {.verbose = 0});
  CHECK(std::ranges::equal(y.data<float>(), std::array{0.0f, 0.0f, 2.0f}));
}

TEST_CASE("keras generations: the modes of Keras 1's Merge") {
  const auto merge = [](const std::string& mode, const std::string& more) {
    return nn::model_from_json(R"({"class_name":"Model","config":{"name":"m","layers":[
      {"class_name":"InputLayer","name":"a","config":{"batch_input_shape":[null,2,3],"input_dtype":"float32","sparse":false,"name":"a"},"inbound_nodes":[]},
      {"class_name":"InputLayer","name":"b","config":{"batch_input_shape":[null,2,3],"input_dtype":"float32","sparse":false,"name":"b"},"inbound_nodes":[]},
      {"class_name":"Merge","name":"j","config":{"name":"j","layers":[],"mode":")" +
                               mode + R"(","mode_type":"raw",)" + more +
                               R"("output_shape":null,"output_shape_type":"raw","output_mask":null,
       "output_mask_type":"raw","arguments":{}},"inbound_nodes":[[["a",0,0],["b",0,0]]]}],
      "input_layers":[["a",0,0],["b",0,0]],"output_layers":[["j",0,0]]}})");
  };
  const Tensor a = repeating({1, 2, 3}, 6), b = repeating({1, 2, 3}, 4);
  const std::string usual = R"("concat_axis":-1,"dot_axes":-1,)";
  using Numbers = std::function<float(float, float)>;
  for (const auto& [mode, f] : {std::pair<std::string, Numbers>{"sum", std::plus<float>()},
                                {"mul", std::multiplies<float>()},
                                {"ave", [](float p, float q) { return (p + q) / 2; }},
                                {"max", [](float p, float q) { return std::max(p, q); }}}) {
    CAPTURE(mode);
    nn::Model model = merge(mode, usual);
    const Tensor y = model.predict_all(nn::Dataset({a, b}, {}), {.verbose = 0})[0];
    REQUIRE(y.shape() == a.shape());
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(y.data<float>()[i] == doctest::Approx(f(a.data<float>()[i], b.data<float>()[i])));
    }
  }
  nn::Model joined = merge("concat", R"("concat_axis":1,"dot_axes":-1,)");
  CHECK(joined.get_layer("j").as<nn::Concatenate>()->axis == 1);
  CHECK(joined.output_shape() == Shape{4, 3});
  for (const char* axes : {"2", "[2,2]", "[[2],[2]]"}) {
    CAPTURE(axes);
    nn::Model dot = merge("dot", R"("concat_axis":-1,"dot_axes":)" + std::string(axes) + ",");
    CHECK(dot.output_shape() == Shape{2, 2});
    const Tensor y = dot.predict_all(nn::Dataset({a, b}, {}), {.verbose = 0})[0];
    float sum = 0;
    for (std::size_t i = 0; i < 3; ++i) sum += a.data<float>()[i] * b.data<float>()[3 + i];
    CHECK(y.data<float>()[1] == doctest::Approx(sum));
  }
}

TEST_CASE("keras generations: what Keras 1 has and Weft does not is named") {
  const auto layer = [](const std::string& text) {
    return [text] {
      sequential(
          R"([{"class_name":"InputLayer","config":{"batch_input_shape":[null,8,4],"name":"i"}},)" +
          text + "]");
    };
  };
  check_message<UnsupportedError>(
      layer(R"({"class_name":"BatchNormalization","config":{"name":"b","mode":1}})"),
      {"\"b\"", "mode", "1"});
  check_message<UnsupportedError>(
      layer(R"({"class_name":"Merge","config":{"name":"m","mode":"cos","dot_axes":1}})"),
      {"\"m\"", "cos"});
  check_message<UnsupportedError>(
      layer(R"({"class_name":"Merge","config":{"name":"m","mode":"sum","layers":[{}]}})"),
      {"\"m\"", "several inputs"});
  check_message<UnsupportedError>(
      layer(R"({"class_name":"Highway","config":{"name":"h","init":"uniform"}})"), {"Highway"});
  check_message<UnsupportedError>(
      layer(
          R"({"class_name":"Embedding","config":{"name":"e","input_dim":3,"output_dim":2,"dropout":0.5}})"),
      {"\"e\"", "dropout", "0.5"});
}

TEST_CASE("keras generations: arguments of later Keras that say nothing are let pass, others not") {
  const auto layer = [](const std::string& text) {
    return sequential(
        R"([{"class_name":"InputLayer","config":{"batch_shape":[null,8,8,4],"name":"i","optional":false}},)" +
        text + "]");
  };
  CHECK_NOTHROW(layer(R"({"class_name":"BatchNormalization","config":{"name":"b","axis":[3],
    "renorm":false,"renorm_clipping":null,"renorm_momentum":0.99,"synchronized":false,"fused":true,
    "virtual_batch_size":null,"beta_initializer":{"class_name":"Zeros","config":{"dtype":"float32"}}}})"));
  CHECK_THROWS_AS(
      layer(R"({"class_name":"BatchNormalization","config":{"name":"b","renorm":true}})"),
      UnsupportedError);
  CHECK_NOTHROW(layer(R"({"class_name":"DepthwiseConv2D","config":{"name":"d","kernel_size":[2,2],
    "groups":1,"kernel_initializer":"uniform"}})"));
  CHECK_THROWS_AS(
      layer(
          R"({"class_name":"Conv2DTranspose","config":{"name":"d","filters":2,"kernel_size":[2,2],"groups":2}})"),
      UnsupportedError);
  CHECK_THROWS_AS(
      sequential(
          R"([{"class_name":"InputLayer","config":{"batch_shape":[null,8],"sparse":true,"name":"i"}}])"),
      UnsupportedError);
  nn::Model dropout = layer(
      R"({"class_name":"Dropout","config":{"name":"d","rate":0.5,"noise_shape":[null,1,1,4]}})");
  CHECK(dropout.get_layer("d").as<nn::Dropout>()->config.noise_shape ==
        std::vector<std::int64_t>{-1, 1, 1, 4});
  CHECK(dropout.to_json().find(R"("noise_shape":[null,1,1,4])") != std::string::npos);
  CHECK(
      layer(
          R"({"class_name":"LeakyReLU","config":{"name":"l","alpha":{"type":"ndarray","value":0.25}}})")
          .get_layer("l")
          .as<nn::LeakyReLU>()
          ->config.negative_slope == 0.25);
  CHECK_NOTHROW(layer(R"({"class_name":"Softmax","config":{"name":"s","axis":[1,2]}})"));
  CHECK_THROWS_AS(layer(R"({"class_name":"Softmax","config":{"name":"s","axis":[1,2]}})").to_json(),
                  UnsupportedError);
}

TEST_CASE("keras generations: where calls of a model within a model are counted from") {
  const auto model = [](const std::string& version, int inner_call, int output_call) {
    const std::string inner = R"({"class_name":"Functional","config":{"name":"t","layers":[
      {"class_name":"InputLayer","name":"x","config":{"batch_input_shape":[null,4],"name":"x"},"inbound_nodes":[]},
      {"class_name":"Activation","name":"r","config":{"name":"r","activation":"relu"},"inbound_nodes":[["x",0,0,{}]]}],
      "input_layers":[["x",0,0]],"output_layers":[["r",0,0]]},"name":"t",
      "inbound_nodes":[[["a",0,0,{}]],[["b",0,0,{"mask":[null,[null]]}]]]})";
    return nn::model_from_json(R"({"keras_version":")" + version +
                               R"(","class_name":"Model","config":{"name":"m","layers":[
      {"class_name":"InputLayer","name":"a","config":{"batch_input_shape":[null,4],"name":"a"},"inbound_nodes":[]},
      {"class_name":"InputLayer","name":"b","config":{"batch_input_shape":[null,4],"name":"b"},"inbound_nodes":[]},)" +
                               inner +
                               R"(,{"class_name":"Dense","name":"d","config":{"name":"d","units":2},
      "inbound_nodes":[[["t",)" +
                               std::to_string(inner_call) + R"(,0,{}]]]}],
      "input_layers":[["a",0,0],["b",0,0]],"output_layers":[["d",0,0],["t",)" +
                               std::to_string(output_call) + R"(,0]]}})");
  };
  const Tensor a = repeating({2, 4}, 3), b = repeating({2, 4}, 5);
  // Keras 2 counts from 1, Keras 3 from 1 where the model's output is one of the whole.
  for (const auto& [version, inner, output] :
       {std::tuple{"2.15.0", 1, 2}, {"3.15.1", 0, 2}, {"2.15.0", 0, 1}}) {
    CAPTURE(version);
    nn::Model outer = model(version, inner, output);
    const auto y = outer.predict_all(nn::Dataset({a, b}, {}), {.verbose = 0});
    CHECK(std::ranges::equal(y[1].data<float>(), b.data<float>()));
  }
}

TEST_CASE("keras generations: operations are no layers") {
  const auto text = [](const std::string& name, const std::string& second) {
    const std::string tensor =
        R"({"class_name":"__keras_tensor__","config":{"shape":[null,4],"dtype":"float32","keras_history":["a",0,0]}})";
    return R"({"module":"keras.src.models.functional","class_name":"Functional","config":{"name":"m","layers":[
      {"module":"keras.layers","class_name":"InputLayer","name":"a","config":{"batch_shape":[null,4],"name":"a"},"inbound_nodes":[]},
      {"module":"keras.src.ops.numpy","class_name":")" +
           name + R"(","name":"o","config":{"name":"o"},"inbound_nodes":[{"args":[)" + tensor +
           "," + (second.empty() ? tensor : second) + R"(],"kwargs":{}}]}],
      "input_layers":["a",0,0],"output_layers":["o",0,0]}})";
  };
  nn::Model sum = nn::model_from_json(text("Add", ""));
  const Tensor x = repeating({1, 4}, 3);
  CHECK(sum.predict(x, {.verbose = 0}).data<float>()[1] == 2 * x.data<float>()[1]);
  check_message<UnsupportedError>([&] { nn::model_from_json(text("Add", "2.0")); },
                                  {"\"o\"", "2.0", "no tensor"});
  check_message<UnsupportedError>([&] { nn::model_from_json(text("Dot", "")); },
                                  {"\"o\"", "operation", "Dot"});
}

TEST_CASE(
    "keras generations: an operation of unlike ranks is no layer, though it is called as one") {
  const auto text = [](const std::string& module) {
    return R"({"module":"keras.src.models.functional","class_name":"Functional","config":{"name":"m","layers":[
      {"module":"keras.layers","class_name":"InputLayer","name":"a","config":{"batch_shape":[null,4],"name":"a"},"inbound_nodes":[]},
      {"module":"keras.layers","class_name":"InputLayer","name":"b","config":{"batch_shape":[null,4,4],"name":"b"},"inbound_nodes":[]},
      {"module":")" +
           module +
           R"(","class_name":"Multiply","name":"o","config":{"name":"o"},"inbound_nodes":[[["a",0,0,{}],["b",0,0,{}]]]}],
      "input_layers":[["a",0,0],["b",0,0]],"output_layers":["o",0,0]}})";
  };
  CHECK_NOTHROW(nn::model_from_json(text("keras.layers")));
  check_message<UnsupportedError>([&] { nn::model_from_json(text("keras.src.ops.numpy")); },
                                  {"\"o\"", "[4]", "[4,4]", "with layers"});
}

TEST_CASE("keras generations: of an object of outputs, their keys say the order") {
  const std::string layers =
      R"({"keras_version":"3.15.1","class_name":"Functional","config":{"name":"m","layers":[
      {"class_name":"InputLayer","name":"a","config":{"batch_shape":[null,4],"name":"a"},"inbound_nodes":[]},
      {"class_name":"Dense","name":"q","config":{"name":"q","units":3},"inbound_nodes":[[["a",0,0,{}]]]},
      {"class_name":"Dense","name":"p","config":{"name":"p","units":3},"inbound_nodes":[[["a",0,0,{}]]]}],
      "input_layers":{"x":["a",0,0]},"output_layers":)";
  nn::Model sorted = nn::model_from_json(layers + R"({"zeta":["q",0,0],"alpha":["p",0,0]}}})");
  CHECK(sorted.output_names() == std::vector<std::string>{"p", "q"});
  nn::Model listed = nn::model_from_json(layers + R"([["q",0,0],["p",0,0]]}})");
  CHECK(listed.output_names() == std::vector<std::string>{"q", "p"});
}

TEST_CASE("keras generations: a class of the user's is not what Keras calls so") {
  const auto text = [](const std::string& class_name, const std::string& more) {
    return R"({"class_name":"Sequential","config":{"name":"m","layers":[{"class_name":")" +
           class_name + R"(",)" + more +
           R"("config":{"name":"d","units":2,"batch_input_shape":[null,3]}}]}})";
  };
  CHECK_NOTHROW(nn::model_from_json(text("Dense", R"("module":"keras.layers",)")));
  for (const std::string& own :
       {text("my>Dense", ""),
        text("Dense", R"("module":"builtins","registered_name":"my>Dense",)")}) {
    check_message<UnsupportedError>([&] { nn::model_from_json(own); },
                                    {"no layer \"my>Dense\"", "register_layer<T>(\"Dense\")"});
  }
  check_message<UnsupportedError>(
      [&] {
        nn::model_from_json(text("Dense", R"("module":"__main__","registered_name":"Dense",)"));
      },
      {"__main__>Dense"});
  check_message<UnsupportedError>(
      [] { nn::model_from_json(R"({"class_name":"my>Sequential","config":{"layers":[]}})"); },
      {"my>Sequential"});
  // Of a layer that the program has registered, the package may be any.
  struct Doubled {
    static std::string_view name() { return "Doubled"; }
    void fields(nn::Fields&) {}
    Value operator()(nn::Scope&, Value x) const { return x + x; }
  };
  nn::register_layer<Doubled>();
  nn::Model doubled = nn::model_from_json(
      R"({"class_name":"Sequential","config":{"name":"m","layers":[
      {"class_name":"InputLayer","config":{"batch_shape":[null,4],"name":"a"}},
      {"class_name":"my>Doubled","config":{"name":"h"}}]}})");
  const Tensor x = repeating({1, 4}, 3);
  CHECK(doubled.predict(x, {.verbose = 0}).data<float>()[2] == 2 * x.data<float>()[2]);
}

TEST_CASE("keras generations: what is written for Keras 2 and 3 means the same there") {
  const TemporaryFolder folder;
  nn::Sequential model({nn::Dense(3, {.activation = "softmax", .input_shape = {4}})});
  const auto training = [&](nn::Optimizer optimizer, const char* loss) {
    model.compile({.optimizer = std::move(optimizer), .loss = loss, .metrics = {"accuracy"}});
    model.save(folder / "m.h5");
    return nlohmann::json::parse(*Hdf5File::open(folder / "m.h5").root().text("training_config"));
  };
  const auto sparse = training(nn::RMSprop{}, "sparse_categorical_crossentropy");
  CHECK(sparse["metrics"][0]["class_name"] == "SparseCategoricalAccuracy");
  CHECK(sparse["metrics"][0]["config"]["name"] == "accuracy");
  nn::Model loaded = nn::load_model(folder / "m.h5");
  CHECK(loaded.training().metrics[0].name == "accuracy");
  nn::Optimizer clipped = nn::RMSprop{};
  clipped.config.clipnorm = 1;
  clipped.config.ema_overwrite_frequency = 100;  // as Keras 2.15 has it, without use_ema
  const auto one_hot = training(clipped, "categorical_crossentropy");
  CHECK(one_hot["metrics"][0] == "accuracy");
  CHECK(one_hot["optimizer_config"]["config"]["clipnorm"] == 1);
  CHECK(one_hot.dump().find("ema") == std::string::npos);

  nn::Sequential sparsemax({nn::Dense(3, {.activation = "sparsemax", .input_shape = {4}})});
  for (const char* name : {"s.h5", "s.keras"}) {
    check_message<UnsupportedError>([&] { sparsemax.save(folder / name); },
                                    {"sparsemax", "sum to 1"});
  }
  check_message<UnsupportedError>(
      [] {
        nn::model_from_json(
            R"({"class_name":"Sequential","config":{"layers":[{"class_name":"Activation","config":{"name":"s","activation":"sparsemax","batch_input_shape":[null,3]}}]}})");
      },
      {"sparsemax"});
}

}  // namespace weft::test
