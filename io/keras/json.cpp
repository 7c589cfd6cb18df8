#include "io/keras/json.hpp"

#include "io/quoted.hpp"

namespace weft::keras {
namespace {

constexpr int most_levels = 200;
// A value takes tens of bytes of memory, if it is 2 bytes in the file. 20 000 layers, as many as are
// read, have fewer.
constexpr std::size_t most_values = 1'000'000;

const Json null;

/// What is wrong with a text before it is parsed: with a callback, nlohmann's parser takes time by
/// the square of an array's length.
std::string excess_of(std::string_view text) {
  int levels = 0;
  std::size_t values = 1;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_text = !in_text;
    if (in_text && c == '\\') ++i;
    if (in_text) continue;
    if (c == '[' || c == '{') ++levels;
    if (c == ']' || c == '}') --levels;
    if (c == ',' || c == '[' || c == '{') ++values;
    if (levels > most_levels) return fmt::format("it has more than {} levels", most_levels);
    if (values > most_values) return fmt::format("it has more than {} values", most_values);
  }
  return "";
}

bool is_of_keras(std::string_view module) {
  module = module.substr(0, module.find('.'));
  for (const char* own : {"", "builtins", "keras", "tf_keras", "keras_core", "tensorflow"}) {
    if (module == own) return true;
  }
  return false;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  if (const std::string excess = excess_of(text); !excess.empty()) {
    fail<IoError>("{}: {}", where, excess);
  }
  Json value;
  std::string problem;
  try {
    value = Json::parse(text);
  } catch (const Json::exception& error) {
    problem = error.what();
  }
  if (!problem.empty()) fail<IoError>("{}: it is no JSON: {}", where, printable(problem, 160));
  return value;
}

const Json& unwrapped(const Json& value) {
  const Json* inner = &value;
  while (inner->is_object()) {
    const Json& type = member(*inner, "type");
    const Json& name = member(*inner, "class_name");
    if (type == "ndarray") {
      inner = &member(*inner, "value");
    } else if (name == "__tuple__" || name == "TensorShape") {
      inner = &member(*inner, "items");
    } else {
      break;
    }
  }
  return *inner;
}

const Json& member(const Json& object, std::string_view key) {
  if (!object.is_object()) return null;
  const auto found = object.find(std::string(key));
  return found == object.end() ? null : *found;
}

std::string text_of(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::exception& error) {
    fail<UnsupportedError>("a text of the model's is not UTF-8, so that no file can hold it: {}",
                           error.what());
  }
}

std::string excerpt(const Json& value) {
  // A replacement for what is no UTF-8, rather than an exception from within a message.
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

Described described(const Json& value, const std::string& where) {
  const Json& name = member(value, "class_name");
  if (!name.is_string()) {
    fail<IoError>("{}: it must be an object with a class_name, not {}", where, excerpt(value));
  }
  std::string class_name = name.get<std::string>();
  const Json &module = member(value, "module"), &registered = member(value, "registered_name");
  if (class_name.find('>') == class_name.npos) {
    if (registered.is_string() && registered.get<std::string>().find('>') != std::string::npos) {
      class_name = registered.get<std::string>();
    } else if (module.is_string() && !is_of_keras(module.get<std::string>())) {
      class_name = module.get<std::string>() + '>' + class_name;
    }
  }
  return {std::move(class_name), &member(value, "config")};
}

std::string_view without_package(std::string_view class_name) {
  const auto package = class_name.rfind('>');
  return package == class_name.npos ? class_name : class_name.substr(package + 1);
}

}  // namespace weft::keras
