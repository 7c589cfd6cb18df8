#include "io/model_files.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <fstream>
#include <optional>

#include "graph/print.hpp"
#include "io/atomic_file.hpp"
#include "io/keras/hdf5.hpp"
#include "io/keras/network.hpp"
#include "io/keras/optimizers.hpp"
#include "io/keras/training.hpp"
#include "io/keras/weights.hpp"
#include "io/keras/zip.hpp"
#include "io/quoted.hpp"
#include "nn/saving.hpp"

namespace weft::nn {
namespace {

namespace fs = std::filesystem;
using keras::Generation;
using keras::Json;

constexpr std::string_view hdf5_magic = "\x89HDF\r\n\x1a\n", zip_magic = "PK\x03\x04";
// A group of ours in an .h5, which Keras does not look into: with its own it cannot train on.
constexpr const char* own_optimizer = "weft_optimizer";

enum class Format { hdf5, weights_hdf5, keras, json };

bool ends_with(const std::string& text, std::string_view end) { return text.ends_with(end); }

[[noreturn]] void refuse_weights_ending(const fs::path& file) {
  fail<ArgumentError>("save: \"{}\" is for weights alone: save_weights(), or another ending",
                      file.string());
}

Format format_of(const fs::path& file, std::string_view who) {
  const std::string name = file.filename().string();
  if (ends_with(name, ".weights.h5")) return Format::weights_hdf5;
  if (ends_with(name, ".h5") || ends_with(name, ".hdf5")) return Format::hdf5;
  if (ends_with(name, ".keras")) return Format::keras;
  if (ends_with(name, ".json")) return Format::json;
  fail<ArgumentError>(
      "{}: \"{}\" must end in .h5, .hdf5, .keras, .weights.h5 or .json, which says the format", who,
      file.string());
}

std::string beginning_of(const fs::path& file, std::size_t count) {
  std::error_code error;
  if (!fs::exists(file, error)) fail<IoError>("\"{}\": there is no such file", file.string());
  if (fs::exists(file / "saved_model.pb", error)) {
    fail<UnsupportedError>(
        "\"{}\" is a SavedModel, which holds code of TensorFlow's: save the model as .keras or .h5",
        file.string());
  }
  if (fs::is_directory(file, error)) fail<IoError>("\"{}\" is a folder", file.string());
  std::ifstream in(file, std::ios::binary);
  std::string bytes(count, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return bytes;
}

std::string content(const fs::path& file) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  std::string text(error ? 0 : static_cast<std::size_t>(size), '\0');
  std::ifstream in(file, std::ios::binary);
  if (error || !in.read(text.data(), static_cast<std::streamsize>(text.size()))) {
    fail<IoError>("\"{}\" cannot be read", file.string());
  }
  return text;
}

std::string now() {
  const std::time_t time = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d@%H:%M:%S", &parts);
  return text.data();
}

std::string_view as_text(const Tensor& bytes) {
  return {reinterpret_cast<const char*>(bytes.bytes()), bytes.type().bytes()};
}

std::span<const std::byte> as_bytes_of(const Tensor& bytes) {
  return {bytes.bytes(), bytes.type().bytes()};
}

std::span<const std::byte> as_bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

Generation generation_of(const std::optional<std::string>& version) {
  return version && version->starts_with('3') ? Generation::keras3 : Generation::keras2;
}

/// compile() as a file says, unless it says nothing.
void compile_from(Model& model, const Json& training, const fs::path& file,
                  const LoadModelOptions& options) {
  if (!options.compile || training.is_null()) return;
  try {
    if (auto how = keras::read_training(training, model)) model.compile(std::move(*how));
  } catch (const Error& error) {
    const std::string reason =
        fmt::format("\"{}\": what it was trained with: {}", file.string(), error.what());
    if (options.if_not_compiled) return options.if_not_compiled(reason);
    const std::string message = fmt::format(
        "\"{}\": the model itself can be loaded, with {{.compile = false}}; what it was "
        "trained with: {}",
        file.string(), error.what());
    if (dynamic_cast<const IoError*>(&error) != nullptr) fail<IoError>("{}", message);
    fail<UnsupportedError>("{}", message);
  }
}

Model load_hdf5(const fs::path& file, const LoadModelOptions& options) {
  const Hdf5File hdf5 = Hdf5File::open(file);
  const Hdf5Group root = hdf5.root();
  const auto text = root.text("model_config");
  if (!text) {
    fail<IoError>(
        "\"{}\": there is no model in it, but perhaps weights: make the model, and load_weights()",
        file.string());
  }
  auto version = root.text("keras_version");
  if (!version && root.has_group("model_weights")) {
    version = root.group("model_weights").text("keras_version");
  }
  const Json config = keras::parse_json(*text, fmt::format("\"{}\": model_config", file.string()));
  Model model = keras::read_model(config, generation_of(version));
  keras::read_legacy_weights(model, root, {});
  if (const auto training = root.text("training_config")) {
    compile_from(model, keras::parse_json(*training, "training_config"), file, options);
  }
  if (root.has_group(own_optimizer)) {
    keras::read_optimizer(model, root.group(own_optimizer));
  } else if (root.has_group("optimizer_weights")) {
    keras::read_legacy_optimizer(model, root.group("optimizer_weights"));
  }
  return model;
}

Model load_keras(const fs::path& file, const LoadModelOptions& options) {
  static const std::array<std::string, 3> names{"metadata.json", "config.json", "model.weights.h5"};
  auto members = read_zip(file, names);
  for (const char* needed : {"config.json", "model.weights.h5"}) {
    if (!members.contains(needed)) {
      fail<IoError>("\"{}\": it has no {}, so it is no model", file.string(), needed);
    }
  }
  std::optional<std::string> version = "3";
  if (members.contains("metadata.json")) {
    const Json metadata = keras::parse_json(as_text(members["metadata.json"]), "metadata.json");
    const Json& given = keras::member(metadata, "keras_version");
    if (given.is_string()) version = given.get<std::string>();
  }
  const Json config = keras::parse_json(as_text(members["config.json"]),
                                        fmt::format("\"{}\": config.json", file.string()));
  Model model = keras::read_model(config, generation_of(version));
  const Hdf5File hdf5 = Hdf5File::open(as_bytes_of(members["model.weights.h5"]),
                                       file.string() + ": model.weights.h5");
  keras::read_store(model, hdf5.root(), {});
  compile_from(model, keras::member(config, "compile_config"), file, options);
  if (hdf5.root().has_group("optimizer")) {
    keras::read_optimizer(model, hdf5.root().group("optimizer"));
  }
  return model;
}

void write_hdf5(Model& model, NewHdf5File& hdf5) {
  const std::string config = keras::text_of(keras::write_model(model, Generation::keras2));
  const NewHdf5Group root = hdf5.root();
  root.set_text("keras_version", "2.15.0");
  root.set_text("backend", "tensorflow");
  root.set_text("model_config", config);
  if (model.is_compiled()) {
    root.set_text("training_config", keras::text_of(keras::write_training(model.training(), model,
                                                                          Generation::keras2)));
  }
  keras::write_legacy_weights(model, root.create_group("model_weights"));
  if (model.is_compiled()) keras::write_optimizer(model, root.create_group(own_optimizer));
}

void save_hdf5(Model& model, const fs::path& file) {
  write_atomically(file, [&](const fs::path& temporary) {
    NewHdf5File hdf5 = NewHdf5File::create(temporary, file.string());
    write_hdf5(model, hdf5);
    hdf5.close();
  });
}

/// The config of a .keras, as text.
std::string keras_config(Model& model) {
  Json config = keras::write_model(model, Generation::keras3);
  if (model.is_compiled()) {
    config["compile_config"] = keras::write_training(model.training(), model, Generation::keras3);
  }
  return keras::text_of(config);
}

void save_keras(Model& model, const fs::path& file) {
  const std::string text = keras_config(model);
  Json metadata = Json::object();
  metadata["keras_version"] = "3.4.1";
  metadata["date_saved"] = now();
  std::vector<std::byte> weights;
  {
    const NewHdf5File hdf5 = NewHdf5File::create_in_memory(file.string());
    keras::write_store(model, hdf5.root());
    weights = hdf5.bytes();
  }
  const std::string about = metadata.dump();
  write_zip(file, {{"metadata.json", as_bytes_of(about)},
                   {"config.json", as_bytes_of(text)},
                   {"model.weights.h5", weights}});
}

/// What Model::load_weights does, but for naming the file in errors.
void load_weights_of(Model& model, const fs::path& file, const LoadWeightsOptions& options) {
  const keras::LoadOptions how{options.by_name, options.skip_mismatch};
  const std::string begin = beginning_of(file, zip_magic.size());
  if (begin == zip_magic) {
    static const std::array<std::string, 1> names{"model.weights.h5"};
    const auto members = read_zip(file, names);
    if (members.empty()) fail<IoError>("\"{}\": it has no model.weights.h5", file.string());
    const Hdf5File hdf5 = Hdf5File::open(as_bytes_of(members.begin()->second), file.string());
    return keras::read_store(model, hdf5.root(), how);
  }
  const Hdf5File hdf5 = Hdf5File::open(file);
  const Hdf5Group root = hdf5.root();
  const bool legacy = root.has_attribute("layer_names") || root.has_attribute("layer_names0") ||
                      root.has_group("model_weights");
  if (legacy) return keras::read_legacy_weights(model, root, how);
  if (!keras::is_store(root)) {
    fail<IoError>("\"{}\": there are no weights in it that Keras or Weft wrote", file.string());
  }
  keras::read_store(model, root, how);
  if (root.has_group("optimizer")) keras::read_optimizer(model, root.group("optimizer"));
}

Model model_of(std::string_view text) {
  const Json json = keras::parse_json(text, "model");
  // Keras 2 says its version; Keras 3 does not, but names a module.
  const Json& version = keras::member(json, "keras_version");
  const bool is_keras3 = version.is_string() ? version.get<std::string>().starts_with('3')
                                             : !keras::member(json, "module").is_null();
  return keras::read_model(json, is_keras3 ? Generation::keras3 : Generation::keras2);
}

Model load_any(const fs::path& file, const LoadModelOptions& options) {
  const std::string begin = beginning_of(file, 2048);
  if (begin.starts_with(zip_magic)) return load_keras(file, options);
  if (begin.starts_with(hdf5_magic)) return load_hdf5(file, options);
  const auto first = begin.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && begin[first] == '{') {
    Model model = model_of(content(file));
    // Layers that do not fit together are the file's fault, and so an error of reading it. With
    // weights, they are found when these are read.
    if (model.network().inputs[0].shape.rank() > 0) model.declared_weights();
    return model;
  }
  fail<IoError>("\"{}\" is no model: neither HDF5, nor a .keras archive, nor JSON", file.string());
}

}  // namespace

Model load_model(const fs::path& file, const LoadModelOptions& options) {
  return naming(file, [&] { return load_any(file, options); });
}

Model model_from_json(std::string_view text) {
  return naming({}, [&] { return model_of(text); });
}

void Model::save(const fs::path& file) {
  const Format format = format_of(file, "save");
  expect_input_shape("save");
  if (format != Format::json) weights();  // makes those that are not there yet
  switch (format) {
    case Format::hdf5:
      return save_hdf5(*this, file);
    case Format::keras:
      return save_keras(*this, file);
    case Format::json: {
      const std::string text = to_json();
      return write_atomically(file, {as_bytes_of(text)});
    }
    case Format::weights_hdf5:
      refuse_weights_ending(file);
  }
}

std::string Model::to_json() {
  Json json = keras::write_model(*this, Generation::keras2);
  // With a module, Keras 3 knows the class, and reads what is in it as it does in an .h5. It has no
  // keras.Functional, but a Model that Keras 2 and 3 make the same of.
  if (json["class_name"] == "Functional") json["class_name"] = "Model";
  json["module"] = "keras";
  json["keras_version"] = "2.15.0";
  json["backend"] = "tensorflow";
  return keras::text_of(json);
}

namespace {

Format weights_format_of(const fs::path& file) {
  const Format format = format_of(file, "save_weights");
  if (format != Format::hdf5 && format != Format::weights_hdf5) {
    fail<ArgumentError>("save_weights: \"{}\" must end in .weights.h5, .h5 or .hdf5",
                        file.string());
  }
  return format;
}

void write_weights(Model& model, Format format, const NewHdf5File& hdf5) {
  if (format == Format::weights_hdf5) {
    keras::write_store(model, hdf5.root());
  } else {
    keras::write_legacy_weights(model, hdf5.root());
  }
}

}  // namespace

void Model::save_weights(const fs::path& file) {
  weights();
  const Format format = weights_format_of(file);
  write_atomically(file, [&](const fs::path& temporary) {
    NewHdf5File hdf5 = NewHdf5File::create(temporary, file.string());
    write_weights(*this, format, hdf5);
    hdf5.close();
  });
}

void expect_savable(Model& model, const fs::path& file) {
  const Format format = format_of(file, "save");
  if (format == Format::json) {
    model.to_json();
    return;
  }
  if (format == Format::weights_hdf5) refuse_weights_ending(file);
  model.weights();
  NewHdf5File hdf5 = NewHdf5File::rehearse(file.string());
  if (format == Format::hdf5) return write_hdf5(model, hdf5);
  keras_config(model);
  keras::write_store(model, hdf5.root());
}

void expect_weights_savable(Model& model, const fs::path& file) {
  model.weights();
  write_weights(model, weights_format_of(file), NewHdf5File::rehearse(file.string()));
}

void Model::load_weights(const fs::path& file, const LoadWeightsOptions& options) {
  expect_input_shape("load_weights");
  naming(file, [&] { load_weights_of(*this, file, options); });
}

}  // namespace weft::nn
