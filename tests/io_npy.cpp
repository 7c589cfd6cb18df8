#include "io/npy.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "graph/error.hpp"
#include "graph/shape.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

/// A file as NumPy lays it out; the header is not padded, which readers must not ask for.
std::string npy(std::string_view descr, std::string_view shape, std::string_view data,
                bool fortran_order = false, char major = 1) {
  std::string header = "{'descr': '" + std::string(descr) +
                       "', 'fortran_order': " + (fortran_order ? "True" : "False") +
                       ", 'shape': " + std::string(shape) + ", }\n";
  std::string out = "\x93NUMPY"s + major + '\0';
  out += static_cast<char>(header.size());
  out += '\0';
  if (major > 1) out += "\0\0"s;
  return out + header + std::string(data);
}

template <class T>
std::string raw(std::initializer_list<T> numbers) {
  std::string out(numbers.size() * sizeof(T), '\0');
  std::memcpy(out.data(), std::data(numbers), out.size());
  return out;
}

template <class T>
std::vector<T> numbers(const Tensor& tensor) {
  const auto data = tensor.data<T>();
  return {data.begin(), data.end()};
}

void check_refused(const TemporaryFolder& folder, const std::string& bytes,
                   std::initializer_list<std::string_view> texts) {
  const fs::path file = put(folder / "damaged", bytes);
  check_message<IoError>([&] { read_npy(file); }, texts);
  check_message<IoError>([&] { read_npy(file); }, {"read_npy", file.string()});
}

TEST_CASE("read_npy: a file that NumPy wrote") {
  TemporaryFolder folder;
  // numpy.save("x", numpy.array([[1, 2, 3], [4, 5, 6]], "float32"))
  std::string bytes =
      "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"s;
  bytes.resize(127, ' ');
  bytes += '\n';
  bytes +=
      "\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x80\x40\x00\x00\xa0\x40\x00"
      "\x00\xc0\x40"s;
  const Tensor tensor = read_npy(put(folder / "x.npy", bytes));
  CHECK(tensor.type() == Type{DType::f32, {2, 3}});
  CHECK(numbers<float>(tensor) == std::vector<float>{1, 2, 3, 4, 5, 6});
  write_npy(folder / "y.npy", tensor);
  CHECK(content(folder / "y.npy") == bytes);
}

TEST_CASE("write_npy: read_npy gives back what was written, of every type and rank") {
  TemporaryFolder folder;
  const fs::path file = folder / "x.npy";
  const Tensor tensors[] = {
      Tensor::scalar(-2.5f),
      Tensor::of<std::int32_t>({3}, {-1, 0, 2147483647}),
      Tensor::of<std::int8_t>({1, 2}, {-128, 127}),
      Tensor::of<std::uint8_t>({2, 1, 1, 1, 1, 1, 1, 1}, {0, 255}),
      Tensor(Type{DType::f32, {4, 0, 2}}),
  };
  for (const Tensor& tensor : tensors) {
    write_npy(file, tensor);
    const Tensor back = read_npy(file);
    CHECK(back.type() == tensor.type());
    CHECK(std::memcmp(back.bytes(), tensor.bytes(), tensor.type().bytes()) == 0);
    CHECK((fs::file_size(file) - tensor.type().bytes()) % 64 == 0);
  }
  check_message<TypeError>(
      [&] {
        write_npy(file, Tensor(Type{DType::bf16, {2}}));
      },
      {"write_npy", "bf16[2]", "cast to f32"});
  check_message<ArgumentError>([&] { write_npy(file, Tensor()); }, {"write_npy", "empty"});
}

TEST_CASE("read_npy: big-endian numbers, column-major order, every format version") {
  TemporaryFolder folder;
  const fs::path file = folder / "x.npy";
  CHECK(numbers<std::int32_t>(
            read_npy(put(file, npy(">i4", "(2,)", "\x00\x00\x01\x02\xff\xff\xff\xfe"s)))) ==
        std::vector<std::int32_t>{258, -2});
  CHECK(numbers<float>(read_npy(put(file, npy(">f8", "(1,)", "\xbf\xf8\0\0\0\0\0\0"s)))) ==
        std::vector<float>{-1.5});
  // The elements of a matrix by columns, and of a [2,2,3] array by its first axis first.
  CHECK(numbers<std::uint8_t>(
            read_npy(put(file, npy("|u1", "(2, 3)", "\x01\x04\x02\x05\x03\x06"s, true)))) ==
        std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6});
  CHECK(numbers<float>(read_npy(
            put(file, npy("<f4", "(2, 2, 3)", raw<float>({0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11}),
                          true)))) == std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(read_npy(put(file, npy("<f4", "(0, 3)", "", true))).type() == Type{DType::f32, {0, 3}});
  for (const char major : {1, 2, 3}) {
    CHECK(read_npy(put(file, npy("|i1", "(1,)", "\xff", false, major))).item<std::int8_t>() == -1);
  }
}

TEST_CASE("read_npy: headers that differ from NumPy's own only in form") {
  TemporaryFolder folder;
  const auto read = [&](std::string header) {
    const auto size = static_cast<char>(header.size());
    return read_npy(put(folder / "x", "\x93NUMPY\x01\x00"s + size + '\0' + header + "ab")).type();
  };
  const Type expected{DType::u8, {2, 1}};
  CHECK(read("{\"shape\":(2,1),\"descr\":\"|u1\",\"fortran_order\":False}") == expected);
  CHECK(read("  { 'descr' : '<u1' , 'fortran_order' : True , 'shape' : ( 2L , 1L , ) , }  \n") ==
        expected);
}

TEST_CASE("read_npy: wider numbers become f32 and s32 where they fit") {
  TemporaryFolder folder;
  const fs::path file = folder / "x.npy";
  const auto infinity = std::numeric_limits<double>::infinity();
  const auto doubles = numbers<float>(read_npy(
      put(file, npy("<f8", "(5,)", raw<double>({0.1, -3e38, infinity, std::nan(""), 1e-300})))));
  CHECK(doubles[0] == 0.1f);
  CHECK(doubles[1] == -3e38f);
  CHECK(std::isinf(doubles[2]));
  CHECK(std::isnan(doubles[3]));
  CHECK(doubles[4] == 0);
  CHECK(numbers<std::int32_t>(read_npy(
            put(file, npy("<i8", "(2,)", raw<std::int64_t>({-2147483648, 2147483647}))))) ==
        std::vector<std::int32_t>{-2147483648, 2147483647});
  CHECK(numbers<std::uint8_t>(read_npy(put(file, npy("|b1", "(2,)", "\0\1"s)))) ==
        std::vector<std::uint8_t>{0, 1});

  check_refused(folder, npy("<f8", "(2,)", raw<double>({1, 4e38})), {"element 1", "4e+38", "f32"});
  check_refused(folder, npy("<i8", "(1,)", raw<std::int64_t>({2147483648})),
                {"element 0", "2147483648", "s32 cannot hold"});
  check_refused(folder, npy("|b1", "(1,)", "\2"), {"element 0", "is 2", "a bool cannot hold"});
}

TEST_CASE("read_npy: refuses what is not an honest NPY file, and says why") {
  TemporaryFolder folder;
  check_message<IoError>([&] { read_npy(folder / "none"); }, {"there is no file", "none"});
  check_message<IoError>([&] { read_npy(folder.path()); }, {"is not a file"});
  check_refused(folder, "", {"not an NPY file"});
  check_refused(folder, "PK\x03\x04 an archive",
                {"not an NPY file", R"(begins with "PK\x03\x04 a")"});
  check_refused(folder, "\x93NUMPY\x04\x00"s, {"format 4.0", "1.0, 2.0 and 3.0"});
  check_refused(folder, "\x93NUMPY\x01\x00\xff\xff{'descr': "s,
                {"cut off in its header", "65535 bytes are announced, 10 follow"});
  check_refused(folder, "\x93NUMPY\x02\x00\xff\xff\xff\xff"s, {"4294967295 bytes are announced"});

  const std::string good = raw<float>({1, 2, 3, 4, 5, 6});
  check_refused(folder, npy("<f4", "(2, 3)", good.substr(1)),
                {"cut off", "6 elements of 4 bytes", "[2,3]", "23 bytes follow"});
  check_refused(folder, npy("<f4", "(2, 3)", good + "x"), {"too long", "25 bytes follow"});
  check_refused(folder, npy("<f4", "(2, 3)", good + good), {"too long", "48 bytes follow"});
  check_refused(folder, npy("<f4", "(1099511627776, 128)", good), {"cut off"});
  check_refused(folder, npy("<f4", "(1099511627776, 1099511627776)", good),
                {"no tensor can have", "more elements than"});
  check_refused(folder, npy("<f4", "(99999999999999999999,)", good), {"no tensor can have"});
  check_refused(folder, npy("<f4", "(1,1,1,1,1,1,1,1,6)", good), {"9 axes", "at most 8"});

  for (const char* descr : {"|O", "<f2", "<c8", "<U4", "|V8", "|f4", "*f4", "f", ""}) {
    check_refused(folder, npy(descr, "(1,)", "1234"),
                  {"elements of type "s + descr + ",", "float32", "bool"});
  }
  std::string records = npy("X", "(1,)", "1234");
  records.replace(records.find("'X'"), 3, "[1]");
  check_refused(folder, records, {"elements of type [1]"});
}

TEST_CASE("read_npy: malformed headers") {
  TemporaryFolder folder;
  for (const char* header : {
           "",
           "{",
           "{}",
           "}",
           "{'descr'}",
           "{'descr': '<f4'}",
           "'descr'",
           "{'descr': '<f4', 'fortran_order': False}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'extra': 1}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
           "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
           "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1,",
           "{'descr': <f4, 'fortran_order': False, 'shape': (1,)}",
           "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}",
           "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}",
       }) {
    const std::string text = header;
    CAPTURE(text);
    check_refused(folder, "\x93NUMPY\x01\x00"s + static_cast<char>(text.size()) + '\0' + text,
                  {"malformed header", "it should read like {'descr'"});
  }
}

TEST_CASE("read_npy: a file cut off anywhere is refused, no flipped bit does more than throw") {
  TemporaryFolder folder;
  const std::string original = npy("<i4", "(2, 3)", raw<std::int32_t>({1, 2, 3, 4, 5, 6}));
  for (std::size_t size = 0; size < original.size(); ++size) {
    CAPTURE(size);
    CHECK_THROWS_AS(read_npy(put(folder / "cut", original.substr(0, size))), IoError);
  }
  for (std::size_t bit = 0; bit < 8 * original.size(); ++bit) {
    std::string flipped = original;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    CAPTURE(bit);
    try {
      const Tensor tensor = read_npy(put(folder / "flipped", flipped));
      CHECK(tensor.type().bytes() == 24);
    } catch (const IoError&) {
    }
  }
}

}  // namespace
}  // namespace weft::test
