#include "io/csv.hpp"

#include <csv.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <map>
#include <memory>
#include <optional>

#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

using Line = std::vector<std::string>;

/// All lines that have something in them.
std::vector<Line> read_lines(const fs::path& file, char delimiter) {
  std::ifstream in(file, std::ios::binary);
  if (!in) fail<IoError>("load_csv: cannot open \"{}\"", file.string());
  csv_parser parser;
  if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) throw std::bad_alloc();
  const std::unique_ptr<csv_parser, void (*)(csv_parser*)> freed(&parser, csv_free);
  csv_set_delim(&parser, static_cast<unsigned char>(delimiter));
  struct State {
    std::vector<Line> lines{};
    Line line{};
  } state;
  const auto on_field = [](void* text, std::size_t size, void* data) {
    static_cast<State*>(data)->line.emplace_back(static_cast<const char*>(text), size);
  };
  const auto on_line = [](int, void* data) {
    auto& [lines, line] = *static_cast<State*>(data);
    lines.push_back(std::move(line));
    line.clear();
  };
  std::array<char, 1 << 16> part{};
  bool good = true;
  while (good && (in.read(part.data(), part.size()), in.gcount() > 0)) {
    const auto size = static_cast<std::size_t>(in.gcount());
    good = csv_parse(&parser, part.data(), size, on_field, on_line, &state) == size;
  }
  if (!good || csv_fini(&parser, on_field, on_line, &state) != 0) {
    fail<IoError>("load_csv: \"{}\": after line {}: a quote is not where it should be",
                  file.string(), state.lines.size());
  }
  return std::move(state.lines);
}

std::optional<float> number_of(const std::string& text) {
  float number = 0;
  const char *first = text.data(), *last = first + text.size();
  if (first != last && *first == '+') ++first;
  const auto [end, error] = std::from_chars(first, last, number);
  return error == std::errc() && end == last && first != last ? std::optional(number)
                                                              : std::nullopt;
}

/// Which column the target is; as many as there are: none.
std::size_t target_of(const CsvOptions& options, const Line& names) {
  if (options.target.empty()) return names.size();
  if (options.header) {
    const auto found = std::ranges::find(names, options.target);
    if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  }
  const auto count = static_cast<int>(names.size());
  int number = 0;
  const char *first = options.target.data(), *last = first + options.target.size();
  const auto [end, error] = std::from_chars(first, last, number);
  if (error == std::errc() && end == last && number >= -count && number < count) {
    return static_cast<std::size_t>(number < 0 ? number + count : number);
  }
  fail<ArgumentError>("load_csv: target: there is no column \"{}\"; there are: {}", options.target,
                      fmt::join(names, ", "));
}

}  // namespace

CsvTable load_csv(const fs::path& file, const CsvOptions& options) {
  std::vector<Line> lines = read_lines(file, options.delimiter);
  Line names;
  if (options.header && !lines.empty()) {
    names = std::move(lines.front());
    lines.erase(lines.begin());
  }
  if (lines.empty()) {
    fail<IoError>("load_csv: \"{}\" has no lines{}", file.string(),
                  options.header ? " behind its header" : "");
  }
  if (!options.header) {
    for (std::size_t i = 0; i < lines[0].size(); ++i) names.push_back(std::to_string(i));
  }
  const std::size_t target = target_of(options, names), width = names.size();
  const bool has_target = target < width;
  const auto count = static_cast<std::int64_t>(lines.size());
  const auto inputs = static_cast<std::int64_t>(width - (has_target ? 1 : 0));
  if (inputs == 0) fail<IoError>("load_csv: \"{}\" has no column beside the target", file.string());

  Tensor x(Type{DType::f32, {count, inputs}});
  std::span<float> out = x.data<float>();
  std::vector<std::string> targets;
  bool words = options.classes;
  std::size_t at = 0;
  for (std::size_t row = 0; row < lines.size(); ++row) {
    const Line& line = lines[row];
    const std::size_t number = row + (options.header ? 2 : 1);
    if (line.size() != width) {
      fail<IoError>("load_csv: \"{}\": line {} has {} fields, not {}", file.string(), number,
                    line.size(), width);
    }
    for (std::size_t column = 0; column < width; ++column) {
      const std::optional<float> value = number_of(line[column]);
      if (column == target) {
        words = words || !value;
        targets.push_back(line[column]);
      } else if (value) {
        out[at++] = *value;
      } else {
        fail<IoError>("load_csv: \"{}\": line {}: \"{}\" in column \"{}\" is no number",
                      file.string(), number, line[column], names[column]);
      }
    }
  }

  CsvTable table;
  if (!has_target) {
    table.data = nn::Dataset(x);
  } else if (words) {
    std::map<std::string, std::int32_t> classes;
    for (const std::string& word : targets) classes.emplace(word, 0);
    for (auto& [word, number] : classes) {
      number = static_cast<std::int32_t>(table.classes.size());
      table.classes.push_back(word);
    }
    std::vector<std::int32_t> labels;
    for (const std::string& word : targets) labels.push_back(classes.at(word));
    table.data = nn::Dataset(x, Tensor::of<std::int32_t>({count}, labels));
  } else {
    std::vector<float> numbers;
    for (const std::string& text : targets) numbers.push_back(*number_of(text));
    table.data = nn::Dataset(x, Tensor::of<float>({count, 1}, numbers));
  }
  if (has_target) names.erase(names.begin() + static_cast<std::ptrdiff_t>(target));
  table.columns = std::move(names);
  return table;
}

}  // namespace weft
