#include "io/csv.hpp"

#include <csv.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>

#include "graph/error.hpp"
#include "graph/print.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

using Line = std::vector<std::string>;

/// A line of a table, which may go on over several of the file.
struct Row {
  Line fields;
  std::size_t number = 0;  ///< the line of the file in which it begins, from 1
};

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) fail<IoError>("load_csv: cannot open \"{}\"", file.string());
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);  // the mark of UTF-8
  return text;
}

/// All lines that have something in them.
std::vector<Row> read_rows(const fs::path& file, char delimiter) {
  const std::string text = content_of(file);
  csv_parser parser;
  if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) throw std::bad_alloc();
  const std::unique_ptr<csv_parser, void (*)(csv_parser*)> freed(&parser, csv_free);
  csv_set_delim(&parser, static_cast<unsigned char>(delimiter));
  struct State {
    std::vector<Row> rows{};
    Row row{};
  } state;
  const auto on_field = [](void* field, std::size_t size, void* data) {
    static_cast<State*>(data)->row.fields.emplace_back(static_cast<const char*>(field), size);
  };
  const auto on_row = [](int, void* data) {
    auto& [rows, row] = *static_cast<State*>(data);
    rows.push_back(std::move(row));
    row = {};
  };
  std::string blank = "\r\n \t";
  std::erase(blank, delimiter);
  std::size_t number = 0;
  bool good = true;
  for (std::size_t at = 0; good && at < text.size();) {
    // a line of the file at a time, so as to know which one it is
    const std::size_t end = text.find_first_of("\r\n", at);
    std::size_t next = end == std::string::npos ? text.size() : end + 1;
    if (next < text.size() && text[next - 1] == '\r' && text[next] == '\n') ++next;
    const std::size_t size = next - at;
    ++number;
    const bool is_blank = text.find_first_not_of(blank, at) >= next;
    if (state.row.number == 0 && !is_blank) state.row.number = number;
    good = csv_parse(&parser, &text[at], size, on_field, on_row, &state) == size;
    at = next;
  }
  if (!good || csv_fini(&parser, on_field, on_row, &state) != 0) {
    fail<IoError>("load_csv: \"{}\": line {}: a quote is not where it should be", file.string(),
                  good ? state.row.number : number);
  }
  return std::move(state.rows);
}

/// A field as a number: one too small for f32 is 0, one too big infinite.
std::optional<float> number_of(const std::string& text) {
  double number = 0;
  const char *first = text.data(), *last = first + text.size();
  if (first != last && *first == '+') ++first;
  const auto [end, error] = std::from_chars(first, last, number);
  if (end != last || first == last) return std::nullopt;
  if (error == std::errc()) return static_cast<float>(number);
  if (error != std::errc::result_out_of_range) return std::nullopt;
  const std::size_t exponent = text.find_first_of("eE");
  const bool is_small = exponent == std::string::npos
                            ? std::abs(std::atof(text.c_str())) < 1
                            : text.find('-', exponent) != std::string::npos;
  return is_small ? 0 : std::numeric_limits<float>::infinity();
}

std::optional<int> whole_number(const std::string& text) {
  int number = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  return error == std::errc() && end == last ? std::optional(number) : std::nullopt;
}

/// Are there names in the first line? If nothing else is said: unless all its inputs are numbers.
bool has_header(const CsvOptions& options, const Line& first) {
  if (options.header) return *options.header;
  const std::optional<int> target = whole_number(options.target);
  if (!options.target.empty() && !target) return true;
  const auto count = static_cast<int>(first.size());
  for (int i = 0; i < count; ++i) {
    const bool is_target = target && i == (*target < 0 ? *target + count : *target);
    if (!is_target && !number_of(first[static_cast<std::size_t>(i)])) return true;
  }
  return false;
}

/// Refuses a table whose fields are separated by something else.
void check_separator(const fs::path& file, char delimiter, const Row& first) {
  if (first.fields.size() != 1) return;
  for (const auto& [other, name] :
       {std::pair(';', "semicolons"), std::pair('\t', "tabs"), std::pair(',', "commas")}) {
    if (other == delimiter || first.fields[0].find(other) == std::string::npos) continue;
    const std::string wanted = delimiter == ',' ? "commas" : fmt::format("'{}'", delimiter);
    fail<IoError>("load_csv: \"{}\": line {}: fields must be separated by {}, but there are {}",
                  file.string(), first.number, wanted, name);
  }
}

/// Which column the target is; as many as there are: none.
std::size_t target_of(const CsvOptions& options, const Line& names, bool header) {
  if (options.target.empty()) return names.size();
  if (header) {
    const auto found = std::ranges::find(names, options.target);
    if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  }
  const auto count = static_cast<int>(names.size());
  const std::optional<int> number = whole_number(options.target);
  if (number && *number >= -count && *number < count) {
    return static_cast<std::size_t>(*number < 0 ? *number + count : *number);
  }
  fail<ArgumentError>("load_csv: target: there is no column \"{}\"; there are: {}", options.target,
                      fmt::join(names, ", "));
}

}  // namespace

CsvTable load_csv(const fs::path& file, const CsvOptions& options) {
  std::vector<Row> rows = read_rows(file, options.delimiter);
  Line names;
  bool header = options.header.value_or(false);
  if (!rows.empty()) {
    check_separator(file, options.delimiter, rows[0]);
    header = has_header(options, rows[0].fields);
    if (header) {
      names = std::move(rows.front().fields);
      rows.erase(rows.begin());
    }
  }
  if (rows.empty()) {
    fail<IoError>("load_csv: \"{}\" has no lines{}", file.string(),
                  header ? " behind its header" : "");
  }
  if (!header) {
    for (std::size_t i = 0; i < rows[0].fields.size(); ++i) names.push_back(std::to_string(i));
  }
  const std::size_t target = target_of(options, names, header), width = names.size();
  const bool has_target = target < width;
  const auto count = static_cast<std::int64_t>(rows.size());
  const auto inputs = static_cast<std::int64_t>(width - (has_target ? 1 : 0));
  if (inputs == 0) fail<IoError>("load_csv: \"{}\" has no column beside the target", file.string());

  Tensor x(Type{DType::f32, {count, inputs}});
  std::span<float> out = x.data<float>();
  std::vector<std::string> targets;
  const Row *with_number = nullptr, *with_word = nullptr;  // the first of whose targets is one
  std::size_t at = 0;
  for (const Row& row : rows) {
    if (row.fields.size() != width) {
      fail<IoError>("load_csv: \"{}\": line {} has {} fields, not {}", file.string(), row.number,
                    row.fields.size(), width);
    }
    for (std::size_t column = 0; column < width; ++column) {
      const std::string& field = row.fields[column];
      const bool is_target = column == target, is_class = is_target && options.classes;
      const std::optional<float> value = number_of(field);
      if (field.empty() || (!value && !is_target)) {
        fail<IoError>("load_csv: \"{}\": line {}: \"{}\" in column \"{}\" is no number{}",
                      file.string(), row.number, field, names[column],
                      is_target ? " and no class" : "");
      }
      if (value && !std::isfinite(*value) && !is_class) {
        fail<IoError>("load_csv: \"{}\": line {}: \"{}\" in column \"{}\": numbers must be finite",
                      file.string(), row.number, field, names[column]);
      }
      if (!is_target) {
        out[at++] = *value;
        continue;
      }
      const Row*& first = value ? with_number : with_word;
      if (first == nullptr) first = &row;
      targets.push_back(field);
    }
  }
  if (with_word != nullptr && with_number != nullptr && !options.classes) {
    fail<IoError>(
        "load_csv: \"{}\": line {}: \"{}\" in column \"{}\" is no number, but \"{}\" in line {} "
        "is one: targets must be all numbers or all words",
        file.string(), with_word->number, with_word->fields[target], names[target],
        with_number->fields[target], with_number->number);
  }
  const bool words = options.classes || with_word != nullptr;

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
