// Small files of every kind that is read, for the fuzzer to begin with.
//   usage: weft_fuzz_seeds <folder for .json> <folder for the others>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "io/keras/zip.hpp"
#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/hdf5_files.hpp"

namespace {

namespace fs = std::filesystem;
namespace nn = weft::nn;

nn::Model small_model() {
  return nn::Sequential({nn::Dense(3, {.activation = "relu", .input_shape = {4}}),
                         nn::BatchNormalization(), nn::Dense(2)},
                        {.name = "small"});
}

nn::Model image_model() {
  return nn::Sequential(
      {nn::Conv2D(2, 3, {.padding = "same", .activation = "relu", .input_shape = {6, 6, 1}}),
       nn::DepthwiseConv2D(3), nn::BatchNormalization(), nn::MaxPooling2D(2), nn::Dropout(0.25),
       nn::Flatten(), nn::Dense(3, {.activation = "softmax", .kernel_regularizer = nn::L2{0.01}})},
      {.name = "image"});
}

nn::Model functional_model() {
  const nn::Input a({4}, {.name = "a"}), b({4}, {.name = "b"});
  const nn::Layer shared = nn::Dense(3, {.activation = "relu", .name = "shared"});
  const nn::Sequential tower({nn::Dense(2, {.input_shape = {3}}), nn::Dense(2)}, {.name = "tower"});
  const nn::Symbol left = tower(shared(a)), right = tower(shared(b));
  return nn::Model({a, b},
                   {nn::Dense(2, {.name = "one"})(nn::Concatenate()({left, right})),
                    nn::Reshape({1, 2})(nn::Add()({left, right}))},
                   {.name = "two_way"});
}

nn::Model embedding_model() {
  return nn::Sequential({nn::Input({5}, {.dtype = weft::DType::s32}), nn::Embedding(7, 3),
                         nn::GlobalAveragePooling1D(), nn::LayerNormalization(), nn::Dense(2)},
                        {.name = "words"});
}

void compile(nn::Model& model, const char* optimizer) {
  model.compile({.optimizer = optimizer, .loss = "mse", .metrics = {"mae"}});
  model.optimizer_variables();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fputs("usage: weft_fuzz_seeds <folder for .json> <folder for the others>\n", stderr);
    return 2;
  }
  const fs::path texts = arguments[1], files = arguments[2];
  fs::create_directories(texts);
  fs::create_directories(files);
  for (nn::Model model : {small_model(), image_model(), functional_model(), embedding_model()}) {
    const std::string name = model.name();
    model.weights();
    model.save(texts / (name + ".json"));
    if (name == "small") compile(model, "adam");
    if (name == "image") compile(model, "sgd");
    model.save(files / (name + ".h5"));
    model.save(files / (name + ".keras"));
    // Keras 3's form of the layers.
    const std::array<std::string, 1> config{"config.json"};
    const auto members = weft::read_zip(files / (name + ".keras"), config);
    const weft::Tensor& bytes = members.at(config[0]);
    std::ofstream(texts / (name + "3.json"), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.bytes()),
               static_cast<std::streamsize>(bytes.type().bytes()));
    model.save_weights(files / (name + ".weights.h5"));
    model.save_weights(files / (name + "_old_weights.h5"));
    for (const char* kind : {".h5", ".weights.h5"}) {
      const fs::path plain = files / (name + kind);
      weft::test::copy_file(plain, files / (name + "_packed" + kind), {.packed = true});
      weft::test::copy_file(plain, files / (name + "_latest" + kind), {.latest = true});
      weft::test::copy_file(plain, files / (name + "_latest_packed" + kind),
                            {.latest = true, .packed = true});
    }
  }
}
