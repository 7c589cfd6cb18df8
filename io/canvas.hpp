// A page to draw on, as PNG or SVG: lines, text, images, and axes with curves. canvas.cpp is the
// only file that knows PLplot.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "graph/tensor.hpp"
#include "io/plot.hpp"

namespace weft {

struct Color {
  std::uint8_t red = 0, green = 0, blue = 0;
};

namespace colors {
inline constexpr Color white{255, 255, 255}, ink{38, 38, 38}, faint{226, 226, 226},
    frame{150, 150, 150}, quiet{100, 100, 100};
/// Of the curve with that number; they can be told apart by those who see few colors, too.
Color of_curve(std::size_t number);
/// From white (0) to the color (1).
Color tint(Color color, double strength);
}  // namespace colors

/// Pixels from the upper left corner.
struct Box {
  double left = 0, top = 0, width = 0, height = 0;
};

enum class Align { left, center, right };

class Canvas {
 public:
  virtual ~Canvas() = default;

  /// One line, its middle at the height y; size is the font's.
  virtual void text(double x, double y, const std::string& text, Align align, double size,
                    Color color) = 0;
  /// From the bottom to the top, its middle at x and y.
  virtual void upright_text(double x, double y, const std::string& text, double size,
                            Color color) = 0;
  virtual void rectangle(const Box& box, Color color) = 0;
  virtual void line(double x0, double y0, double x1, double y1, double width, Color color) = 0;
  /// u8[H,W] or u8[H,W,1] or u8[H,W,3]; pixels are seen as squares.
  virtual void image(const Box& box, const Tensor& image) = 0;
  /// Axes with whole numbers below, grid, curves, and a legend where it hides least.
  virtual void panel(const Box& box, const Panel& panel) = 0;
};

/// How wide a text is, about.
double text_width(const std::string& text, double size);

/// Draws a page and writes it as the file's ending says, .png or .svg, atomically. Draws one page
/// at a time, however many threads ask for it.
///   width, height  pixels
///   throws  ArgumentError for another ending, or a page that is not 64 to 16384 pixels wide and
///   high;
///           IoError if the file cannot be written, or PLplot's drivers are not installed
void write_page(const std::filesystem::path& file, int width, int height,
                const std::function<void(Canvas&)>& draw);

}  // namespace weft
