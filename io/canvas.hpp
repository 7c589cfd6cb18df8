// A page to draw on, as PNG or SVG: lines, text, images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/tensor.hpp"

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
struct Point {
  double x = 0, y = 0;
};
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
  /// From the bottom to the top, its middle at x; Align::right has its end at y.
  virtual void upright_text(double x, double y, const std::string& text, Align align, double size,
                            Color color) = 0;
  virtual void rectangle(const Box& box, Color color) = 0;
  /// Through at least two points.
  virtual void line(const std::vector<Point>& points, double width, Color color,
                    bool dashed = false) = 0;
  virtual void dot(const Point& center, double radius, Color color) = 0;
  /// u8[H,W] or u8[H,W,1] or u8[H,W,3]; pixels are seen as squares. Above all that is drawn
  /// otherwise.
  virtual void image(const Box& box, const Tensor& image) = 0;
};

using Drawing = std::function<void(Canvas&)>;

/// How wide a text is, about; and the widest of several.
double text_width(std::string_view text, double size);
double widest(const std::vector<std::string>& texts, double size);

struct Fitted {
  std::string text;
  double size;
};
/// What of a text is no wider: all of it, if need be in a smaller font, but not below the least,
/// and with an ellipsis where that is still too wide.
Fitted fitted(const std::string& text, double size, double width, double least = 9);

/// Draws a page and writes it as the file's ending says, .png or .svg, atomically.
///   width, height  pixels
///   throws  ArgumentError for another ending, or a page that is not 64 to 16384 pixels wide and
///           high; IoError if the file cannot be written, or the page not drawn (io/plplot.hpp)
void write_page(const std::filesystem::path& file, int width, int height, const Drawing& draw);

}  // namespace weft
