#include "io/keras/json.hpp"

namespace weft::keras {
namespace {

constexpr int most_levels = 200;

const Json null;

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  bool too_deep = false;
  const auto watch = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > most_levels;
    return !too_deep;
  };
  Json value;
  std::string problem;
  try {
    value = Json::parse(text, watch);
  } catch (const Json::exception& error) {
    problem = error.what();
  }
  if (too_deep) fail<IoError>("{}: it has more than {} levels", where, most_levels);
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
  if (const auto package = class_name.rfind('>'); package != std::string::npos) {
    class_name.erase(0, package + 1);
  }
  return {std::move(class_name), &member(value, "config")};
}

}  // namespace weft::keras
