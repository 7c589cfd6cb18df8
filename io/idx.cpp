#include "io/idx.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/atomic_file.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

struct ElementType {
  std::uint8_t code;  ///< third byte of the file
  DType dtype;
};
constexpr std::array element_types{ElementType{0x08, DType::u8}, ElementType{0x09, DType::s8},
                                   ElementType{0x0c, DType::s32}, ElementType{0x0d, DType::f32}};

/// IDX is big-endian; this turns elements into the machine's order, and back.
void swap_if_little(std::byte* data, std::size_t bytes, std::size_t element) {
  if (std::endian::native == std::endian::big || element == 1) return;
  for (std::size_t i = 0; i < bytes; i += element) std::reverse(data + i, data + i + element);
}

/// The content of a file, uncompressed on the way if it is compressed.
class Source {
 public:
  explicit Source(const fs::path& path) : name_(path.string()), file_(nullptr, gzclose) {
    std::error_code error;
    if (const auto status = fs::status(path, error); !fs::exists(status)) {
      fail<IoError>("read_idx: there is no file \"{}\"", name_);
    } else if (!fs::is_regular_file(status)) {
      fail<IoError>("read_idx: \"{}\" is not a file", name_);
    }
    file_.reset(gzopen(path.c_str(), "rb"));
    if (!file_) fail<IoError>("read_idx: cannot open \"{}\": {}", name_, std::strerror(errno));
    gzbuffer(file_.get(), 1 << 17);
  }

  const std::string& name() const { return name_; }

  /// Reads up to `count` bytes; fewer only at the end.
  std::size_t read(void* to, std::size_t count) {
    std::size_t done = 0;
    while (done < count) {
      const auto wanted = static_cast<unsigned>(std::min<std::size_t>(count - done, 1u << 30));
      const int got = gzread(file_.get(), static_cast<char*>(to) + done, wanted);
      int code = Z_OK;
      std::string_view reason = gzerror(file_.get(), &code);
      if (got < 0 || code != Z_OK) {
        if (code == Z_ERRNO) reason = std::strerror(errno);
        if (reason.starts_with(name_ + ": ")) reason.remove_prefix(name_.size() + 2);
        fail<IoError>("read_idx: \"{}\" is damaged or cut off after {} uncompressed bytes: {}",
                      name_, gztell(file_.get()), reason);
      }
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  /// Bytes from here to the end, but no more than `limit` + 1 are looked at.
  std::uint64_t count(std::uint64_t limit) {
    std::vector<char> chunk(1 << 16);
    std::uint64_t total = 0;
    while (total <= limit) {
      const std::size_t got = read(chunk.data(), chunk.size());
      total += got;
      if (got < chunk.size()) break;
    }
    return total;
  }

  void seek(std::size_t position) {
    if (gzseek(file_.get(), static_cast<z_off_t>(position), SEEK_SET) < 0) {
      fail<IoError>("read_idx: cannot read \"{}\" a second time", name_);
    }
  }

 private:
  std::string name_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

DType dtype_of_code(std::uint8_t code, const std::string& name) {
  for (const ElementType& known : element_types) {
    if (known.code == code) return known.dtype;
  }
  const char* what = code == 0x0b ? " (16-bit integers)" : code == 0x0e ? " (doubles)" : "";
  fail<IoError>(
      "read_idx: \"{}\" has elements of type 0x{:02x}{}; it can be 0x08 (u8), 0x09 (s8), 0x0c "
      "(s32) "
      "or 0x0d (f32)",
      name, code, what);
}

Type read_header(Source& source) {
  std::array<std::uint8_t, 4> magic{};
  const std::size_t got = source.read(magic.data(), magic.size());
  if (got < magic.size()) {
    fail<IoError>("read_idx: \"{}\" has {} bytes, which is too short for an IDX header",
                  source.name(), got);
  }
  if (magic[0] != 0 || magic[1] != 0) {
    fail<IoError>("read_idx: \"{}\" is not an IDX file: it begins with {:02x} {:02x}, not 00 00",
                  source.name(), magic[0], magic[1]);
  }
  const DType dtype = dtype_of_code(magic[2], source.name());
  const std::size_t rank = magic[3];
  if (rank < 1 || rank > Shape::max_rank) {
    fail<IoError>("read_idx: \"{}\" has {} axes; it can be 1 to {}", source.name(), rank,
                  Shape::max_rank);
  }
  std::array<std::int64_t, Shape::max_rank> sizes{};
  for (std::size_t axis = 0; axis < rank; ++axis) {
    std::array<std::uint8_t, 4> size{};
    if (source.read(size.data(), size.size()) < size.size()) {
      fail<IoError>("read_idx: \"{}\" ends in its header, which announces {} axes", source.name(),
                    rank);
    }
    for (const std::uint8_t byte : size) sizes[axis] = sizes[axis] << 8 | byte;
  }
  try {
    return {dtype, Shape(std::span<const std::int64_t>(sizes.data(), rank))};
  } catch (const ShapeError& error) {
    fail<IoError>("read_idx: \"{}\" has a header that no tensor can have: {}", source.name(),
                  error.what());
  }
}

/// The one of the four files that is there, by any of its names.
fs::path find(const fs::path& folder, const std::string& what, int rank) {
  std::string looked_for;
  for (const char* separator : {"-", "."}) {
    for (const char* suffix : {"", ".gz"}) {
      const std::string name = fmt::format("{}{}idx{}-ubyte{}", what, separator, rank, suffix);
      std::error_code error;
      if (fs::exists(folder / name, error)) return folder / name;
      looked_for += (looked_for.empty() ? "" : ", ") + name;
    }
  }
  fail<IoError>(
      "load_mnist: there are no {} in \"{}\": looked for {}. examples/mnist.sh fetches the data "
      "set "
      "and puts it into .cache/mnist",
      what, folder.string(), looked_for);
}

Tensor read_part(const fs::path& file, std::size_t rank) {
  Tensor tensor = read_idx(file);
  if (tensor.dtype() != DType::u8 || tensor.shape().rank() != rank) {
    fail<IoError>("load_mnist: \"{}\" holds {}; it should be u8 with {} axes", file.string(),
                  tensor.type(), rank);
  }
  return tensor;
}

struct Part {
  Tensor images, labels;
};

Part read_images_and_labels(const fs::path& folder, const std::string& which) {
  const fs::path images = find(folder, which + "-images", 3);
  const fs::path labels = find(folder, which + "-labels", 1);
  Part part{read_part(images, 3), read_part(labels, 1)};
  if (part.images.shape()[0] != part.labels.shape()[0]) {
    fail<IoError>("load_mnist: \"{}\" holds {} images, but \"{}\" holds {} labels", images.string(),
                  part.images.shape()[0], labels.string(), part.labels.shape()[0]);
  }
  const auto numbers = std::as_const(part.labels).data<std::uint8_t>();
  const auto wrong = std::ranges::find_if(numbers, [](std::uint8_t label) { return label > 9; });
  if (wrong != numbers.end()) {
    fail<IoError>("load_mnist: label {} of \"{}\" is {}; labels are 0 to 9",
                  wrong - numbers.begin(), labels.string(), *wrong);
  }
  return part;
}

}  // namespace

Tensor read_idx(const fs::path& file) {
  Source source(file);
  const Type type = read_header(source);
  const std::size_t header = 4 + 4 * type.shape.rank();
  const auto elements = static_cast<std::uint64_t>(type.shape.elements());
  const std::uint64_t element = size_of(type.dtype);
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  const std::uint64_t needed = elements > most / element ? most : elements * element;

  // The header is believed only after the bytes behind it have been counted: a damaged or malicious
  // one must not make us allocate. Counting costs one more pass, which the page cache makes short.
  const std::uint64_t found = source.count(needed);
  if (found < needed) {
    fail<IoError>(
        "read_idx: \"{}\" is cut off: its header says {}, which is {} bytes, but {} follow",
        source.name(), type, needed, found);
  }
  if (found > needed) {
    fail<IoError>(
        "read_idx: \"{}\" is too long: its header says {}, which is {} bytes, but more "
        "follow",
        source.name(), type, needed);
  }
  Tensor tensor(type);
  source.seek(header);
  if (source.read(tensor.bytes(), type.bytes()) < type.bytes()) {
    fail<IoError>("read_idx: \"{}\" became shorter while it was read", source.name());
  }
  swap_if_little(tensor.bytes(), type.bytes(), size_of(type.dtype));
  return tensor;
}

void write_idx(const fs::path& file, const Tensor& tensor) {
  const auto known = std::ranges::find(element_types, tensor.dtype(), &ElementType::dtype);
  if (known == element_types.end()) {
    fail<TypeError>("write_idx: IDX cannot hold {}; it can hold u8, s8, s32 and f32",
                    tensor.type());
  }
  const Shape& shape = tensor.shape();
  if (shape.rank() < 1 || std::ranges::any_of(shape, [](auto size) { return size >> 32 != 0; })) {
    fail<ShapeError>("write_idx: IDX cannot hold {}; it can hold 1 to {} axes, each below 2^32",
                     tensor.type(), Shape::max_rank);
  }
  std::vector<std::uint8_t> header{0, 0, known->code, static_cast<std::uint8_t>(shape.rank())};
  for (const std::int64_t size : shape) {
    for (const int shift : {24, 16, 8, 0}) {
      header.push_back(static_cast<std::uint8_t>(size >> shift & 0xff));
    }
  }
  Tensor swapped = tensor.clone();
  const std::size_t bytes = tensor.type().bytes();
  swap_if_little(swapped.bytes(), bytes, size_of(tensor.dtype()));
  write_atomically(file, {std::as_bytes(std::span(header)), std::span(swapped.bytes(), bytes)});
}

Mnist load_mnist(const fs::path& folder) {
  const Part train = read_images_and_labels(folder, "train");
  const Part test = read_images_and_labels(folder, "t10k");
  const Shape expected = train.images.shape().with(0, test.images.shape()[0]);
  if (test.images.shape() != expected) {
    fail<IoError>("load_mnist: in \"{}\", train images are {} but test images are {}",
                  folder.string(), train.images.type(), test.images.type());
  }
  return {train.images, train.labels, test.images, test.labels};
}

}  // namespace weft
