#include "io/panel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace weft {
namespace {

constexpr Color mark_color{110, 110, 110}, legend_frame{204, 204, 204};
constexpr double curve_width = 2, mark_width = 1.2, dot_radius = 3.2;
constexpr std::size_t most_dots = 32;  // of more points, dots would hide the curve
constexpr double largest = 1e300;      // so that spans and margins are numbers

bool is_shown(double number) { return std::abs(number) <= largest; }

// ---- axes

struct Range {
  double low = HUGE_VAL, high = -HUGE_VAL;
  double span() const { return high - low; }
  void add(double number) {
    if (is_shown(number)) *this = {std::min(low, number), std::max(high, number)};
  }
  Range with_margin(double part) const { return {low - part * span(), high + part * span()}; }
};

/// Of epochs: also of those without a number, so that panels beside each other have the same.
Range x_range(const Panel& panel) {
  Range range;
  for (const Curve& curve : panel.curves) {
    for (const double x : curve.x) range.add(x);
  }
  if (panel.mark) range.add(*panel.mark);
  if (range.low > range.high) range = {1, 1};
  // Half an epoch on either side, where there are few.
  range = range.with_margin(std::max(0.03, 0.3 / std::max(1.0, range.span())));
  return range.span() < 1 ? Range{range.low - 0.6, range.high + 0.6} : range;
}

Range y_range(const Panel& panel) {
  Range range;
  for (const Curve& curve : panel.curves) {
    for (const double y : curve.y) range.add(y);
  }
  if (range.low > range.high) return {0, 1};
  // A level line has room above and below; and steps between ticks are numbers that differ.
  const double size = std::max(std::abs(range.low), std::abs(range.high));
  if (range.span() <= 1e-6 * size || size < 1e-30) {
    const double room = size < 1e-30 ? 0.1 : 0.1 * size;
    range = {range.low - room, range.high + room};
  }
  return range.with_margin(0.05);
}

/// 1, 2 or 5 times a power of ten, so that there are at most `most` steps in the range.
double tick_step(double span, double most) {
  const double least = span / std::max(2.0, most),
               power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1, 2, 5}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

struct Tick {
  double value;
  std::string label;
};

int magnitude(double number) { return static_cast<int>(std::floor(std::log10(number) + 1e-9)); }

/// As many digits as tell the ticks apart; with an exponent, where that is shorter: 1.5e9.
std::string tick_label(double value, int exponent, int step_exponent) {
  const int decimals = std::max(0, -step_exponent), digits = std::max(0, exponent - step_exponent);
  const bool extreme = exponent >= 5 || step_exponent < -4;
  const int plain = std::max(1, exponent + 1) + decimals;
  if (!extreme || digits + 4 >= plain) {
    return fmt::format("{:.{}f}", value, decimals);
  }
  if (value == 0) return "0";
  std::string text = fmt::format("{:.{}e}", value, digits);  // 2e+06 as 2e6, 2e-07 as 2e-7
  std::size_t at = text.find('e') + 1;
  if (text[at] == '+') text.erase(at, 1);
  if (text[at] == '-') ++at;
  if (text[at] == '0') text.erase(at, 1);
  return text;
}

std::vector<Tick> ticks(const Range& range, double step) {
  const double size = std::max(std::abs(range.low), std::abs(range.high));
  const double first = std::ceil(range.low / step);
  std::vector<Tick> result;
  for (double i = first; i * step <= range.high; ++i) {
    const double value = i == 0 ? 0 : i * step;  // and not -0
    result.push_back({value, tick_label(value, magnitude(size), magnitude(step))});
    if (result.size() == 100) break;  // where numbers next to each other do not differ
  }
  return result;
}

double widest_label(const std::vector<Tick>& ticks, double size) {
  double width = 0;
  for (const Tick& tick : ticks) width = std::max(width, text_width(tick.label, size));
  return width;
}

/// On pixels, so that thin lines are sharp.
double sharp(double place) { return std::floor(place) + 0.5; }

// ---- a panel being drawn

struct Frame {
  Box box;
  Range x, y;
  double text_size;
  double right() const { return box.left + box.width; }
  double bottom() const { return box.top + box.height; }
  Point place(double at_x, double at_y) const {
    return {box.left + (at_x - x.low) / x.span() * box.width,
            box.top + (y.high - at_y) / y.span() * box.height};
  }
};

void draw_axes(Canvas& canvas, const Frame& frame, const std::vector<Tick>& x_ticks,
               const std::vector<Tick>& y_ticks) {
  const double left = frame.box.left, top = frame.box.top, right = frame.right(),
               bottom = frame.bottom(), tick = 4;
  const auto grid = [&](bool marks) {
    for (const Tick& at : x_ticks) {
      const double x = sharp(frame.place(at.value, 0).x);
      canvas.line({{x, marks ? bottom : top}, {x, marks ? bottom + tick : bottom}}, 1,
                  marks ? colors::frame : colors::faint);
    }
    for (const Tick& at : y_ticks) {
      const double y = sharp(frame.place(0, at.value).y);
      canvas.line({{marks ? left - tick : left, y}, {marks ? left : right, y}}, 1,
                  marks ? colors::frame : colors::faint);
    }
  };
  grid(false);
  grid(true);
  canvas.line({{left, top}, {right, top}, {right, bottom}, {left, bottom}, {left, top}}, 1,
              colors::frame);
  const double size = frame.text_size;
  for (const Tick& at : x_ticks) {
    canvas.text(frame.place(at.value, 0).x, bottom + tick + 0.9 * size, at.label, Align::center,
                size, colors::ink);
  }
  for (const Tick& at : y_ticks) {
    canvas.text(left - tick - 4, frame.place(0, at.value).y, at.label, Align::right, size,
                colors::ink);
  }
}

bool has_dots(const Curve& curve) { return curve.x.size() <= most_dots; }

void draw_curve(Canvas& canvas, const Frame& frame, const Curve& curve, Color color) {
  std::vector<Point> piece;
  const auto end_piece = [&] {
    if (piece.size() > 1) canvas.line(piece, curve_width, color);
    if (piece.size() == 1 || has_dots(curve)) {
      for (const Point& point : piece) canvas.dot(point, dot_radius, color);
    }
    piece.clear();
  };
  for (std::size_t i = 0; i < curve.x.size(); ++i) {
    if (is_shown(curve.x[i]) && is_shown(curve.y[i])) {
      piece.push_back(frame.place(curve.x[i], curve.y[i]));
    } else {
      end_piece();
    }
  }
  end_piece();
}

// ---- the legend

struct Entry {
  std::string name;
  Color color;
  double width;
  bool dashed, dots;
};

std::vector<Entry> entries_of(const Panel& panel) {
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < panel.curves.size(); ++i) {
    entries.push_back(
        {panel.curves[i].name, colors::of_curve(i), curve_width, false, has_dots(panel.curves[i])});
  }
  if (panel.mark) entries.push_back({panel.mark_name, mark_color, mark_width, true, false});
  std::erase_if(entries, [](const Entry& entry) { return entry.name.empty(); });
  return entries;
}

/// Points along the curves and the mark, evenly spaced over each piece.
std::vector<Point> drawn_points(const Frame& frame, const Panel& panel) {
  constexpr int parts = 16;
  std::vector<Point> points;
  const auto add = [&](const Point& from, const Point& to) {
    for (int part = 0; part <= parts; ++part) {
      const double t = static_cast<double>(part) / parts;
      points.push_back({std::lerp(from.x, to.x, t), std::lerp(from.y, to.y, t)});
    }
  };
  for (const Curve& curve : panel.curves) {
    for (std::size_t i = 0; i < curve.x.size(); ++i) {
      const std::size_t next = std::min(i + 1, curve.x.size() - 1);
      if (!is_shown(curve.y[i]) || !is_shown(curve.y[next])) continue;
      add(frame.place(curve.x[i], curve.y[i]), frame.place(curve.x[next], curve.y[next]));
    }
  }
  if (panel.mark) {
    const double x = frame.place(*panel.mark, 0).x;
    add({x, frame.box.top}, {x, frame.bottom()});
  }
  return points;
}

/// In the corner, or in the middle of a side, where it hides least.
void draw_legend(Canvas& canvas, const Frame& frame, const Panel& panel) {
  const std::vector<Entry> entries = entries_of(panel);
  if (entries.empty()) return;
  const double size = frame.text_size, line = 1.4 * size, sample = 1.9 * size, pad = 0.6 * size,
               margin = 8;
  const double most = std::max(0.0, frame.box.width - 2 * margin - sample - 3 * pad);
  std::vector<Fitted> names;
  double longest = 0;
  for (const Entry& entry : entries) {
    names.push_back(fitted(entry.name, size, most));
    longest = std::max(longest, text_width(names.back().text, names.back().size));
  }
  const double width = sample + longest + 3 * pad,
               height = line * static_cast<double>(entries.size()) + pad;
  const double right = frame.right() - margin - width, left = frame.box.left + margin,
               center = frame.box.left + (frame.box.width - width) / 2,
               top = frame.box.top + margin, bottom = frame.bottom() - margin - height,
               middle = frame.box.top + (frame.box.height - height) / 2;
  const std::array places{Point{right, top},    Point{right, bottom}, Point{left, bottom},
                          Point{left, top},     Point{center, top},   Point{center, bottom},
                          Point{right, middle}, Point{left, middle}};
  const std::vector<Point> points = drawn_points(frame, panel);
  const auto hides = [&](const Point& at) {
    return std::ranges::count_if(points, [&](const Point& point) {
      return point.x >= at.x - 4 && point.x <= at.x + width + 4 && point.y >= at.y - 4 &&
             point.y <= at.y + height + 4;
    });
  };
  const Point best = *std::ranges::min_element(places, {}, hides);
  const Box box{sharp(best.x), sharp(best.y), std::round(width), std::round(height)};
  canvas.rectangle(box, colors::white);
  const double x1 = box.left + box.width, y1 = box.top + box.height;
  canvas.line({{box.left, box.top}, {x1, box.top}, {x1, y1}, {box.left, y1}, {box.left, box.top}},
              1, legend_frame);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const double x = box.left + pad, y = box.top + pad / 2 + line * (static_cast<double>(i) + 0.5);
    canvas.line({{x, y}, {x + sample, y}}, entries[i].width, entries[i].color, entries[i].dashed);
    if (entries[i].dots) canvas.dot({x + sample / 2, y}, dot_radius, entries[i].color);
    canvas.text(x + sample + pad, y, names[i].text, Align::left, names[i].size, colors::ink);
  }
}

}  // namespace

void draw_panel(Canvas& canvas, const Box& box, const Panel& panel) {
  // Small panels have small text.
  const double scale = std::clamp(std::min(box.width / 300, box.height / 250), 0.7, 1.0);
  const double size = 13 * scale, title = 16 * scale;
  const Range x = x_range(panel), y = y_range(panel);
  const double top = std::round(2 * title), bottom = std::round(3.9 * size);
  const std::vector<Tick> y_ticks =
      ticks(y, tick_step(y.span(), (box.height - top - bottom) / (3 * size)));
  const double left = std::round(1.7 * size + widest_label(y_ticks, size) + 14);
  const Frame frame{{sharp(box.left + left), sharp(box.top + top),
                     std::round(box.width - left - 10), std::round(box.height - top - bottom)},
                    x,
                    y,
                    size};
  const double x_label = widest_label(ticks(x, std::max(1.0, tick_step(x.span(), 2))), size);
  const double x_step =
      std::max(1.0, tick_step(x.span(), frame.box.width / std::max(3.2 * size, x_label + size)));

  const Fitted heading = fitted(panel.title, title, box.width);
  canvas.text(std::clamp(frame.box.left + frame.box.width / 2,
                         box.left + text_width(heading.text, heading.size) / 2,
                         std::max(box.left, box.left + box.width -
                                                text_width(heading.text, heading.size) / 2)),
              box.top + title, heading.text, Align::center, heading.size, colors::ink);
  canvas.text(frame.box.left + frame.box.width / 2, frame.bottom() + 3.1 * size, panel.x_label,
              Align::center, size, colors::ink);
  const Fitted side = fitted(panel.y_label, size, frame.box.height + top);
  canvas.upright_text(box.left + 0.9 * size, frame.box.top + frame.box.height / 2, side.text,
                      Align::center, side.size, colors::ink);
  draw_axes(canvas, frame, ticks(x, x_step), y_ticks);
  if (panel.mark) {
    const double at = sharp(frame.place(*panel.mark, 0).x);
    canvas.line({{at, frame.box.top}, {at, frame.bottom()}}, mark_width, mark_color, true);
  }
  for (std::size_t i = 0; i < panel.curves.size(); ++i) {
    draw_curve(canvas, frame, panel.curves[i], colors::of_curve(i));
  }
  const bool empty = std::ranges::none_of(
      panel.curves, [](const Curve& curve) { return std::ranges::any_of(curve.y, is_shown); });
  if (!empty) return draw_legend(canvas, frame, panel);
  canvas.text(frame.box.left + frame.box.width / 2, frame.box.top + frame.box.height / 2,
              "no finite numbers", Align::center, size, colors::quiet);
}

}  // namespace weft
