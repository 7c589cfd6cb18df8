// Small files of every kind that is read, for the fuzzer to begin with.
//   usage: weft_fuzz_seeds <folder for .json> <folder for the others>
#include <hdf5.h>

#include <algorithm>
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

/// The same objects, all arrays in chunks, shuffled, checked and compressed.
void compress(const fs::path& from, const fs::path& to) {
  const hid_t in = H5Fopen(from.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t out = H5Fcreate(to.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  const auto copy = [](hid_t source, const char* name, const H5O_info_t* info,
                       void* target) -> herr_t {
    const hid_t file = *static_cast<hid_t*>(target);
    const bool is_root = std::string(name) == ".";
    const auto attribute = [](hid_t object, const char* attribute_name, const H5A_info_t*,
                              void* copied) -> herr_t {
      const hid_t old = H5Aopen(object, attribute_name, H5P_DEFAULT);
      const hid_t type = H5Aget_type(old), space = H5Aget_space(old);
      const hid_t made = H5Acreate2(*static_cast<hid_t*>(copied), attribute_name, type, space,
                                    H5P_DEFAULT, H5P_DEFAULT);
      std::vector<char> bytes(
          static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)) * H5Tget_size(type) + 1);
      H5Aread(old, type, bytes.data());
      H5Awrite(made, type, bytes.data());
      if (H5Tis_variable_str(type) > 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, bytes.data());
      H5Aclose(made), H5Sclose(space), H5Tclose(type), H5Aclose(old);
      return 0;
    };
    hid_t old = H5Oopen(source, name, H5P_DEFAULT), made = 0;
    if (info->type == H5O_TYPE_GROUP) {
      made = is_root ? H5Gopen2(file, "/", H5P_DEFAULT)
                     : H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    } else {
      const hid_t type = H5Dget_type(old), space = H5Dget_space(old);
      const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
      std::array<hsize_t, H5S_MAX_RANK> sizes{};
      const int rank = H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
      if (rank > 0) {
        for (hsize_t& size : sizes) size = std::max<hsize_t>((size + 1) / 2, 1);
        H5Pset_chunk(plist, rank, sizes.data());
        H5Pset_shuffle(plist);
        H5Pset_fletcher32(plist);
        H5Pset_deflate(plist, 9);
      }
      made = H5Dcreate2(file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
      std::vector<char> bytes(
          static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)) * H5Tget_size(type) + 1);
      H5Dread(old, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
      H5Dwrite(made, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
      H5Pclose(plist), H5Sclose(space), H5Tclose(type);
    }
    H5Aiterate2(old, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, attribute, &made);
    H5Oclose(made), H5Oclose(old);
    return 0;
  };
  hid_t target = out;
  H5Ovisit2(in, H5_INDEX_NAME, H5_ITER_NATIVE, copy, &target, H5O_INFO_BASIC);
  H5Fclose(out), H5Fclose(in);
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
      compress(files / (name + kind), files / (name + "_packed" + kind));
    }
  }
}
