// JSON as it stands in Keras' files, through nlohmann's library. For io/ alone.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "graph/error.hpp"

namespace weft::keras {

using Json = nlohmann::ordered_json;  // members stay in the order in which they were written

/// Throws IoError, which begins with `where`, for what is no JSON, and for more than 200 levels or a
/// million values.
Json parse_json(std::string_view text, const std::string& where);

/// A value without the wrappers that Keras puts around some: an array of numbers, a tuple, a shape.
const Json& unwrapped(const Json& value);

/// A member of an object, or null if there is none, or it is no object.
const Json& member(const Json& object, std::string_view key);

/// As it is written to a file. Throws UnsupportedError for texts that are not UTF-8, such as names.
std::string text_of(const Json& json);

/// A short form for messages: at most some 60 characters.
std::string excerpt(const Json& value);

/// The class name and arguments of {"class_name": ..., "config": ...}; "Custom>" and a package's
/// name in front are no part of it.
struct Described {
  /// As Keras calls its own; of a class of the user's with its package or module before it,
  /// "my>Dense", since that may be called what one of Keras' is.
  std::string class_name;
  const Json* config;
};
Described described(const Json& value, const std::string& where);

/// "Dense" of "my>Dense".
std::string_view without_package(std::string_view class_name);

}  // namespace weft::keras
