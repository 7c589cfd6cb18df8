#include "io/keras/json.hpp"

namespace weft::keras {
namespace {

constexpr int most_levels = 200;

const Json null;

/// Before it is parsed: with a callback, nlohmann's parser takes time by the square of an array's
/// length.
bool is_too_deep(std::string_view text) {
  int levels = 0;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_text = !in_text;
    if (in_text && c == '\\') ++i;
    if (in_text) continue;
    if (c == '[' || c == '{') ++levels;
    if (c == ']' || c == '}') --levels;
    if (levels > most_levels) return true;
  }
  return false;
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
  if (is_too_deep(text)) fail<IoError>("{}: it has more than {} levels", where, most_levels);
  Json value;
  std::string problem;
  try {
    value = Json::parse(text);
  } catch (const Json::exception& error) {
    problem = error.what();
  }
  if (!problem.empty()) fail<IoError>("{}: it is no JSON: {}", where, problem);
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
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
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
