// Damaged HDF5 files of every version of the format: each is read or refused, whatever it says.
#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <span>

#include "graph/error.hpp"
#include "io/keras/hdf5.hpp"
#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/hdf5_files.hpp"
#include "tests/io_files.hpp"
#include "tests/sanitizers.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

nn::Model small_model(std::uint64_t seed = 1) {
  nn::Sequential model({nn::Dense(3, {.activation = "relu", .input_shape = {4}, .name = "d"}),
                        nn::BatchNormalization({.name = "n"}), nn::Dense(2, {.name = "e"})},
                       {.name = "small", .seed = seed});
  model.compile({.optimizer = "adam", .loss = "mse"});
  model.optimizer_variables();
  return model;
}

template <class F>
bool is_read(F f) {
  try {
    f();
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// Reads all that is in a group and below, as far as it can be read; groups may lead in a circle.
void read_all(const Hdf5Group& group, int& budget) {
  for (const char* name : {"model_config", "layer_names", "weight_names", "name"}) {
    is_read([&] { group.texts(name); });
  }
  for (const std::string& name : group.children()) {
    if (--budget < 0) return;
    is_read([&] {
      if (group.has_group(name)) return read_all(group.group(name), budget);
      group.shape(name);
      group.array(name);
    });
    is_read([&] { group.integer(name); });
  }
}

/// Whether its groups can be read.
bool read_all(const std::string& bytes) {
  int budget = 1000;
  return is_read(
      [&] { read_all(Hdf5File::open(std::as_bytes(std::span(bytes)), "f.h5").root(), budget); });
}

/// A model's files in each version of the format, plain and compressed.
std::vector<fs::path> files_of_all_kinds(const TemporaryFolder& folder) {
  nn::Model model = small_model();
  model.save(folder / "m.h5");
  model.save_weights(folder / "m.weights.h5");
  std::vector<fs::path> all;
  for (const char* name : {"m.h5", "m.weights.h5"}) {
    for (const bool latest : {false, true}) {
      for (const bool packed : {false, true}) {
        all.push_back(folder / fmt::format("{}{}{}", int(latest), int(packed), name));
        copy_file(folder / name, all.back(), {.latest = latest, .packed = packed});
      }
    }
  }
  return all;
}

std::size_t place_of(const std::string& bytes, std::string_view signature) {
  const std::size_t at = bytes.find(signature);
  REQUIRE(at != std::string::npos);
  return at;
}

void put_number(std::string& bytes, std::size_t at, std::uint64_t number) {
  for (std::size_t i = 0; i < 8; ++i) bytes[at + i] = static_cast<char>(number >> 8 * i);
}

}  // namespace

TEST_CASE("hostile HDF5: a model in the newest format, with dense links, is read") {
  const TemporaryFolder folder;
  for (const fs::path& file : files_of_all_kinds(folder)) {
    CAPTURE(file.string());
    nn::Model read = small_model(2), wanted = small_model(1);
    file.string().ends_with(".weights.h5") ? read.load_weights(file)
                                           : void(read = nn::load_model(file));
    for (std::size_t i = 0; i < wanted.get_weights().size(); ++i) {
      const Tensor a = wanted.get_weights()[i], b = read.get_weights()[i];
      CHECK(std::memcmp(a.bytes(), b.bytes(), a.type().bytes()) == 0);
    }
  }
}

TEST_CASE("hostile HDF5: any eight bytes overwritten, in any version of the format") {
  const TemporaryFolder folder;
  std::mt19937 random(11);
  const std::size_t step = WEFT_ADDRESS_SANITIZER ? 509 : 127;  // it takes ten times as long
  for (const fs::path& file : files_of_all_kinds(folder)) {
    CAPTURE(file.string());
    const std::string bytes = content(file);
    int refused = 0;
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += step) {
      CAPTURE(at);
      for (const std::uint64_t number : {~std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{at},
                                         std::uint64_t{random()} << random() % 40}) {
        std::string damaged = bytes;
        put_number(damaged, at, number);
        if (!read_all(damaged)) ++refused;
      }
    }
    CHECK(refused > 0);
  }
}

TEST_CASE("hostile HDF5: cut off at any length") {
  const TemporaryFolder folder;
  for (const fs::path& file : files_of_all_kinds(folder)) {
    CAPTURE(file.string());
    const std::string bytes = content(file);
    for (std::size_t size = 0; size < bytes.size(); size += 97) {
      CAPTURE(size);
      CHECK_FALSE(read_all(bytes.substr(0, size)));
    }
  }
}

TEST_CASE("hostile HDF5: structures that lead in a circle, or overlap") {
  const TemporaryFolder folder;
  files_of_all_kinds(folder);
  const std::string good = content(folder / "00m.h5");
  const auto refused = [&](const std::string& bytes, std::string_view what) {
    check_message<IoError>(
        [&] {
          const Hdf5File file = Hdf5File::open(std::as_bytes(std::span(bytes)), "f.h5");
          file.root().text("model_config");
        },
        {"f.h5", what});
  };
  constexpr std::size_t level = 5, entries = 6, first_child = 32;
  SUBCASE("a node of a tree that is its own child") {
    std::string bytes = good;
    const std::size_t tree = place_of(bytes, std::string_view("TREE\0", 5));
    bytes[tree + level] = 1;
    put_number(bytes, tree + first_child, tree);
    refused(bytes, "another level");
  }
  SUBCASE("a leaf that is there many times") {
    std::string bytes = good;
    const std::size_t tree = place_of(bytes, std::string_view("TREE\0", 5));
    bytes[tree + entries] = 2;
    std::memcpy(&bytes[tree + first_child + 16], &bytes[tree + first_child], 8);
    refused(bytes, "same name");
  }
  SUBCASE("levels without end, each with many children: work stays in proportion to the file") {
    // 40 nodes, each of 200 children, all of them the next node: 200^40 paths.
    std::string bytes = good;
    const std::size_t tree = place_of(bytes, std::string_view("TREE\0", 5));
    constexpr std::size_t nodes = 40, children = 200, size = 24 + children * 16 + 8;
    const std::size_t first = bytes.size();
    bytes.resize(first + nodes * size);
    for (std::size_t node = 0; node < nodes; ++node) {
      const std::size_t at = first + node * size;
      bytes.replace(at, 5, std::string_view("TREE\0", 5));
      bytes[at + level] = static_cast<char>(nodes - 1 - node);
      bytes[at + entries] = static_cast<char>(children);
      for (std::size_t i = 0; i < children; ++i) {
        if (node + 1 < nodes) {
          put_number(bytes, at + first_child + 16 * i, at + size);
        } else {  // the leaf that there is
          std::memcpy(&bytes[at + first_child + 16 * i], &good[tree + first_child], 8);
        }
      }
    }
    bytes += std::string("SNOD\x01\0\0\0", 8);  // the last ones' child: no symbols
    bytes[tree + level] = static_cast<char>(nodes);
    put_number(bytes, tree + first_child, first);
    refused(bytes, "overlap");
  }
}

TEST_CASE("hostile HDF5: numbers in formats that cannot be, or that are not read") {
  const TemporaryFolder folder;
  const fs::path file = folder / "f.h5";
  const auto refused = [&](hid_t type, std::initializer_list<std::string_view> texts) {
    {
      const Id made(H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
      const Id space(H5Screate(H5S_SCALAR)), plist(H5Pcreate(H5P_DATASET_CREATE));
      H5Pset_alloc_time(plist, H5D_ALLOC_TIME_EARLY);
      const Id array(H5Dcreate2(made, "x", type, space, H5P_DEFAULT, plist, H5P_DEFAULT));
      REQUIRE(array >= 0);
    }
    const Hdf5Group root = Hdf5File::open(file).root();
    check_message<IoError>([&] { root.array("x"); }, texts);
  };
  SUBCASE("an exponent that is shifted") {
    const Id type(H5Tcopy(H5T_IEEE_F32LE));
    H5Tset_ebias(type, 100);
    refused(type, {"f.h5", "/x", "4 bytes", "bias 100", "float32"});
  }
  SUBCASE("fields that lie elsewhere") {
    const Id type(H5Tcopy(H5T_IEEE_F64LE));
    H5Tset_fields(type, 63, 48, 15, 0, 48);
    refused(type, {"/x", "8 bytes", "exponent of 15 bits", "mantissa of 48"});
  }
  SUBCASE("of 3 bytes") {
    const Id type(H5Tcopy(H5T_IEEE_F32LE));
    H5Tset_fields(type, 23, 16, 7, 0, 16);
    H5Tset_size(type, 3);
    refused(type, {"/x", "3 bytes"});
  }
  SUBCASE("integers that leave bits out") {
    const Id type(H5Tcopy(H5T_STD_I32LE));
    H5Tset_precision(type, 17);
    refused(type, {"/x", "17 bits in 4 bytes"});
  }
  SUBCASE("times, which are no numbers") { refused(H5T_UNIX_D32LE, {"/x", "no numbers"}); }
}

}  // namespace weft::test
