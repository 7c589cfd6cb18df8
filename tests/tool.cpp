// The program weft, run as its users run it.
#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <vector>

#include "io/model_files.hpp"
#include "io/npy.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"
#include "tests/program.hpp"

#ifdef WEFT_PROGRAM

namespace weft::test {
namespace {

namespace fs = std::filesystem;

struct Sample {
  TemporaryFolder folder{};
  std::string at(std::string_view name) const { return (folder / name).string(); }

  Sample() {
    nn::Sequential model({nn::Dense(3, {.activation = "relu", .input_shape = {4}, .name = "d"}),
                          nn::Dense(2, {.name = "e"})},
                         {.name = "m", .seed = 5});
    model.compile({.optimizer = "adam", .loss = "mse"});
    model.weights();
    model.save(at("m.h5"));
    model.save(at("m.keras"));
    model.save(at("m.json"));
    model.save_weights(at("m.weights.h5"));
    const std::vector<float> x{0, 1, 2, 3, -1, 1, -1, 1, 4, 3, 2, 1};
    write_npy(at("x.npy"), Tensor::of<float>({3, 4}, x));
    y = model.predict(nn::Dataset(Tensor::of<float>({3, 4}, x)), {.verbose = 0});
    const nn::Input a({4}, {.name = "a"}), b({4}, {.name = "b"});
    nn::Model two({a, b}, {nn::Add()({a, b}), nn::Multiply()({a, b})}, {.name = "two"});
    two.save(at("two.keras"));
    nn::Sequential other({nn::Dense(5, {.input_shape = {4}, .name = "d"})});
    other.weights();
    other.save_weights(at("other.weights.h5"));
    files = count();
  }
  std::size_t count() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator{}));
  }
  /// To the last digits: which kernels run, and so the order of sums, is measured on some machines.
  bool is_y(const std::string& file) const {
    const Tensor got = read_npy(file);
    return std::ranges::equal(got.data<float>(), y.data<float>(), [](float a, float b) {
      return std::abs(a - b) <= 1e-5f * std::max(1.0f, std::abs(b));
    });
  }

  Tensor y;
  std::size_t files = 0;
};

TEST_CASE("program: summary, predict and convert") {
  const Sample s;
  for (const char* name : {"m.h5", "m.keras", "m.json"}) {
    const std::string text = check_done({"summary", s.at(name)});
    CHECK(text.find("Model: \"m\"") != std::string::npos);
    CHECK(text.find("d (Dense)") != std::string::npos);
    CHECK(text.find("Total params: 23") != std::string::npos);
  }
  for (const char* name : {"m.h5", "m.keras"}) {
    check_done({"predict", s.at(name), "--input", s.at("x.npy"), "--output", s.at("y.npy")});
    CHECK(s.is_y(s.at("y.npy")));
  }
  check_done({"predict", s.at("m.json"), "--weights", s.at("m.weights.h5"), "--input",
              s.at("x.npy"), "--output", s.at("y2.npy"), "--batch-size", "2"});
  CHECK(s.is_y(s.at("y2.npy")));
  check_done({"predict", s.at("two.keras"), "--input", s.at("x.npy"), "--input", s.at("x.npy"),
              "--output", s.at("sum.npy"), "--output", s.at("product.npy")});
  CHECK(read_npy(s.at("sum.npy")).data<float>()[3] == 6);
  CHECK(read_npy(s.at("product.npy")).data<float>()[3] == 9);

  check_done({"convert", s.at("m.h5"), s.at("new.keras")});
  check_done({"convert", s.at("new.keras"), s.at("new.h5")});
  check_done({"convert", s.at("new.h5"), s.at("new.json")});
  check_done({"convert", s.at("new.json"), s.at("newer.json")});
  check_done({"convert", s.at("new.h5"), s.at("new.weights.h5")});
  check_done({"convert", s.at("new.h5"), s.at("w.h5"), "--weights-only"});
  // What the model is trained with may be nothing that Weft has.
  nn::Model trained = nn::load_model(s.at("m.h5"));
  trained.compile({.optimizer = "sgd", .loss = "mse"});
  trained.save(s.at("trained.h5"));
  std::string bytes = content(s.at("trained.h5"));
  const auto loss = bytes.find("mean_squared_error");
  REQUIRE(loss != std::string::npos);
  put(s.at("own.h5"), bytes.replace(loss, 18, "a_loss_of_somebody"));
  const Outcome warned = run({"convert", s.at("own.h5"), s.at("out.h5")});
  CHECK(warned.code == 0);
  CHECK(warned.err.starts_with("weft: warning: "));
  for (const char* text : {"own.h5", "a_loss_of_somebody", "out.h5", "--no-compile"}) {
    CHECK(warned.err.find(text) != std::string::npos);
  }
  CHECK_FALSE(nn::load_model(s.at("out.h5")).is_compiled());
  check_done({"convert", s.at("own.h5"), s.at("out.h5"), "--no-compile"});
  check_done({"convert", s.at("own.h5"), s.at("w.h5"), "--weights-only"});
  check_done({"convert", s.at("own.h5"), s.at("out.json")});
  CHECK_FALSE(nn::load_model(s.at("out.h5")).is_compiled());
  for (const char* weights : {"new.weights.h5", "w.h5", "new.keras"}) {
    check_done({"predict", s.at("newer.json"), "--weights", s.at(weights), "--input", s.at("x.npy"),
                "--output", s.at("y3.npy")});
    CHECK(s.is_y(s.at("y3.npy")));
    fs::remove(s.at("y3.npy"));
  }
}

TEST_CASE("program: outputs that are not finite are said, and exit with 1") {
  const Sample s;
  std::vector<float> x{0, 1, NAN, 3, -1, 1, -1, 1, 4, 3, 2, 1};
  write_npy(s.at("lost.npy"), Tensor::of<float>({3, 4}, x));
  const auto predict = [&](const char* model, const char* input, const char* output) {
    return run({"predict", s.at(model), "--input", s.at(input), "--output", s.at(output)});
  };
  const Outcome data = predict("m.h5", "lost.npy", "y1.npy");
  CHECK(data.code == 1);
  CHECK(data.err == fmt::format("weft: {}: 1 of 3 samples hold NaN or an infinity\n"
                                "weft: predict: the outputs of 1 of 3 samples are NaN or infinite; "
                                "they were written all the same\n",
                                s.at("lost.npy")));
  const Tensor y1 = read_npy(s.at("y1.npy"));
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::isnan(y1.data<float>()[i]) == (i < 2));

  nn::Model model = nn::load_model(s.at("m.h5"));
  std::vector<Tensor> weights = model.get_weights();
  weights[0].data<float>()[0] = NAN;
  model.set_weights(weights);
  model.save(s.at("lost.h5"));
  const Outcome weight = predict("lost.h5", "x.npy", "y2.npy");
  CHECK(weight.code == 1);
  CHECK(weight.err.starts_with(fmt::format(
      "weft: {}: the weight \"d/kernel\" holds NaN or an infinity\n", s.at("lost.h5"))));
  const Tensor y2 = read_npy(s.at("y2.npy"));
  for (const float number : y2.data<float>()) CHECK(std::isnan(number));
}

TEST_CASE("program: help and version") {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"--help"}, {"summary", "--help"}, {"predict", "--help"}, {"convert", "--help"}}) {
    CHECK(check_done(arguments).size() > 100);
  }
  const std::string help = check_done({"--help"});
  for (const char* word : {"summary", "predict", "convert", ".keras"}) {
    CHECK(help.find(word) != std::string::npos);
  }
  CHECK(check_done({"--version"}).starts_with("weft "));
}

TEST_CASE("program: used wrongly, it says what would be right, and exits with 2") {
  const Sample s;
  check_fails(2, {}, {"train, evaluate, predict, summary, draw, convert"});
  check_fails(2, {"trian"}, {"trian", "train, evaluate, predict"});
  check_fails(2, {"summary"}, {"MODEL"});
  check_fails(2, {"summary", s.at("m.h5"), "--wieghts", "x"}, {"--wieghts", "--weights"});
  check_fails(2, {"predict", s.at("m.h5"), "--inputs", "x"}, {"--input", "--output"});
  check_fails(2, {"predict", s.at("m.h5"), "--output", "y"}, {"--output requires --input"});
  check_fails(2,
              {"predict", s.at("m.h5"), "--input", s.at("x.npy"), "--output", s.at("y.npy"),
               "--batch-size", "0"},
              {"--batch-size"});
  check_fails(2, {"convert", s.at("m.h5")}, {"OUT"});
  check_fails(2, {"convert", s.at("m.h5"), s.at("m.onnx")}, {"m.onnx", ".keras", ".weights.h5"});
  check_fails(2, {"convert", s.at("m.h5"), s.at("w.keras"), "--weights-only"}, {".weights.h5"});
  check_fails(2, {"predict", s.at("two.keras"), "--input", s.at("x.npy"), "--output", s.at("y")},
              {"2 inputs", "1 --input was given"});
  check_fails(2,
              {"predict", s.at("m.h5"), "--input", s.at("x.npy"), "--output", s.at("y"), "--output",
               s.at("z")},
              {"1 output", "2 --output were given"});
  check_fails(2, {"predict", s.at("m.json"), "--input", s.at("x.npy"), "--output", s.at("y")},
              {"m.json", "no weights", "--weights"});
  check_fails(2, {"convert", s.at("m.json"), s.at("n.h5")}, {"no weights", "--weights"});
  CHECK(s.count() == s.files);
}

TEST_CASE("program: errors are told apart: 1, and 3 for what Weft does not have") {
  const Sample s;
  const std::string none = s.at("none.h5"), y = s.at("y.npy");
  check_fails(1, {"summary", none}, {"none.h5", "no such file"});
  check_fails(1, {"summary", s.folder.path().string()}, {"folder"});
  check_fails(1, {"summary", s.at("x.npy")}, {"x.npy", "no model"});
  check_fails(1, {"summary", s.at("m.weights.h5")}, {"load_weights"});
  check_fails(1, {"predict", s.at("m.h5"), "--input", s.at("none.npy"), "--output", y},
              {"none.npy"});
  check_fails(1, {"predict", s.at("m.h5"), "--input", s.at("m.json"), "--output", y}, {"m.json"});
  check_fails(
      1, {"predict", s.at("m.h5"), "--input", s.at("x.npy"), "--output", s.at("no/such/y.npy")},
      {"y.npy"});
  check_fails(1, {"convert", s.at("m.h5"), s.at("no/such/m.keras")}, {"m.keras"});
  check_fails(1,
              {"predict", s.at("m.h5"), "--weights", s.at("other.weights.h5"), "--input",
               s.at("x.npy"), "--output", y},
              {"d/kernel", "f32[4,3]", "f32[4,5]"});
  write_npy(s.at("wide.npy"), Tensor(Type{DType::f32, {3, 5}}));
  check_fails(1, {"predict", s.at("m.h5"), "--input", s.at("wide.npy"), "--output", y},
              {"[4]", "[5]"});
  put(s.at("lstm.json"),
      R"({"class_name":"Sequential","config":{"name":"s","layers":[{"class_name":"InputLayer",)"
      R"("config":{"batch_input_shape":[null,4,2],"name":"i"}},{"class_name":"LSTM","config":)"
      R"({"name":"l","units":3}}]}})");
  check_fails(3, {"summary", s.at("lstm.json")}, {"LSTM"});
  check_fails(3, {"convert", s.at("lstm.json"), s.at("lstm.h5")}, {"LSTM"});
  CHECK(s.count() == s.files + 2);  // what was put there just now
  const std::string masked = WEFT_SOURCE_DIR "/tests/data/keras/embedding-mask-zero/model.keras";
  check_fails(3, {"summary", masked}, {"Embedding", "mask_zero"});
  check_fails(3, {"convert", masked, s.at("masked.h5")}, {"mask_zero"});
  fs::create_directory(s.at("saved"));
  put(s.at("saved/saved_model.pb"), "x");
  check_fails(3, {"summary", s.at("saved")}, {"SavedModel", ".keras"});
  const Outcome full = run({"summary", s.at("m.h5")}, "/dev/full");
  CHECK(full.code == 1);
  CHECK(full.err.starts_with("weft: stdout: "));
}

TEST_CASE("program: serve says what is wrong before it listens") {
  const Sample s;
  CHECK(check_done({"serve", "--help"}).find("1/255") != std::string::npos);
  check_fails(2, {"serve"}, {"MODEL"});
  check_fails(2, {"serve", s.at("m.h5"), "--ports", "1"}, {"--ports", "--port"});
  check_fails(2, {"serve", s.at("m.h5"), "--port", "65536"}, {"--port"});
  check_fails(2, {"serve", s.at("m.h5"), "--scale", "0"}, {"--scale", "\"0\""});
  check_fails(2, {"serve", s.at("m.h5"), "--scale", "inf"}, {"--scale"});
  check_fails(2, {"serve", s.at("m.h5"), "--classes", "a,b,c"},
              {"2 classes", "3 names", "a, b, c"});
  check_fails(2, {"serve", s.at("m.json")}, {"m.json", "no weights", "--weights"});
  check_fails(2, {"serve", s.at("two.keras")}, {"2 inputs and 2 outputs"});
  check_fails(1, {"serve", s.at("none.h5")}, {"none.h5", "no such file"});
  check_fails(1, {"serve", s.at("m.h5"), "--host", "192.0.2.1"}, {"192.0.2.1", "cannot listen"});
  check_fails(1, {"serve", s.at("m.h5"), "--weights", s.at("other.weights.h5")}, {"d/kernel"});
  const Outcome full = run({"serve", s.at("m.h5"), "--port", "0"}, "/dev/full");
  CHECK(full.code == 1);
  CHECK(full.err.starts_with("weft: stdout: "));
}

}  // namespace
}  // namespace weft::test

#endif
