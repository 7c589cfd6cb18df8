// What Keras 1 called classes and arguments of layers. For io/ alone.
#pragma once

#include <string>

#include "io/keras/json.hpp"

namespace weft::keras {

/// A layer's class and config in the terms of Keras 2 and 3. What is in these already stays as it
/// is. Throws UnsupportedError for what has no layer of the same meaning.
void modernize(std::string& class_name, Json& config, const std::string& where);

}  // namespace weft::keras
