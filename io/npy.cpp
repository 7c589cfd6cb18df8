#include "io/npy.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/atomic_file.hpp"
#include "io/quoted.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view magic = "\x93NUMPY";

/// How NumPy names element types, without the byte order, and what they become here.
struct ElementType {
  std::string_view code;
  std::size_t bytes;
  DType dtype;
};
constexpr std::array element_types{
    ElementType{"f4", 4, DType::f32}, ElementType{"f8", 8, DType::f32},
    ElementType{"i4", 4, DType::s32}, ElementType{"i8", 8, DType::s32},
    ElementType{"i1", 1, DType::s8},  ElementType{"u1", 1, DType::u8},
    ElementType{"b1", 1, DType::u8}};

struct Header {
  ElementType element{};
  bool swapped = false;  ///< not in this machine's byte order
  bool fortran_order = false;
  Shape shape;
};

/// Reads the header, a Python dictionary of three entries: {'descr': '<f4', 'fortran_order': False,
/// 'shape': (3, 4), }.
class HeaderParser {
 public:
  HeaderParser(std::string name, std::string_view text)
      : name_(std::move(name)), text_(text), rest_(text) {}

  Header parse() {
    std::optional<std::string_view> descr;
    std::optional<bool> fortran_order;
    std::optional<Shape> shape;
    expect("{");
    while (!accept("}")) {
      const std::string_view key = string();
      expect(":");
      if (key == "descr" && !descr) {
        descr = element_name();
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = boolean();
      } else if (key == "shape" && !shape) {
        shape = tuple();
      } else {
        malformed();
      }
      if (!accept(",")) {
        expect("}");
        break;
      }
    }
    skip_space();
    if (!rest_.empty() || !descr || !fortran_order || !shape) malformed();
    Header header = element_of(*descr);
    header.fortran_order = *fortran_order;
    header.shape = *shape;
    return header;
  }

 private:
  [[noreturn]] void malformed() const {
    fail<IoError>(
        "read_npy: \"{}\" has a malformed header: {}; it should read like "
        "{{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }}",
        name_, in_quotes(text_));
  }
  [[noreturn]] void foreign(std::string_view descr) const {
    fail<IoError>(
        "read_npy: \"{}\" holds elements of type {}, which cannot be read; float32, float64, "
        "int32, "
        "int64, int8, uint8 and bool can",
        name_, printable(descr));
  }

  void skip_space() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
  }
  bool accept(std::string_view token) {
    skip_space();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) malformed();
  }
  std::string_view string() {
    skip_space();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) malformed();
    const std::size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) malformed();
    const std::string_view result = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return result;
  }
  std::string_view element_name() {
    skip_space();
    if (rest_.starts_with("[")) foreign(rest_);  // a list of fields: records
    return string();
  }
  bool boolean() {
    if (accept("True")) return true;
    expect("False");
    return false;
  }
  Shape tuple() {
    std::vector<std::int64_t> sizes;
    expect("(");
    while (!accept(")")) {
      skip_space();
      std::int64_t size = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (error == std::errc::result_out_of_range) too_large("a size above 2^63");
      if (error != std::errc() || size < 0) malformed();
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      sizes.push_back(size);
      accept("L");  // Python 2's long integers
      if (!accept(",")) {
        expect(")");
        break;
      }
    }
    try {
      return Shape(sizes);
    } catch (const ShapeError& error) {
      too_large(error.what());
    }
  }
  [[noreturn]] void too_large(std::string_view why) const {
    fail<IoError>("read_npy: \"{}\" has a shape that no tensor can have: {}", name_,
                  printable(why, 160));
  }

  Header element_of(std::string_view descr) const {
    if (descr.size() < 2) foreign(descr);
    const auto found = std::ranges::find(element_types, descr.substr(1), &ElementType::code);
    const char order = descr[0];
    const bool is_byte = found != element_types.end() && found->bytes == 1;
    if (found == element_types.end() ||
        std::string_view(is_byte ? "|<>=" : "<>=").find(order) == std::string_view::npos) {
      foreign(descr);
    }
    Header header;
    header.element = *found;
    header.swapped = !is_byte && order == (std::endian::native == std::endian::little ? '>' : '<');
    return header;
  }

  std::string name_;
  std::string_view text_, rest_;
};

/// A file read from front to back, whose size is known.
class Source {
 public:
  explicit Source(const fs::path& path) : name_(path.string()) {
    std::error_code error;
    if (const auto status = fs::status(path, error); !fs::exists(status)) {
      fail<IoError>("read_npy: there is no file \"{}\"", name_);
    } else if (!fs::is_regular_file(status)) {
      fail<IoError>("read_npy: \"{}\" is not a file", name_);
    }
    left_ = fs::file_size(path, error);
    in_.open(path, std::ios::binary);
    if (!in_ || error)
      fail<IoError>("read_npy: cannot open \"{}\": {}", name_, std::strerror(errno));
  }

  const std::string& name() const { return name_; }
  std::uint64_t left() const { return left_; }  ///< bytes from here to the end

  void read(void* to, std::size_t count) {
    if (count > left_ || !in_.read(static_cast<char*>(to), static_cast<std::streamsize>(count))) {
      fail<IoError>("read_npy: \"{}\" is cut off", name_);
    }
    left_ -= count;
  }

 private:
  std::string name_;
  std::uint64_t left_ = 0;
  std::ifstream in_;
};

Header read_header(Source& source) {
  std::array<char, 8> start{};
  source.read(start.data(), std::min<std::size_t>(start.size(), source.left()));
  if (std::string_view(start.data(), magic.size()) != magic) {
    fail<IoError>("read_npy: \"{}\" is not an NPY file: it begins with {}, not \"\\x93NUMPY\"",
                  source.name(), in_quotes({start.data(), magic.size()}));
  }
  const int major = static_cast<unsigned char>(start[6]),
            minor = static_cast<unsigned char>(start[7]);
  if (major < 1 || major > 3 || minor != 0) {
    fail<IoError>("read_npy: \"{}\" is of format {}.{}; 1.0, 2.0 and 3.0 can be read",
                  source.name(), major, minor);
  }
  std::array<std::uint8_t, 4> length_bytes{};
  source.read(length_bytes.data(), major == 1 ? 2 : 4);
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 4; ++i) length |= std::uint64_t{length_bytes[i]} << 8 * i;
  if (length > source.left()) {
    fail<IoError>("read_npy: \"{}\" is cut off in its header: {} bytes are announced, {} follow",
                  source.name(), length, source.left());
  }
  std::string text(length, ' ');
  source.read(text.data(), text.size());
  return HeaderParser(source.name(), text).parse();
}

/// Puts column-major elements into row-major order.
void to_row_major(std::span<std::byte> data, const Shape& shape, std::size_t width) {
  const std::vector<std::byte> columns(data.begin(), data.end());
  const std::size_t rank = shape.rank();
  std::array<std::int64_t, Shape::max_rank> index{}, stride{};
  std::int64_t product = static_cast<std::int64_t>(width);
  for (std::size_t axis = 0; axis < rank; ++axis) {
    stride[axis] = product;
    product *= shape.begin()[axis];
  }
  std::int64_t from = 0;
  for (std::size_t to = 0; to < data.size(); to += width) {
    std::memcpy(&data[to], &columns[static_cast<std::size_t>(from)], width);
    for (std::size_t axis = rank; axis-- > 0;) {
      from += stride[axis];
      if (++index[axis] < shape.begin()[axis]) break;
      from -= stride[axis] * shape.begin()[axis];
      index[axis] = 0;
    }
  }
}

/// Reads the rest of the file: elements in this machine's byte order, row-major.
void read_elements(Source& source, const Header& header, std::span<std::byte> to) {
  source.read(to.data(), to.size());
  const std::size_t width = header.element.bytes;
  if (header.swapped) {
    for (std::size_t i = 0; i < to.size(); i += width) {
      std::reverse(to.data() + i, to.data() + i + width);
    }
  }
  if (header.fortran_order && header.shape.rank() > 1 && !to.empty()) {
    to_row_major(to, header.shape, width);
  }
}

/// Converts element by element; `fits` says whether a number of the file has a place in the tensor.
template <class To, class From, class Fits>
Tensor converted(const std::vector<std::byte>& data, const Header& header, const std::string& name,
                 Fits fits) {
  Tensor tensor(Type{header.element.dtype, header.shape});
  const auto out = tensor.data<To>();
  for (std::size_t i = 0; i < out.size(); ++i) {
    From number;
    std::memcpy(&number, &data[i * sizeof(From)], sizeof(From));
    if (!fits(number)) {
      fail<IoError>("read_npy: element {} of \"{}\" is {}, which {} cannot hold", i, name, number,
                    header.element.code == "b1" ? "a bool" : name_of(header.element.dtype));
    }
    out[i] = static_cast<To>(number);
  }
  return tensor;
}

}  // namespace

Tensor read_npy(const fs::path& file) {
  Source source(file);
  const Header header = read_header(source);
  const auto elements = static_cast<std::uint64_t>(header.shape.elements());
  const std::size_t width = header.element.bytes;
  // Divided, not multiplied: a product could overflow.
  if (elements != source.left() / width || source.left() % width != 0) {
    fail<IoError>(
        "read_npy: \"{}\" is {}: its header says {} elements of {} bytes, shape {}, but {} "
        "bytes follow",
        file.string(), elements > source.left() / width ? "cut off" : "too long", elements, width,
        header.shape, source.left());
  }
  const std::string_view code = header.element.code;
  const bool is_same = width == size_of(header.element.dtype) && code != "b1";
  if (is_same) {  // read in place: large files are not held twice
    Tensor tensor(Type{header.element.dtype, header.shape});
    const std::span numbers(tensor.bytes(), static_cast<std::size_t>(elements) * width);
    read_elements(source, header, numbers);
    return tensor;
  }
  std::vector<std::byte> data(elements * width);
  read_elements(source, header, data);
  if (code == "f8") {
    return converted<float, double>(data, header, file.string(), [](double x) {
      return !std::isfinite(x) || std::abs(x) <= std::numeric_limits<float>::max();
    });
  }
  if (code == "i8") {
    return converted<std::int32_t, std::int64_t>(data, header, file.string(), [](std::int64_t x) {
      return x == static_cast<std::int32_t>(x);
    });
  }
  return converted<std::uint8_t, std::uint8_t>(data, header, file.string(),
                                               [](std::uint8_t x) { return x <= 1; });
}

void write_npy(const fs::path& file, const Tensor& tensor) {
  if (!tensor) fail<ArgumentError>("write_npy: the tensor for \"{}\" is empty", file.string());
  if (tensor.dtype() == DType::bf16) {
    fail<TypeError>("write_npy: NPY cannot hold {}; cast to f32 first", tensor.type());
  }
  const auto known = std::ranges::find(element_types, tensor.dtype(), &ElementType::dtype);
  const char order =
      known->bytes == 1 ? '|' : (std::endian::native == std::endian::little ? '<' : '>');
  std::string header = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}{}), }}",
                                   order, known->code, fmt::join(tensor.shape(), ", "),
                                   tensor.shape().rank() == 1 ? "," : "");
  // The numbers begin at a multiple of 64 bytes: magic, version, length, header, newline.
  const std::size_t before = magic.size() + 4;
  header.append(63 - (before + header.size()) % 64, ' ');
  header += '\n';
  std::string start(magic);
  start += {'\x01', '\x00', static_cast<char>(header.size() & 0xff),
            static_cast<char>(header.size() >> 8)};
  start += header;
  const std::span<const std::byte> numbers(tensor.bytes(), tensor.type().bytes());
  write_atomically(file, {std::as_bytes(std::span(start)), numbers});
}

}  // namespace weft
