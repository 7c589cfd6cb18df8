#include "io/plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/canvas.hpp"
#include "io/image.hpp"
#include "io/panel.hpp"
#include "nn/diagnosis.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr double text_size = 13, title_size = 16;
constexpr double most_caption = 220, most_name = 240;  // pixels, of text below and beside others
constexpr Color right_color{8, 81, 156}, wrong_color{200, 40, 30};

int size_or(int given, double suits) {
  return given != 0 ? given : static_cast<int>(std::lround(suits));
}

double title_height(const PlotOptions& options) { return options.title.empty() ? 0 : 40; }

void draw_title(Canvas& canvas, double width, const PlotOptions& options) {
  const Fitted title = fitted(options.title, title_size, width - 16);
  canvas.text(width / 2, 21, title.text, Align::center, title.size, colors::ink);
}

std::vector<std::string> names_or_numbers(std::string_view who, std::vector<std::string> names,
                                          std::int64_t count) {
  if (!names.empty() && std::ssize(names) != count) {
    fail<ShapeError>("{}: there are {} classes, but {} names", who, count, names.size());
  }
  for (std::int64_t i = std::ssize(names); i < count; ++i) names.push_back(std::to_string(i));
  return names;
}

// ---- classes

struct Answer {
  std::int64_t label, predicted;
  double probability;
};

bool is_column(const Shape& shape) {
  return shape.rank() == 1 || (shape.rank() == 2 && shape[1] == 1);
}

bool is_nan(float number) { return std::isnan(number); }

std::int64_t largest(std::span<const float> row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

struct Answers {
  std::int64_t classes;
  std::vector<Answer> all;
};

Answers answers(std::string_view who, const Tensor& labels, const Tensor& predictions) {
  const Shape &l = labels.shape(), &p = predictions.shape();
  const bool binary = is_column(p);
  const std::int64_t classes = binary ? 2 : p.rank() == 2 ? p[1] : 0;
  if (classes == 0 || (!is_column(l) && !(l.rank() == 2 && l[1] == classes)) || l[0] != p[0]) {
    fail<ShapeError>(
        "{}: labels are [N], [N,1] or [N,K], predictions [N,K], [N] or [N,1], but these are {} and "
        "{}",
        who, labels.type(), predictions.type());
  }
  if (predictions.dtype() != DType::f32) {
    fail<TypeError>("{}: predictions are f32, but these are {}", who, predictions.type());
  }
  const std::vector<float> label_numbers = to_floats(labels);
  const auto numbers = predictions.data<float>();
  Answers result{classes, {}};
  for (std::size_t i = 0; i < static_cast<std::size_t>(p[0]); ++i) {
    Answer answer{};
    if (is_column(l)) {
      const float label = label_numbers[i];
      if (!(label >= 0 && label < static_cast<float>(classes)) || label != std::floor(label)) {
        fail<ArgumentError>("{}: label {} is {}, but classes are 0 to {}", who, i, label,
                            classes - 1);
      }
      answer.label = static_cast<std::int64_t>(label);
    } else {
      const auto width = static_cast<std::size_t>(classes);
      answer.label = largest(std::span(label_numbers).subspan(i * width, width));
    }
    const auto p_width = binary ? 1 : static_cast<std::size_t>(classes);
    if (std::ranges::any_of(numbers.subspan(i * p_width, p_width), is_nan)) {
      fail<ArgumentError>("{}: prediction {} has a NaN, which says nothing of its class", who, i);
    }
    if (binary) {
      answer.predicted = numbers[i] > 0.5f ? 1 : 0;
      answer.probability = static_cast<double>(answer.predicted == 1 ? numbers[i] : 1 - numbers[i]);
    } else {
      const auto width = static_cast<std::size_t>(classes);
      const auto row = numbers.subspan(i * width, width);
      answer.predicted = largest(row);
      answer.probability = static_cast<double>(row[static_cast<std::size_t>(answer.predicted)]);
    }
    result.all.push_back(answer);
  }
  return result;
}

// ---- tiles

struct Line {
  std::string text;
  double size;
  Color color;
};

/// An image with lines of text below it, of which all tiles have as many.
struct Tile {
  Tensor image;
  std::vector<Line> lines;
};

Tensor row_of(const Tensor& images, std::int64_t row) {
  const Shape& shape = images.shape();
  std::vector<std::int64_t> sizes(shape.begin(), shape.end());
  sizes[0] = 1;
  Tensor image(Type{images.dtype(), Shape(sizes)});
  const std::size_t bytes = image.type().bytes();
  std::copy_n(images.bytes() + static_cast<std::size_t>(row) * bytes, bytes, image.bytes());
  return sheet(image, 1, 0);
}

/// Tiles of one size, row after row.
///   suits  pixels, how wide an image would be
void plot_tiles(const fs::path& file, const std::vector<Tile>& tiles, const PlotOptions& options,
                double suits) {
  const double gap = 12;
  double text_wide = 0, text_high = 0;
  for (const Tile& tile : tiles) {
    for (const Line& line : tile.lines) {
      text_wide = std::max(text_wide, text_width(line.text, line.size));
    }
  }
  for (const Line& line : tiles[0].lines) text_high += line.size + 4;
  const Shape& shape = tiles[0].image.shape();
  const double height_of = static_cast<double>(shape[0]), width_of = static_cast<double>(shape[1]);
  // By a whole number, so that all pixels are of one size.
  const double scale = width_of <= suits ? std::floor(suits / width_of) : suits / width_of;
  const double width = scale * width_of, height = scale * height_of;
  const double cell = std::clamp(text_wide, width, std::max(width, most_caption)) + gap,
               line = height + text_high + gap;
  const double count = static_cast<double>(tiles.size());
  const double most =
      std::max(1.0, std::floor(((options.width != 0 ? options.width : 1000) - gap) / cell));
  // So that the last row is about as long as the others.
  const double rows = std::ceil(count / most), columns = std::ceil(count / rows);
  const double title = std::min(1000.0, text_width(options.title, title_size) + 2 * gap);
  const int page_width = size_or(options.width, std::max({64.0, gap + columns * cell, title}));
  const double top = std::max(gap, title_height(options)), left = (page_width - columns * cell) / 2;
  write_page(
      file, page_width, size_or(options.height, std::max(64.0, top + rows * line)),
      [&](Canvas& canvas) {
        draw_title(canvas, page_width, options);
        for (std::size_t i = 0; i < tiles.size(); ++i) {
          const double place = static_cast<double>(i), row = std::floor(place / columns);
          const double center = std::floor(left + (place - row * columns + 0.5) * cell);
          const Box box{std::floor(center - width / 2), top + row * line, width, height};
          canvas.rectangle({box.left - 1, box.top - 1, width + 2, height + 2}, colors::frame);
          canvas.image(box, tiles[i].image);
          double y = box.top + height + 2;
          for (const auto& [text, size, color] : tiles[i].lines) {
            const Fitted shown = fitted(text, size, cell - gap / 2);
            canvas.text(center, y + (size + 4) / 2, shown.text, Align::center, shown.size, color);
            y += size + 4;
          }
        }
      });
}

}  // namespace

// ---- curves

void plot_curves(const fs::path& file, const std::vector<Panel>& panels,
                 const PlotOptions& options) {
  if (panels.empty()) fail<ArgumentError>("plot_curves: there are no panels");
  for (const Panel& panel : panels) {
    for (const Curve& curve : panel.curves) {
      if (curve.x.size() != curve.y.size()) {
        fail<ArgumentError>("plot_curves: \"{}\" has {} numbers x and {} numbers y", curve.name,
                            curve.x.size(), curve.y.size());
      }
    }
  }
  const std::size_t columns = std::min<std::size_t>(2, panels.size()),
                    rows = (panels.size() + columns - 1) / columns;
  const double top = title_height(options);
  const int width = size_or(options.width, columns == 1 ? 640 : 1000),
            height = size_or(options.height, top + 400 * static_cast<double>(rows));
  write_page(file, width, height, [&](Canvas& canvas) {
    draw_title(canvas, width, options);
    const double panel_width = width / static_cast<double>(columns),
                 panel_height = (height - top) / static_cast<double>(rows);
    for (std::size_t i = 0; i < panels.size(); ++i) {
      draw_panel(
          canvas,
          {panel_width * static_cast<double>(i % columns) + 6,
           top + panel_height * static_cast<double>(i / columns), panel_width - 12, panel_height},
          panels[i]);
    }
  });
}

void nn::History::plot(const fs::path& file, const PlotOptions& options,
                       const std::vector<std::string>& wanted) const {
  if (epoch.empty()) fail<ArgumentError>("plot: the history has no epoch");
  const auto curve = [&](const std::string& name, const char* label) {
    Curve result{label, {}, (*this)[name]};
    for (const int at : epochs_of(name)) result.x.push_back(at + 1);
    return result;
  };
  const Diagnosis found = diagnosis(*this);
  std::vector<std::string> shown = wanted;
  if (shown.empty()) {
    shown = names();
    std::erase_if(shown, [&](const std::string& name) {
      return name.starts_with("val_") && contains(name.substr(4));
    });
  }
  std::vector<Panel> panels;
  for (const std::string& name : shown) {
    std::string words = name;
    std::ranges::replace(words, '_', ' ');
    Panel panel{.title = words, .y_label = words};
    if (!panel.title.empty() && panel.title[0] >= 'a' && panel.title[0] <= 'z') {
      panel.title[0] = static_cast<char>(panel.title[0] - 'a' + 'A');
    }
    panel.curves.push_back(curve(name, "training"));
    if (contains("val_" + name)) panel.curves.push_back(curve("val_" + name, "validation"));
    if (found.best_epoch) {
      panel.mark = *found.best_epoch;
      panel.mark_name = fmt::format("best epoch: {}", *found.best_epoch);
    }
    panels.push_back(std::move(panel));
  }
  plot_curves(file, panels, options);
}

// ---- confusion

Tensor confusion_matrix(const Tensor& labels, const Tensor& predictions) {
  const Answers found = answers("confusion_matrix", labels, predictions);
  Tensor counts(Type{DType::f32, {found.classes, found.classes}});
  const auto numbers = counts.data<float>();
  for (const Answer& answer : found.all) {
    ++numbers[static_cast<std::size_t>(answer.label * found.classes + answer.predicted)];
  }
  return counts;
}

void plot_confusion_matrix(const fs::path& file, const Tensor& counts,
                           const std::vector<std::string>& classes, const PlotOptions& options) {
  const Shape& shape = counts.shape();
  if (shape.rank() != 2 || shape[0] != shape[1] || shape[0] < 1) {
    fail<ShapeError>("plot_confusion_matrix: counts are f32[K,K], not {}", counts.type());
  }
  if (counts.dtype() != DType::f32) {
    fail<TypeError>("plot_confusion_matrix: counts are f32[K,K], not {}", counts.type());
  }
  const std::int64_t size = shape[0];
  const auto names = names_or_numbers("plot_confusion_matrix", classes, size);
  const auto numbers = counts.data<float>();
  // What is cut of a name is cut the same way on both sides.
  std::vector<std::string> shown;
  for (const std::string& name : names) {
    shown.push_back(fitted(name, text_size, most_name, text_size).text);
  }
  const double longest = widest(shown, text_size), top = std::max(16.0, title_height(options)),
               left = 44 + longest, right = 20;
  // As wide as its numbers need, if the page is ours to choose.
  // Up to 60 classes, each has room for its name.
  const double suits =
      std::clamp(600.0 / static_cast<double>(size), size <= 60 ? 16.0 : 8.0, 110.0);
  const bool upright = longest > suits - 6;
  const double bottom = 44 + (upright ? longest : text_size);
  const int width = size_or(options.width,
                            std::max(left + suits * static_cast<double>(size) + right,
                                     std::min(1000.0, text_width(options.title, title_size)))),
            height = size_or(options.height, top + suits * static_cast<double>(size) + bottom);
  const double cell =
      std::min((width - left - right), (height - top - bottom)) / static_cast<double>(size);
  if (cell < 2) {
    fail<ArgumentError>("plot_confusion_matrix: {}x{} pixels are too few for {} classes", width,
                        height, size);
  }
  const double edge = cell >= 12 ? 2 : 0;  // white lines between cells
  write_page(file, width, height, [&](Canvas& canvas) {
    draw_title(canvas, width, options);
    // The names that have room.
    const auto every = static_cast<std::int64_t>(std::ceil(1.2 * text_size / cell));
    const double length = cell * static_cast<double>(size);
    for (std::int64_t i = 0; i < size; ++i) {
      double total = 0;
      for (std::int64_t k = 0; k < size; ++k) {
        total += static_cast<double>(numbers[static_cast<std::size_t>(i * size + k)]);
      }
      const double y = top + cell * static_cast<double>(i), middle = y + cell / 2;
      for (std::int64_t k = 0; k < size; ++k) {
        const double count = static_cast<double>(numbers[static_cast<std::size_t>(i * size + k)]);
        // The root, since some per cent of mistakes shall be seen beside all that is right.
        const double strength = total > 0 ? std::sqrt(std::max(0.0, count / total)) : 0;
        const double x = left + cell * static_cast<double>(k);
        canvas.rectangle(
            {x, y, cell - edge, cell - edge},
            strength > 0 ? colors::tint(i == k ? right_color : wrong_color, 0.08 + 0.92 * strength)
                         : Color{246, 246, 246});
        const std::string number = fmt::format("{:.{}g}", count, count < 1e9 ? 9 : 3);
        const double most = std::min(text_size, 0.5 * cell),
                     font = std::min(most, most * 0.86 * cell / text_width(number, most));
        if (count == 0 || font < 7) continue;
        canvas.text(x + cell / 2, middle, number, Align::center, font,
                    strength > 0.6 ? colors::white : colors::ink);
      }
      if (i % every != 0) continue;
      const std::string& name = shown[static_cast<std::size_t>(i)];
      canvas.text(left - 8, middle, name, Align::right, text_size, colors::ink);
      const double x = left + cell * (static_cast<double>(i) + 0.5);
      if (upright) {
        canvas.upright_text(x, top + length + 8, name, Align::right, text_size, colors::ink);
      } else {
        canvas.text(x, top + length + 12, name, Align::center, text_size, colors::ink);
      }
    }
    canvas.upright_text(16, top + length / 2, "True class", Align::center, text_size, colors::ink);
    canvas.text(left + length / 2, top + length + bottom - 14, "Predicted class", Align::center,
                text_size, colors::ink);
  });
}

// ---- predictions

void plot_prediction(const fs::path& file, const Tensor& probabilities,
                     const std::vector<std::string>& classes, const PlotOptions& options) {
  const Shape& shape = probabilities.shape();
  if (!(shape.rank() == 1 || (shape.rank() == 2 && shape[0] == 1)) || shape.elements() == 0) {
    fail<ShapeError>("plot_prediction: one prediction is f32[K], not {}", probabilities.type());
  }
  const auto numbers = probabilities.data<float>();
  const auto names = names_or_numbers("plot_prediction", classes, std::ssize(numbers));
  std::vector<std::size_t> order(numbers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // NaN comes last: no number is less than it.
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t i) {
    return is_nan(numbers[i]) ? -HUGE_VALF : numbers[i];
  });
  order.resize(std::min<std::size_t>(order.size(), 10));
  const double row = 26, top = std::max(12.0, title_height(options));
  const int width = size_or(options.width, 560),
            height = size_or(options.height,
                             std::max(64.0, top + row * static_cast<double>(order.size()) + 12));
  const double left = std::min(0.4 * width, 28 + widest(names, text_size)), right = 72;
  const double line = (height - top - 12) / static_cast<double>(order.size());
  write_page(file, width, height, [&](Canvas& canvas) {
    draw_title(canvas, width, options);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const double y = top + line * static_cast<double>(i), room = width - left - right;
      const double part = static_cast<double>(numbers[order[i]]);
      const double shown = std::isfinite(part) ? std::clamp(part, 0.0, 1.0) : 0;
      const std::string& name = names[order[i]];
      const Fitted label = fitted(name, text_size, left - 16);
      canvas.text(left - 10, y + line / 2, label.text, Align::right, label.size, colors::ink);
      canvas.rectangle({left, y + 0.15 * line, room, 0.7 * line}, {240, 240, 240});
      canvas.rectangle({left, y + 0.15 * line, std::max(1.0, room * shown), 0.7 * line},
                       i == 0 ? right_color : colors::tint(right_color, 0.5));
      canvas.text(width - right + 8, y + line / 2, fmt::format("{:.1f} %", 100 * part), Align::left,
                  text_size, colors::ink);
    }
  });
}

std::vector<Mistake> mistakes(const Tensor& labels, const Tensor& predictions) {
  const Answers found = answers("mistakes", labels, predictions);
  std::vector<Mistake> result;
  for (std::size_t i = 0; i < found.all.size(); ++i) {
    const auto& [label, predicted, probability] = found.all[i];
    if (label != predicted) {
      result.push_back({static_cast<std::int64_t>(i), label, predicted, probability});
    }
  }
  std::ranges::stable_sort(result, std::greater(), &Mistake::probability);
  return result;
}

void plot_mistakes(const fs::path& file, const Tensor& images, const std::vector<Mistake>& shown,
                   const std::vector<std::string>& classes, const PlotOptions& options,
                   std::size_t most) {
  const Shape& shape = images.shape();
  if (!(shape.rank() == 3 || (shape.rank() == 4 && (shape[3] == 1 || shape[3] == 3))) ||
      shape.elements() == 0) {
    fail<ShapeError>("plot_mistakes: images are [N,H,W], [N,H,W,1] or [N,H,W,3], not {}", shape);
  }
  const auto name = [&](std::int64_t label) {
    if (classes.empty()) return std::to_string(label);
    if (label < 0 || label >= std::ssize(classes)) {
      fail<ArgumentError>("plot_mistakes: class {} has no name; there are {}", label,
                          classes.size());
    }
    return classes[static_cast<std::size_t>(label)];
  };
  std::vector<std::vector<std::string>> captions;
  double longest = 0;
  for (const Mistake& mistake : std::span(shown).first(std::min(most, shown.size()))) {
    if (mistake.sample < 0 || mistake.sample >= shape[0]) {
      fail<ArgumentError>("plot_mistakes: there is no sample {}; there are {}", mistake.sample,
                          shape[0]);
    }
    const std::string arrow = "\xe2\x86\x92 ";
    captions.push_back({name(mistake.label), arrow + name(mistake.predicted)});
    longest =
        std::max(longest, text_width(captions.back()[0] + " " + captions.back()[1], text_size));
  }
  std::vector<Tile> tiles;
  for (std::size_t i = 0; i < captions.size(); ++i) {
    Tile tile{row_of(images, shown[i].sample), {}};
    // On two lines, if one would be too long.
    if (longest <= most_caption) captions[i] = {captions[i][0] + " " + captions[i][1]};
    for (const std::string& text : captions[i])
      tile.lines.push_back({text, text_size, colors::ink});
    tile.lines.push_back(
        {fmt::format("({:.1f} %)", 100 * shown[i].probability), text_size - 1, colors::quiet});
    tiles.push_back(std::move(tile));
  }
  if (!tiles.empty()) return plot_tiles(file, tiles, options, 96);
  const int width = size_or(options.width, 480), height = size_or(options.height, 120);
  write_page(file, width, height, [&](Canvas& canvas) {
    draw_title(canvas, width, options);
    canvas.text(width / 2.0, height / 2.0, "No mistakes", Align::center, title_size, colors::ink);
  });
}

// ---- filters

void plot_filters(const fs::path& file, const Tensor& kernel, const PlotOptions& options) {
  const Shape& shape = kernel.shape();
  if (shape.rank() != 4 || shape.elements() == 0) {
    fail<ShapeError>("plot_filters: a kernel is f32[KH,KW,C,O], not {}", kernel.type());
  }
  if (kernel.dtype() != DType::f32) {
    fail<TypeError>("plot_filters: a kernel is f32[KH,KW,C,O], not {}", kernel.type());
  }
  const std::int64_t area = shape[0] * shape[1], channels = shape[2], filters = shape[3];
  const std::int64_t depth = channels == 3 ? 3 : 1, parts = channels / depth;
  const auto numbers = kernel.data<float>();
  std::vector<Tile> tiles;
  for (std::int64_t tile = 0; tile < std::min<std::int64_t>(256, filters * parts); ++tile) {
    const std::int64_t filter = tile / parts, part = tile % parts;
    std::vector<float> weights;
    for (std::int64_t at = 0; at < area; ++at) {
      for (std::int64_t c = 0; c < depth; ++c) {
        weights.push_back(numbers[static_cast<std::size_t>(
            (at * channels + part * depth + c) * filters + filter)]);
      }
    }
    const auto [least, most] = std::ranges::minmax(weights);
    const float low = least, span = most > least ? most - least : 1;
    for (float& weight : weights) weight = (weight - low) / span;
    tiles.push_back({sheet(Tensor::of<float>({1, shape[0], shape[1], depth}, weights), 1, 0), {}});
  }
  plot_tiles(file, tiles, options, 72);
}

}  // namespace weft
