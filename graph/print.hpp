// How Weft's values read: f32[32,28,28,1], and a program as one line a node.
#pragma once

#include <fmt/format.h>

#include <string>

#include "graph/shape.hpp"

template <>
struct fmt::formatter<weft::DType> : fmt::formatter<std::string_view> {
  auto format(weft::DType dtype, fmt::format_context& context) const {
    return fmt::formatter<std::string_view>::format(weft::name_of(dtype), context);
  }
};

template <>
struct fmt::formatter<weft::Shape> : fmt::formatter<std::string_view> {
  auto format(const weft::Shape& shape, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "[{}]", fmt::join(shape.begin(), shape.end(), ","));
  }
};

template <>
struct fmt::formatter<weft::Type> : fmt::formatter<std::string_view> {
  auto format(const weft::Type& type, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "{}{}", type.dtype, type.shape);
  }
};

namespace weft {

class Value;
struct Program;

/// %3, or %3.1 for the second output of node 3.
std::string to_string(const Value& value);

/// One line a node: `%2 = conv2d %0 %1 {padding=1,1,1,1} "conv" : f32[32,28,28,32]`.
std::string to_string(const Program& program);

}  // namespace weft
