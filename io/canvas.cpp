#include "io/canvas.hpp"

#include <plplot/plplot.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numbers>
#include <span>
#include <string_view>

#include "graph/error.hpp"
#include "io/atomic_file.hpp"
#include "io/image.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr double dots_per_inch = 90, millimetres_per_pixel = 25.4 / dots_per_inch;
constexpr double small_text = 13, title_text = 16;  // pixels

// ---- PLplot is one for the whole process, ends the program on errors, and prints what it thinks

std::mutex plplot_in_use;
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

// ---- text

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

// ---- axes

struct Range {
  double low, high;
  double span() const { return high - low; }
};

/// 1, 2 or 5 times a power of ten, so that there are at most `most` steps in the range.
double tick_step(double span, double most) {
  const double least = span / most, power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1, 2, 5}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::string tick_label(double value, double step) {
  if (std::abs(value) < step * 1e-6) value = 0;
  if (value != 0 && (std::abs(value) >= 1e5 || step < 1e-5)) {
    std::string text = fmt::format("{:.4g}", value);  // 2e+06 as 2e6, 2e-07 as 2e-7
    std::size_t at = text.find('e');
    if (at != std::string::npos && text[++at] == '+') text.erase(at, 1);
    if (at != std::string::npos && text[at] == '-') ++at;
    if (at != std::string::npos && text[at] == '0') text.erase(at, 1);
    return text;
  }
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  return fmt::format("{:.{}f}", value, decimals);
}

Range range_of(const std::vector<Curve>& curves, std::vector<double> Curve::*numbers) {
  Range range{HUGE_VAL, -HUGE_VAL};
  for (const Curve& curve : curves) {
    for (std::size_t i = 0; i < curve.x.size(); ++i) {
      const double number = (curve.*numbers)[i];
      if (!std::isfinite(curve.y[i]) || !std::isfinite(number)) continue;
      range = {std::min(range.low, number), std::max(range.high, number)};
    }
  }
  if (range.low > range.high) return {0, 1};
  // A level line has room above and below; and steps between ticks are numbers that differ.
  const double size = std::max(std::abs(range.low), std::abs(range.high));
  if (range.span() <= 1e-6 * size || size < 1e-30) {
    const double room = size < 1e-30 ? 0.1 : 0.1 * size;
    range = {range.low - room, range.high + room};
  }
  return {std::max(range.low, -1e300), std::min(range.high, 1e300)};
}

Range with_margin(Range range, double part) {
  return {range.low - part * range.span(), range.high + part * range.span()};
}

struct Steps {
  double x, y;
};

void label_tick(PLINT axis, PLFLT value, char* text, PLINT length, PLPointer data) {
  const auto& steps = *static_cast<const Steps*>(data);
  const std::string label = tick_label(value, axis == PL_X_AXIS ? steps.x : steps.y);
  const std::size_t size = std::min(label.size(), static_cast<std::size_t>(length) - 1);
  std::memcpy(text, label.data(), size);
  text[size] = '\0';
}

/// Where a panel's curves lie on the page.
struct Frame {
  Box box;
  Range x, y;
  double page_x(double value) const { return box.left + (value - x.low) / x.span() * box.width; }
  double page_y(double value) const { return box.top + (y.high - value) / y.span() * box.height; }
};

/// How much of the curves a box on the page hides: points along them, evenly spaced over each
/// piece.
int hidden(const Frame& frame, const Panel& panel, const Box& box) {
  int count = 0;
  const auto covers = [&](double x, double y) {
    return x >= box.left && x <= box.left + box.width && y >= box.top && y <= box.top + box.height;
  };
  for (const Curve& curve : panel.curves) {
    for (std::size_t i = 0; i < curve.x.size(); ++i) {
      const std::size_t next = std::min(i + 1, curve.x.size() - 1);
      for (int part = 0; part < 16; ++part) {
        const double t = part / 16.0, x = curve.x[i] + t * (curve.x[next] - curve.x[i]),
                     y = curve.y[i] + t * (curve.y[next] - curve.y[i]);
        if (covers(frame.page_x(x), frame.page_y(y))) ++count;
      }
    }
  }
  if (panel.mark) {
    for (int part = 0; part < 16; ++part) {
      const double y = frame.box.top + frame.box.height * part / 16;
      if (covers(frame.page_x(*panel.mark), y)) ++count;
    }
  }
  return count;
}

// ---- the page

class Page : public Canvas {
 public:
  Page(int width, int height) : width_(width), height_(height) {}

  /// On a page that was just begun.
  void begin() {
    pladv(0);
    plsfont(PL_FCI_SANS, PL_FCI_UPRIGHT, PL_FCI_MEDIUM);
    whole_page();
  }

  void text(double x, double y, const std::string& text, Align align, double size,
            Color color) override {
    use(color);
    font(size);
    const double part = align == Align::left ? 0 : align == Align::center ? 0.5 : 1;
    plptex(x, y, 1, 0, part, for_plplot(text).c_str());
  }

  void upright_text(double x, double y, const std::string& text, double size,
                    Color color) override {
    use(color);
    font(size);
    plptex(x, y, 0, -1, 0.5, for_plplot(text).c_str());
  }

  void rectangle(const Box& box, Color color) override {
    const double right = box.left + box.width, bottom = box.top + box.height;
    const std::array x{box.left, right, right, box.left}, y{box.top, box.top, bottom, bottom};
    use(color);
    plfill(4, x.data(), y.data());
  }

  void line(double x0, double y0, double x1, double y1, double width, Color color) override {
    use(color);
    plwidth(width);
    pljoin(x0, y0, x1, y1);
  }

  void image(const Box& box, const Tensor& image) override { images_.push_back({box, image}); }

  void panel(const Box& box, const Panel& panel) override {
    const double line = 1.5 * small_text;
    Range y = with_margin(range_of(panel.curves, &Curve::y), 0.05);
    Range x = range_of(panel.curves, &Curve::x);
    // Half an epoch on either side, where there are few.
    x = with_margin(x, std::max(0.03, 0.3 / std::max(1.0, x.span())));
    if (x.span() < 1) x = {x.low - 0.6, x.high + 0.6};
    Steps steps{std::max(1.0, tick_step(x.span(), std::max(2.0, box.width / 42))),
                tick_step(y.span(), std::max(2.0, box.height / 48))};
    double label_width = 0;
    for (double at = std::ceil(y.low / steps.y) * steps.y; at <= y.high; at += steps.y) {
      label_width = std::max(label_width, text_width(tick_label(at, steps.y), small_text));
    }
    const double left = line + label_width + 14, top = 2 * title_text, bottom = 2.6 * line;
    const Frame frame{
        {box.left + left, box.top + top, box.width - left - 10, box.height - top - bottom}, x, y};
    const double middle = frame.box.left + frame.box.width / 2;
    text(middle, box.top + title_text, panel.title, Align::center, title_text, colors::ink);
    text(middle, frame.box.top + frame.box.height + 2.1 * line, panel.x_label, Align::center,
         small_text, colors::ink);
    upright_text(box.left + 0.6 * line, frame.box.top + frame.box.height / 2, panel.y_label,
                 small_text, colors::ink);
    axes(frame, steps);
    mark(frame, panel);
    for (std::size_t i = 0; i < panel.curves.size(); ++i) {
      curve(frame, panel.curves[i], colors::of_curve(i));
    }
    legend(frame, panel);
    whole_page();
  }

  struct Placed {
    Box box;
    Tensor image;
  };
  const std::vector<Placed>& images() const { return images_; }

 private:
  void use(Color color) {
    plscol0(1, color.red, color.green, color.blue);
    plcol0(1);
  }
  void font(double pixels) { plschr(pixels * millimetres_per_pixel, 1); }

  void whole_page() {
    plvpor(0, 1, 0, 1);
    plwind(0, width_, height_, 0);
  }

  void axes(const Frame& frame, Steps steps) {
    plvpor(frame.box.left / width_, (frame.box.left + frame.box.width) / width_,
           1 - (frame.box.top + frame.box.height) / height_, 1 - frame.box.top / height_);
    plwind(frame.x.low, frame.x.high, frame.y.low, frame.y.high);
    font(small_text);
    plsmaj(4 * millimetres_per_pixel, 1);
    plwidth(0.8);
    use(colors::faint);
    plbox("g", steps.x, 0, "g", steps.y, 0);
    use(colors::frame);
    plbox("bc", 0, 0, "bc", 0, 0);
    plbox("bit", steps.x, 0, "bit", steps.y, 0);
    use(colors::ink);
    plslabelfunc(label_tick, &steps);
    plbox("not", steps.x, 0, "notv", steps.y, 0);
    plslabelfunc(nullptr, nullptr);
  }

  void mark(const Frame& frame, const Panel& panel) {
    if (!panel.mark) return;
    use(mark_color);
    plwidth(1.2);
    pllsty(mark_style);
    pljoin(*panel.mark, frame.y.low, *panel.mark, frame.y.high);
    pllsty(1);
  }

  void curve(const Frame& frame, const Curve& curve, Color color) {
    use(color);
    const std::size_t size = curve.x.size();
    for (std::size_t i = 0; i < size;) {
      const auto begin = curve.y.begin() + static_cast<std::ptrdiff_t>(i);
      const auto end =
          std::find_if(begin, curve.y.end(), [](double y) { return !std::isfinite(y); });
      const std::ptrdiff_t count = end - begin;
      plwidth(2);
      if (count > 1) plline(static_cast<PLINT>(count), &curve.x[i], &curve.y[i]);
      // Dots say where the epochs are, as long as they can be told apart.
      for (std::size_t k = i; k < i + static_cast<std::size_t>(count); ++k) {
        if (size <= 32 || count == 1) dot(frame, curve.x[k], curve.y[k]);
      }
      i += static_cast<std::size_t>(count) + 1;
    }
  }

  void dot(const Frame& frame, double x, double y) {
    constexpr std::size_t corners = 24;
    const double radius = 3.2;
    std::array<double, corners> xs{}, ys{};
    for (std::size_t i = 0; i < corners; ++i) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(i) / corners;
      xs[i] = x + radius * std::cos(angle) / frame.box.width * frame.x.span();
      ys[i] = y + radius * std::sin(angle) / frame.box.height * frame.y.span();
    }
    plwidth(0);
    plfill(static_cast<PLINT>(corners), xs.data(), ys.data());
  }

  /// In the corner where it hides least.
  void legend(const Frame& frame, const Panel& panel) {
    std::vector<std::string> names;
    std::vector<PLINT> kinds, text_colors, line_colors, styles;
    std::vector<double> widths;
    const auto add = [&](const std::string& name, Color color, PLINT style, double width) {
      const auto number = static_cast<PLINT>(names.size());
      if (number >= 13 || name.empty()) return;  // PLplot's table has 16 colors
      names.push_back(for_plplot(name));
      kinds.push_back(PL_LEGEND_LINE);
      text_colors.push_back(15);
      line_colors.push_back(number + 2);
      styles.push_back(style);
      widths.push_back(width);
      plscol0(number + 2, color.red, color.green, color.blue);
    };
    for (std::size_t i = 0; i < panel.curves.size(); ++i) {
      add(panel.curves[i].name, colors::of_curve(i), 1, 2);
    }
    if (panel.mark) add(panel.mark_name, mark_color, mark_style, 1.2);
    if (names.empty()) return;
    plscol0(15, colors::ink.red, colors::ink.green, colors::ink.blue);
    plscol0(0, 255, 255, 255);
    plscol0(1, 204, 204, 204);

    double longest = 0;
    for (const std::string& name : names) longest = std::max(longest, text_width(name, small_text));
    const double sample = 30, margin = 8;
    const double width = longest + sample + 3 * small_text,
                 height = 1.6 * small_text * static_cast<double>(names.size()) + 4;
    const double far_left = frame.box.left + margin,
                 far_right = frame.box.left + frame.box.width - margin - width,
                 far_top = frame.box.top + margin,
                 far_bottom = frame.box.top + frame.box.height - margin - height,
                 center = frame.box.left + (frame.box.width - width) / 2;
    struct Place {
      PLINT position;
      double left, top;
    };
    const std::array places{Place{PL_POSITION_RIGHT | PL_POSITION_TOP, far_right, far_top},
                            Place{PL_POSITION_RIGHT | PL_POSITION_BOTTOM, far_right, far_bottom},
                            Place{PL_POSITION_LEFT | PL_POSITION_BOTTOM, far_left, far_bottom},
                            Place{PL_POSITION_LEFT | PL_POSITION_TOP, far_left, far_top},
                            Place{PL_POSITION_TOP, center, far_top},
                            Place{PL_POSITION_BOTTOM, center, far_bottom}};
    const auto hides = [&](const Place& place) {
      return hidden(frame, panel, {place.left, place.top, width, height});
    };
    const auto best = std::ranges::min_element(places, {}, hides);
    const bool at_side = (best->position & (PL_POSITION_LEFT | PL_POSITION_RIGHT)) != 0;
    font(small_text);
    plwidth(0.8);
    double drawn_width = 0, drawn_height = 0;
    std::vector<const char*> texts;
    for (const std::string& name : names) texts.push_back(name.c_str());
    pllegend(&drawn_width, &drawn_height, PL_LEGEND_BACKGROUND | PL_LEGEND_BOUNDING_BOX,
             best->position | PL_POSITION_INSIDE, at_side ? margin / frame.box.width : 0,
             margin / frame.box.height, sample / frame.box.width, 0, 1, 1, 0, 0,
             static_cast<PLINT>(names.size()), kinds.data(), 0.8, 1, 1.7, 0, text_colors.data(),
             texts.data(), nullptr, nullptr, nullptr, nullptr, line_colors.data(), styles.data(),
             widths.data(), nullptr, nullptr, nullptr, nullptr);
  }

  static constexpr Color mark_color{110, 110, 110};
  static constexpr PLINT mark_style = 2;

  double width_, height_;
  std::vector<Placed> images_;
};

/// Draws by one of PLplot's drivers. `output` says where to, before PLplot begins.
void draw_by(const char* driver, Page& page, int width, int height,
             const std::function<void()>& output, const std::function<void(Canvas&)>& draw) {
  expect_driver(driver);
  Stream stream;
  plsdev(driver);
  plspage(dots_per_inch, dots_per_inch, width, height, 0, 0);
  plscolbg(255, 255, 255);
  output();
  plinit();
  page.begin();
  draw(page);
  stream.close();
  if (!complaint.empty()) fail<IoError>("plot: PLplot failed: {}", complaint);
}

// ---- PNG

std::span<std::uint8_t> pixels(Tensor& image) { return image.data<std::uint8_t>(); }

/// Lays an image over a picture u8[H,W,3]; each pixel is that of the image it lies on.
void lay(Tensor& picture, const Box& box, const Tensor& image) {
  const Shape& shape = image.shape();
  const std::int64_t channels = shape.rank() == 3 ? shape[2] : 1;
  const std::int64_t top = std::lround(box.top), left = std::lround(box.left),
                     height = std::lround(box.height), width = std::lround(box.width),
                     rows = picture.shape()[0], columns = picture.shape()[1];
  const auto to = pixels(picture);
  const auto from = image.data<std::uint8_t>();
  for (std::int64_t y = std::max<std::int64_t>(0, -top); y < std::min(height, rows - top); ++y) {
    for (std::int64_t x = std::max<std::int64_t>(0, -left); x < std::min(width, columns - left);
         ++x) {
      const std::int64_t source =
                             (y * shape[0] / height * shape[1] + x * shape[1] / width) * channels,
                         target = ((top + y) * columns + left + x) * 3;
      for (std::int64_t c = 0; c < 3; ++c) {
        to[static_cast<std::size_t>(target + c)] =
            from[static_cast<std::size_t>(source + (channels == 3 ? c : 0))];
      }
    }
  }
}

void write_png_page(const fs::path& file, int width, int height,
                    const std::function<void(Canvas&)>& draw) {
  Tensor picture(Type{DType::u8, {height, width, 3}});
  std::ranges::fill(pixels(picture), std::uint8_t{255});
  Page page(width, height);
  draw_by(
      "memcairo", page, width, height, [&] { plsmem(width, height, picture.bytes()); }, draw);
  for (const auto& [box, image] : page.images()) lay(picture, box, image);
  write_png(file, picture);
}

// ---- SVG

std::string base64(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) word = word << 8 | (k < count ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += k <= count ? digits[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string png_in_memory(const Tensor& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.height = static_cast<png_uint_32>(picture.shape()[0]);
  image.width = static_cast<png_uint_32>(picture.shape()[1]);
  const bool color = picture.shape().rank() == 3 && picture.shape()[2] == 3;
  image.format = color ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::vector<std::uint8_t> bytes(size);
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, picture.bytes(), 0, nullptr) == 0) {
    fail<IoError>("plot: an image cannot be written as PNG: {}", image.message);
  }
  return base64(std::span(bytes).first(size));
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

void write_svg_page(const fs::path& file, int width, int height,
                    const std::function<void(Canvas&)>& draw) {
  struct Text {
    char* data = nullptr;
    std::size_t size = 0;
    ~Text() { std::free(data); }
  } text;
  Page page(width, height);
  const auto open = [&] {
    std::FILE* const stream = open_memstream(&text.data, &text.size);
    if (stream == nullptr) fail<IoError>("plot: there is no memory for the drawing");
    plsfile(stream);
  };
  draw_by("svg", page, width, height, open, draw);
  std::string svg = readable(std::string_view(text.data, text.size));
  const std::size_t end = svg.rfind("</svg>");
  if (end == std::string::npos) fail<IoError>("plot: PLplot did not finish \"{}\"", file.string());
  std::string images;
  for (const auto& [box, image] : page.images()) {
    images += fmt::format(
        "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" "
        "style=\"image-rendering:pixelated\" xlink:href=\"data:image/png;base64,{}\"/>\n",
        box.left, box.top, box.width, box.height, png_in_memory(image));
  }
  svg.insert(end, images);
  write_atomically(file, {std::as_bytes(std::span(svg))});
}

}  // namespace

Color colors::of_curve(std::size_t number) {
  // Of Okabe and Ito, "Color universal design", 2008; without yellow, which white hides.
  constexpr std::array<Color, 6> all{
      {{0, 114, 178}, {230, 130, 0}, {0, 158, 115}, {204, 82, 148}, {86, 160, 220}, {180, 70, 0}}};
  return all[number % all.size()];
}

Color colors::tint(Color color, double strength) {
  const double part = std::isfinite(strength) ? std::clamp(strength, 0.0, 1.0) : 0;
  const auto mixed = [&](std::uint8_t value) {
    return static_cast<std::uint8_t>(std::lround(255 + part * (value - 255)));
  };
  return {mixed(color.red), mixed(color.green), mixed(color.blue)};
}

double text_width(const std::string& text, double size) {
  const auto characters = std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
  return 0.64 * size * static_cast<double>(characters);
}

void write_page(const fs::path& file, int width, int height,
                const std::function<void(Canvas&)>& draw) {
  constexpr int least = 64, most = 16384;
  const std::string ending = file.extension().string();
  if (ending != ".png" && ending != ".svg") {
    fail<ArgumentError>("plot: \"{}\" must end in .png or .svg", file.string());
  }
  if (std::min(width, height) < least || std::max(width, height) > most) {
    fail<ArgumentError>("plot: width and height must be from {} to {} pixels, not {} and {}", least,
                        most, width, height);
  }
  const std::lock_guard lock(plplot_in_use);
  ending == ".png" ? write_png_page(file, width, height, draw)
                   : write_svg_page(file, width, height, draw);
}

}  // namespace weft
