// What layers check of their arguments and inputs, and how they hand them to ops. Not for users.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "graph/checked.hpp"
#include "graph/print.hpp"
#include "nn/core.hpp"
#include "ops/conv2d.hpp"

namespace weft::nn {

inline std::string text(std::int64_t number) { return fmt::format("{}", number); }
inline std::string text(Size2D size) { return fmt::format("{}x{}", size.height, size.width); }

inline void expect_positive(std::string_view layer, std::string_view what, std::int64_t number) {
  if (number < 1) fail<ArgumentError>("{}: {} must be at least 1, not {}", layer, what, number);
}
inline void expect_positive(std::string_view layer, std::string_view what, Size2D size) {
  if (size.height < 1 || size.width < 1) {
    fail<ArgumentError>("{}: {} must be at least 1, not {}", layer, what, text(size));
  }
}

inline void expect_padding(std::string_view layer, const std::string& padding) {
  if (padding == "same" || padding == "valid") return;
  fail<ArgumentError>("{}: padding must be \"valid\" or \"same\", not \"{}\"", layer, padding);
}

inline void expect_data_format(std::string_view layer, const std::string& data_format) {
  if (data_format == "channels_last" || data_format == "channels_first") return;
  fail<ArgumentError>("{}: data_format must be \"channels_last\" or \"channels_first\", not \"{}\"",
                      layer, data_format);
}

/// f32[N,C,...] as f32[N,...,C], and back. Where one follows the other, nothing is done.
Value channels_last(Value x);
Value channels_first(Value x);

/// How a spatial layer sees its input: as images f32[N,H,W,C], whatever their form, where sequences
/// are images of height 1.
class ImageForm {
 public:
  ///   axes  2 for images, 1 for sequences
  ImageForm(int axes, const std::string& data_format)
      : axes_(axes), channels_first_(data_format == "channels_first") {}

  /// Throws ShapeError if x does not have this form.
  Value images(std::string_view layer, Value x) const;
  /// Images in the layer's own form.
  Value back(Value images) const;

 private:
  int axes_;
  bool channels_first_;
};

inline Size2D as_size2d(std::int64_t width) { return {1, width}; }
inline Size2D as_size2d(Size2D size) { return size; }

inline std::array<std::int64_t, 2> pair(Size2D size) { return {size.height, size.width}; }

/// Of images, for padding "valid", "same", or "causal": all zeros before the first step.
inline Padding2D padding_for(const std::string& padding, Value images, Size2D kernel, Size2D stride,
                             Size2D dilation) {
  if (padding == "valid") return {};
  if (padding == "causal") {
    return {.left = checked::mul(dilation.width, kernel.width - 1, "Conv1D")};
  }
  return same_padding({images.shape()[1], images.shape()[2]}, pair(kernel), pair(stride),
                      pair(dilation));
}

}  // namespace weft::nn
