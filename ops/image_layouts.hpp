// How images f32[N,H,W,C] lie, for loops of ours that go from pixel to pixel. Included by .cpp
// files only.
#pragma once

#include "runtime/lowering.hpp"

namespace weft {

/// An image's axes under oneDNN's names: N,C,H,W.
inline Layout image_names(const Type& type) { return named(type, {0, 3, 1, 2}); }

/// The input's layout if it keeps channels together, else channels last.
inline Layout with_channels(const Lowering& l, std::size_t i) {
  const Layout names = image_names(l.input(i));
  const auto layout = renamed(l.layout(i), names);
  return layout && onednn::channel_blocks(layout->md) ? *layout : names;
}

/// The layout of another image, blocked as `like` is.
inline Layout like(const Layout& like, const Type& type) {
  const auto blocks = *onednn::channel_blocks(like.md);
  const Layout names = image_names(type);
  if (onednn::is_strided(like.md)) return names;
  const auto tag = blocks.width == 16  ? dnnl::memory::format_tag::nChw16c
                   : blocks.width == 8 ? dnnl::memory::format_tag::nChw8c
                                       : dnnl::memory::format_tag::nChw4c;
  return with(names, {onednn::dims(names.md), onednn::data_type(type.dtype), tag});
}

}  // namespace weft
