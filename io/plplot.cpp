#include "io/plplot.hpp"

#include <plplot/plplot.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numbers>
#include <string_view>

#include "graph/error.hpp"

namespace weft {
namespace {

constexpr double dots_per_inch = 90, millimetres_per_pixel = 25.4 / dots_per_inch;

// ---- PLplot is one for the whole process, ends the program on errors, and prints what it thinks

std::mutex in_use;
std::string complaint;  // of an operation that PLplot gave up

/// Called instead of exit(). PLplot is compiled with tables for unwinding, as all of Debian's C is
/// where C++ needs them.
int refuse(const char* message) {
  fail<IoError>("plot: PLplot failed: {}", message != nullptr ? message : "it does not say why");
}
void note(const char* message) { complaint = message; }

/// Tells PLplot whom to tell, and makes a stream of our own beside the program's.
class Stream {
 public:
  Stream() {
    complaint.clear();
    plsexit(refuse);
    plsabort(note);
    plgstrm(&before_);
    plmkstrm(&own_);
  }
  ~Stream() {
    close();
    plsexit(nullptr);
    plsabort(nullptr);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Ends the page. PLplot closes its file.
  void close() {
    if (own_ < 0) return;
    own_ = -1;
    plend1();
    plsstrm(before_);
  }

 private:
  PLINT before_ = 0, own_ = -1;
};

/// Without the driver, PLplot would ask on the terminal for another.
void expect_driver(std::string_view name) {
  std::array<const char*, 128> menu{}, names{};
  const char **menu_at = menu.data(), **names_at = names.data();
  int count = static_cast<int>(names.size());
  plgDevs(&menu_at, &names_at, &count);
  const auto last = names.begin() + std::clamp<std::ptrdiff_t>(count, 0, std::ssize(names));
  if (std::find(names.begin(), last, name) == last) {
    fail<IoError>(
        "plot: PLplot has no driver \"{}\"; Debian's packages plplot-driver-cairo and "
        "libplplot-data must be installed",
        name);
  }
}

/// What PLplot can take: its escape character doubled, and a question mark for bytes that are no
/// UTF-8 (PLplot would drop the whole text) or no character to print.
std::string for_plplot(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t length = byte < 0x80                   ? 1
                               : byte >= 0xc2 && byte < 0xe0 ? 2
                               : byte >= 0xe0 && byte < 0xf0 ? 3
                               : byte >= 0xf0 && byte < 0xf5 ? 4
                                                             : 0;
    const std::string_view character = text.substr(i, length);
    const bool whole = length > 0 && character.size() == length &&
                       std::all_of(character.begin() + 1, character.end(), [](char c) {
                         return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
                       });
    if (!whole || byte < 0x20 || byte == 0x7f) {
      out += '?';
      ++i;
      continue;
    }
    out += character == "#" ? "##" : character;
    i += length;
  }
  return out;
}

/// The window is measured in the page's pixels, from above.
class Page : public Canvas {
 public:
  Page(int width, int height) : width_(width), height_(height) {}

  /// After PLplot has begun.
  void begin() {
    pladv(0);
    plsfont(PL_FCI_SANS, PL_FCI_UPRIGHT, PL_FCI_MEDIUM);
    plvpor(0, 1, 0, 1);
    plwind(0, width_, height_, 0);
  }

  void text(double x, double y, const std::string& text, Align align, double size,
            Color color) override {
    write(x, y, 1, 0, text, align, size, color);
  }

  void upright_text(double x, double y, const std::string& text, Align align, double size,
                    Color color) override {
    write(x, y, 0, -1, text, align, size, color);
  }

  void rectangle(const Box& box, Color color) override {
    const double right = box.left + box.width, bottom = box.top + box.height;
    const std::array x{box.left, right, right, box.left}, y{box.top, box.top, bottom, bottom};
    use(color);
    plfill(4, x.data(), y.data());
  }

  void line(const std::vector<Point>& points, double width, Color color, bool dashed) override {
    std::vector<double> x, y;
    for (const Point& point : points) {
      x.push_back(point.x);
      y.push_back(point.y);
    }
    use(color);
    plwidth(width);
    pllsty(dashed ? 2 : 1);
    plline(static_cast<PLINT>(x.size()), x.data(), y.data());
    pllsty(1);
  }

  void dot(const Point& center, double radius, Color color) override {
    constexpr std::size_t corners = 24;
    std::array<double, corners> x{}, y{};
    for (std::size_t i = 0; i < corners; ++i) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(i) / corners;
      x[i] = center.x + radius * std::cos(angle);
      y[i] = center.y + radius * std::sin(angle);
    }
    use(color);
    plwidth(0);
    plfill(static_cast<PLINT>(corners), x.data(), y.data());
  }

  void image(const Box& box, const Tensor& image) override { images.push_back({box, image}); }

  std::vector<PlacedImage> images;

 private:
  void use(Color color) {
    plscol0(1, color.red, color.green, color.blue);
    plcol0(1);
  }

  void write(double x, double y, double dx, double dy, const std::string& text, Align align,
             double size, Color color) {
    use(color);
    plschr(size * millimetres_per_pixel, 1);
    const double part = align == Align::left ? 0 : align == Align::center ? 0.5 : 1;
    plptex(x, y, dx, dy, part, for_plplot(text).c_str());
  }

  double width_, height_;
};

/// Draws by one of PLplot's drivers. `output` says where to, before PLplot begins.
std::vector<PlacedImage> draw_by(const char* driver, int width, int height, const Drawing& draw,
                                 const std::function<void()>& output) {
  const std::lock_guard lock(in_use);
  expect_driver(driver);
  Stream stream;
  plsdev(driver);
  plspage(dots_per_inch, dots_per_inch, width, height, 0, 0);
  plscolbg(255, 255, 255);
  output();
  plinit();
  Page page(width, height);
  page.begin();
  draw(page);
  stream.close();
  if (!complaint.empty()) fail<IoError>("plot: PLplot failed: {}", complaint);
  return std::move(page.images);
}

/// PLplot writes each character as a number. Those that mean themselves in XML are put in their
/// places, so that the text can be found; and the page is measured in pixels.
std::string readable(std::string_view svg) {
  std::string out;
  while (!svg.empty()) {
    const std::size_t start = std::min(svg.find("&#x"), svg.size());
    out += svg.substr(0, start);
    svg.remove_prefix(start);
    if (svg.empty()) break;
    const std::size_t end = svg.find(';');
    if (end == std::string_view::npos) break;
    const unsigned long code = std::strtoul(svg.data() + 3, nullptr, 16);
    if (code >= 0x20 && code < 0x7f && !std::strchr("&<>\"'", static_cast<int>(code))) {
      out += static_cast<char>(code);
    } else {
      out += svg.substr(0, end + 1);
    }
    svg.remove_prefix(end + 1);
  }
  for (const std::string_view size : {"width=\"", "height=\""}) {
    const std::size_t number = out.find(size) + size.size(), unit = out.find("pt\"", number);
    if (unit != std::string::npos && unit - number <= 6) out.replace(unit, 2, "px");
  }
  return out + std::string(svg);
}

}  // namespace

std::vector<PlacedImage> draw_pixels(Tensor& picture, const Drawing& draw) {
  const int height = static_cast<int>(picture.shape()[0]),
            width = static_cast<int>(picture.shape()[1]);
  return draw_by("memcairo", width, height, draw, [&] { plsmem(width, height, picture.bytes()); });
}

std::vector<PlacedImage> draw_svg(std::string& svg, int width, int height, const Drawing& draw) {
  struct Text {
    char* data = nullptr;
    std::size_t size = 0;
    ~Text() { std::free(data); }
  } text;
  std::vector<PlacedImage> images = draw_by("svg", width, height, draw, [&] {
    std::FILE* const stream = open_memstream(&text.data, &text.size);
    if (stream == nullptr) fail<IoError>("plot: there is no memory for the drawing");
    plsfile(stream);
  });
  svg = readable(std::string_view(text.data, text.size));
  return images;
}

}  // namespace weft
