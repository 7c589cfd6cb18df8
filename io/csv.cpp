#include "io/csv.hpp"

#include <csv.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/quoted.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

using Line = std::vector<std::string>;
using Fields = std::span<const std::string>;  // of a row

constexpr std::size_t most_columns = 1 << 20, most_classes = 1 << 18;

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
bool has_header(const CsvOptions& options, Fields first) {
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

/// Makes a table row by row. The number of rows is known, so that a file takes little more memory
/// than its numbers.
class TableBuilder {
 public:
  TableBuilder(const fs::path& file, const CsvOptions& options, std::size_t rows)
      : file_(file), options_(options), count_(rows) {}

  /// A row; `line` is the line of the file in which it begins, from 1.
  void add(Fields fields, std::size_t line) {
    if (!std::exchange(has_begun_, true)) {
      check_separator(fields, line);
      header_ = has_header(options_, fields);
      if (header_) {
        names_.assign(fields.begin(), fields.end());
        return;
      }
    }
    if (row_ == 0) begin(fields);
    if (row_ == count_ || fields.size() != names_.size()) {
      fail<IoError>("load_csv: \"{}\" was changed while it was read", file_.string());
    }
    for (std::size_t column = 0; column < fields.size(); ++column) {
      if (column == target_) {
        add_target(fields[column], line);
      } else {
        inputs_[input_++] = number(fields[column], column, line);
      }
    }
    ++row_;
  }

  CsvTable table() && {
    if (row_ == 0) {
      const bool header = header_ || options_.header.value_or(false);
      fail<IoError>("load_csv: \"{}\" has no lines{}", file_.string(),
                    header ? " behind its header" : "");
    }
    if (row_ != count_) {
      fail<IoError>("load_csv: \"{}\" was changed while it was read", file_.string());
    }
    CsvTable table;
    if (target_ == names_.size()) {
      table.data = nn::Dataset(x_);
    } else {
      if (y_.dtype() == DType::s32) table.classes = sort_classes();
      table.data = nn::Dataset(x_, y_);
      names_.erase(names_.begin() + static_cast<std::ptrdiff_t>(target_));
    }
    table.columns = std::move(names_);
    return table;
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(std::size_t line, fmt::format_string<Args...> format,
                           Args&&... args) const {
    fail<IoError>("load_csv: \"{}\": line {}: {}", file_.string(), line,
                  fmt::format(format, std::forward<Args>(args)...));
  }

  /// Refuses a table whose fields are separated by something else.
  void check_separator(Fields first, std::size_t line) const {
    if (first.size() != 1) return;
    for (const auto& [other, name] :
         {std::pair(';', "semicolons"), std::pair('\t', "tabs"), std::pair(',', "commas")}) {
      if (other == options_.delimiter || first[0].find(other) == std::string::npos) continue;
      const std::string wanted =
          options_.delimiter == ',' ? "commas" : fmt::format("'{}'", options_.delimiter);
      refuse(line, "fields must be separated by {}, but there are {}", wanted, name);
    }
  }

  void begin(Fields first) {
    for (std::size_t i = 0; !header_ && i < first.size(); ++i) names_.push_back(std::to_string(i));
    target_ = target();
    const std::size_t inputs = names_.size() - (target_ < names_.size() ? 1 : 0);
    if (inputs == 0) {
      fail<IoError>("load_csv: \"{}\" has no column beside the target", file_.string());
    }
    if (header_) --count_;
    x_ = Tensor(Type{DType::f32, {size(count_), size(inputs)}});
    inputs_ = x_.data<float>();
  }
  static std::int64_t size(std::size_t count) { return static_cast<std::int64_t>(count); }

  /// Which column the target is; as many as there are: none.
  std::size_t target() const {
    if (options_.target.empty()) return names_.size();
    if (header_) {
      const auto found = std::ranges::find(names_, options_.target);
      if (found != names_.end()) return static_cast<std::size_t>(found - names_.begin());
    }
    const auto count = static_cast<int>(names_.size());
    const std::optional<int> number = whole_number(options_.target);
    if (number && *number >= -count && *number < count) {
      return static_cast<std::size_t>(*number < 0 ? *number + count : *number);
    }
    fail<ArgumentError>("load_csv: \"{}\": target: there is no column {}; there are: {}",
                        file_.string(), in_quotes(options_.target),
                        printable(fmt::format("{}", fmt::join(names_, ", ")), 160));
  }

  float number(const std::string& field, std::size_t column, std::size_t line) const {
    const std::optional<float> value = number_of(field);
    if (!value) {
      refuse(line, "{} in column {} is no number", in_quotes(field), in_quotes(names_[column]));
    }
    check_finite(*value, field, column, line);
    return *value;
  }
  void check_finite(float value, const std::string& field, std::size_t column,
                    std::size_t line) const {
    if (std::isfinite(value)) return;
    refuse(line, "{} in column {}: numbers must be finite", in_quotes(field),
           in_quotes(names_[column]));
  }

  void add_target(const std::string& field, std::size_t line) {
    if (field.empty()) {
      refuse(line, "\"\" in column {} is no number and no class", in_quotes(names_[target_]));
    }
    const std::optional<float> value = number_of(field);
    check_kind(value.has_value(), field, line);
    const bool is_class = options_.classes || !value;
    if (!y_) {
      y_ = is_class ? Tensor(Type{DType::s32, {size(count_)}})
                    : Tensor(Type{DType::f32, {size(count_), 1}});
    }
    if (!is_class) {
      check_finite(*value, field, target_, line);
      y_.data<float>()[row_] = *value;
    } else {
      const auto next = static_cast<std::int32_t>(classes_.size());
      y_.data<std::int32_t>()[row_] = classes_.emplace(field, next).first->second;
      if (classes_.size() > most_classes) {
        refuse(line, "column {} has more than {} classes", in_quotes(names_[target_]),
               most_classes);
      }
    }
  }

  /// Targets are all numbers or all words.
  void check_kind(bool is_number, const std::string& field, std::size_t line) {
    if (options_.classes) return;
    std::optional<Seen>& first = is_number ? first_number_ : first_word_;
    if (!first) first = Seen{field, line};
    if (first_number_ && first_word_) {
      refuse(first_word_->line,
             "{} in column {} is no number, but {} in line {} is one: targets must be all numbers "
             "or all words",
             in_quotes(first_word_->text), in_quotes(names_[target_]),
             in_quotes(first_number_->text), first_number_->line);
    }
  }

  /// Words have been counted as they came, but classes are sorted.
  std::vector<std::string> sort_classes() {
    std::vector<std::string> words;
    std::vector<std::int32_t> sorted(classes_.size());
    for (const auto& [word, number] : classes_) {
      sorted[static_cast<std::size_t>(number)] = static_cast<std::int32_t>(words.size());
      words.push_back(word);
    }
    for (std::int32_t& label : y_.data<std::int32_t>()) {
      label = sorted[static_cast<std::size_t>(label)];
    }
    return words;
  }

  struct Seen {
    std::string text;
    std::size_t line;
  };

  const fs::path& file_;
  const CsvOptions& options_;
  std::size_t count_;  // of rows, with the header until that is known
  bool has_begun_ = false, header_ = false;
  Line names_;
  std::size_t target_ = 0, row_ = 0, input_ = 0;
  Tensor x_, y_;
  std::span<float> inputs_;                      // x_
  std::map<std::string, std::int32_t> classes_;  // by the number of their first row
  std::optional<Seen> first_number_, first_word_;
};

/// Reads a file in pieces, and calls a function with each row and the line in which it begins.
class Reader {
 public:
  Reader(const fs::path& file, char delimiter, const std::function<void(Fields, std::size_t)>& f)
      : file_(file), f_(f), blank_("\r\n \t") {
    if (csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI) != 0) throw std::bad_alloc();
    csv_set_delim(&parser_, static_cast<unsigned char>(delimiter));
    std::erase(blank_, delimiter);
  }
  ~Reader() { csv_free(&parser_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  void read() {
    std::ifstream in(file_, std::ios::binary);
    if (!in) fail<IoError>("load_csv: cannot open \"{}\"", file_.string());
    constexpr std::size_t piece_size = 1 << 18;
    std::string piece(piece_size, '\0');
    for (bool first = true; in; first = false) {
      in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
      std::string_view text(piece.data(), static_cast<std::size_t>(in.gcount()));
      constexpr std::string_view mark_of_utf8 = "\xef\xbb\xbf";
      if (first && text.starts_with(mark_of_utf8)) text.remove_prefix(mark_of_utf8.size());
      parse(text);
    }
    if (csv_fini(&parser_, on_field, on_row, this) != 0) misplaced_quote(row_line_);
    if (problem_) std::rethrow_exception(problem_);
  }

 private:
  [[noreturn]] void misplaced_quote(std::size_t line) const {
    fail<IoError>("load_csv: \"{}\": line {}: a quote is not where it should be", file_.string(),
                  line);
  }

  /// A line of the file at a time, or a part of one, so as to know which one it is.
  void parse(std::string_view text) {
    while (!text.empty()) {
      if (!(after_return_ && text[0] == '\n') && is_line_begin_) ++line_;
      const std::size_t end = text.find_first_of("\r\n");
      std::size_t size = end == std::string_view::npos ? text.size() : end + 1;
      if (size < text.size() && text[size - 1] == '\r' && text[size] == '\n') ++size;
      const std::string_view part = text.substr(0, size);
      text.remove_prefix(size);
      if (row_line_ == 0 && part.find_first_not_of(blank_) != std::string_view::npos) {
        row_line_ = line_;
      }
      if (csv_parse(&parser_, part.data(), part.size(), on_field, on_row, this) != part.size()) {
        misplaced_quote(line_);
      }
      if (problem_) std::rethrow_exception(problem_);
      after_return_ = part.back() == '\r';
      is_line_begin_ = after_return_ || part.back() == '\n';
    }
  }

  /// Exceptions do not pass through libcsv, which is C.
  template <class F>
  void guarded(F f) noexcept {
    if (problem_) return;
    try {
      f();
    } catch (...) {
      problem_ = std::current_exception();
    }
  }
  static void on_field(void* field, std::size_t size, void* data) {
    auto& self = *static_cast<Reader*>(data);
    self.guarded([&] {
      if (self.used_ == most_columns) {
        fail<IoError>("load_csv: \"{}\": line {}: it has more than {} fields", self.file_.string(),
                      self.row_line_, most_columns);
      }
      if (self.used_ == self.fields_.size()) self.fields_.emplace_back();
      self.fields_[self.used_++].assign(static_cast<const char*>(field), size);
    });
  }
  static void on_row(int, void* data) {
    auto& self = *static_cast<Reader*>(data);
    self.guarded([&] {
      const std::size_t count = std::exchange(self.used_, 0);
      self.f_(Fields(self.fields_).first(count), std::exchange(self.row_line_, 0));
    });
  }

  const fs::path& file_;
  const std::function<void(Fields, std::size_t)>& f_;
  csv_parser parser_{};
  std::string blank_;
  Line fields_;  // of a row; its strings are used again for the next
  std::size_t used_ = 0, line_ = 0, row_line_ = 0;
  bool is_line_begin_ = true, after_return_ = false;
  std::exception_ptr problem_;
};

}  // namespace

CsvTable load_csv(const fs::path& file, const CsvOptions& options) {
  std::size_t rows = 0, width = 0;
  const auto count = [&](Fields fields, std::size_t line) {
    if (rows++ == 0) width = fields.size();
    if (fields.size() == width) return;
    fail<IoError>("load_csv: \"{}\": line {} has {} fields, not {}", file.string(), line,
                  fields.size(), width);
  };
  Reader(file, options.delimiter, count).read();
  TableBuilder builder(file, options, rows);
  const auto add = [&](Fields fields, std::size_t line) { builder.add(fields, line); };
  Reader(file, options.delimiter, add).read();
  return std::move(builder).table();
}

}  // namespace weft
