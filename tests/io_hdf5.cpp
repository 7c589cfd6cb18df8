// The reader of HDF5 files beside libhdf5: what that writes, in every version of the format and in
// every way to store groups, attributes and arrays, reads equal, to the bit.
#include "io/keras/hdf5.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "tests/hdf5_files.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

/// How a file is written.
struct Version {
  const char* name;
  H5F_libver_t low, high;
  hsize_t user_block = 0;
  bool order = false;  ///< the order of creation is kept
};
const std::vector<Version> versions{
    {"earliest", H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST},
    {"1.8", H5F_LIBVER_V18, H5F_LIBVER_V18},
    {"latest", H5F_LIBVER_LATEST, H5F_LIBVER_LATEST},
    {"earliest, behind a user's block", H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST, 1024},
    {"latest, behind a user's block", H5F_LIBVER_LATEST, H5F_LIBVER_LATEST, 2048},
    {"latest, in order of creation", H5F_LIBVER_LATEST, H5F_LIBVER_LATEST, 0, true}};

hid_t create(const fs::path& file, const Version& version) {
  const Id access(H5Pcreate(H5P_FILE_ACCESS)), creation(H5Pcreate(H5P_FILE_CREATE));
  H5Pset_libver_bounds(access, version.low, version.high);
  H5Pset_userblock(creation, version.user_block);
  if (version.order) {
    H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
  }
  return H5Fcreate(file.c_str(), H5F_ACC_TRUNC, creation, access);
}

hid_t create_group(hid_t in, const std::string& name, const Version& version) {
  const Id creation(H5Pcreate(H5P_GROUP_CREATE));
  if (version.order) {
    H5Pset_link_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_attr_creation_order(creation, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
  }
  return H5Gcreate2(in, name.c_str(), H5P_DEFAULT, creation, H5P_DEFAULT);
}

/// Texts of one size, or of any.
void set_texts(hid_t object, const std::string& name, const std::vector<std::string>& texts,
               std::size_t size = 0) {
  const Id type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type, size == 0 ? H5T_VARIABLE : size);
  if (size != 0) H5Tset_strpad(type, H5T_STR_NULLPAD);
  const hsize_t count = texts.size();
  const Id space(H5Screate_simple(1, &count, nullptr));
  const Id attribute(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT));
  REQUIRE(attribute >= 0);
  std::vector<char> bytes(size * texts.size() + 1);
  std::vector<const char*> pointers;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::memcpy(&bytes[i * size], texts[i].data(), std::min(size, texts[i].size()));
    pointers.push_back(texts[i].c_str());
  }
  const void* data = size == 0 ? static_cast<const void*>(pointers.data()) : bytes.data();
  REQUIRE(H5Awrite(attribute, type, data) >= 0);
}

/// Numbers that are not alike, some of them negative, and none beyond a byte.
std::vector<float> some_numbers(std::size_t count) {
  std::vector<float> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    numbers[i] = static_cast<float>(i * 37 % 251) - (i % 3 == 0 ? 120.25f : 0.0f);
  }
  return numbers;
}

struct Storing {
  std::vector<hsize_t> sizes{9, 7}, chunk{}, most{};
  bool deflate = false, shuffle = false, fletcher = false, early = false, compact = false;
  hid_t type = H5T_IEEE_F32LE;
};

void write(hid_t group, const std::string& name, const Storing& how) {
  const Id plist(H5Pcreate(H5P_DATASET_CREATE));
  if (!how.chunk.empty()) {
    H5Pset_chunk(plist, static_cast<int>(how.chunk.size()), how.chunk.data());
  }
  if (how.shuffle) H5Pset_shuffle(plist);
  if (how.fletcher) H5Pset_fletcher32(plist);
  if (how.deflate) H5Pset_deflate(plist, 6);
  if (how.early) H5Pset_alloc_time(plist, H5D_ALLOC_TIME_EARLY);
  if (how.compact) H5Pset_layout(plist, H5D_COMPACT);
  const Id space(how.sizes.empty()
                     ? H5Screate(H5S_SCALAR)
                     : H5Screate_simple(static_cast<int>(how.sizes.size()), how.sizes.data(),
                                        how.most.empty() ? nullptr : how.most.data()));
  const Id array(H5Dcreate2(group, name.c_str(), how.type, space, H5P_DEFAULT, plist, H5P_DEFAULT));
  REQUIRE(array >= 0);
  const std::vector<float> numbers =
      some_numbers(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
  if (numbers.empty()) return;
  REQUIRE(H5Dwrite(array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers.data()) >= 0);
}

// ---- what is compared

/// Counts what it has compared.
struct Comparison {
  int groups = 0, texts = 0, arrays = 0;

  void array(hid_t by_library, const Hdf5Group& group, const std::string& name) {
    CAPTURE(name);
    const Numbers wanted = numbers_by_library(by_library);
    const Tensor tensor = group.array(name);
    ++arrays;
    const std::vector<hsize_t> sizes(tensor.shape().begin(), tensor.shape().end());
    CHECK(sizes == wanted.sizes);
    CHECK(group.shape(name) == tensor.shape());
    const auto numbers = tensor.data<float>();
    REQUIRE(numbers.size() == wanted.values.size());
    // By bits, so that -0 and NaN count.
    CHECK((numbers.empty() ||
           std::memcmp(numbers.data(), wanted.values.data(), numbers.size_bytes()) == 0));
  }
  void group(hid_t by_library, const Hdf5Group& ours) {
    CAPTURE(ours.path());
    ++groups;
    const std::vector<std::string> names = children_by_library(by_library);
    CHECK(ours.children() == names);
    for_each_attribute(by_library, [&](const std::string& name, hid_t attribute) {
      CAPTURE(name);
      CHECK(ours.has_attribute(name));
      CHECK(ours.texts(name) == texts_by_library(attribute));
      ++texts;
    });
    for (const std::string& name : names) {
      const Id object(H5Oopen(by_library, name.c_str(), H5P_DEFAULT));
      const bool is_group = H5Iget_type(object) == H5I_GROUP;
      CHECK(ours.has_group(name) == is_group);
      CHECK(ours.has_array(name) != is_group);
      is_group ? group(object, ours.group(name)) : array(object, ours, name);
    }
  }
};

Comparison compare(const fs::path& path) {
  const Id file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT));
  REQUIRE(file >= 0);
  const Id root(H5Gopen2(file, "/", H5P_DEFAULT));
  Comparison comparison;
  comparison.group(root, Hdf5File::open(path).root());
  // The same in memory, as a .keras has it.
  const std::string bytes = content(path);
  Comparison in_memory;
  in_memory.group(root, Hdf5File::open(std::as_bytes(std::span(bytes)), path.string()).root());
  CHECK(in_memory.arrays == comparison.arrays);
  return comparison;
}

}  // namespace

TEST_CASE("hdf5: groups of any number of links and attributes") {
  open_library();
  const TemporaryFolder folder;
  for (const Version& version : versions) {
    CAPTURE(version.name);
    const fs::path path = folder / "groups.h5";
    {
      const Id file(create(path, version));
      REQUIRE(file >= 0);
      // Links in a header, in one node, and in trees of several levels.
      for (const int links : {0, 1, 7, 9, 40, 700}) {
        const Id group(create_group(file, fmt::format("links{}", links), version));
        for (int i = 0; i < links; ++i) {
          const std::string name =
              fmt::format("{}{}", std::string(i % 40 + 1, 'n'), i * 7919 % links);
          const Id below(create_group(group, name, version));
        }
      }
      // Attributes in a header, in its continuations, and in a heap; small, large, and larger than
      // the heap's blocks.
      for (const int attributes : {1, 5, 9, 200}) {
        const Id group(create_group(file, fmt::format("attributes{}", attributes), version));
        for (int i = 0; i < attributes; ++i) {
          set_texts(group, fmt::format("text{}", i), {std::string(i * 5, 'x')});
          set_texts(group, fmt::format("texts{}", i), {"a", "", std::string(i, 'y')}, 220);
        }
        set_texts(group, "many", std::vector<std::string>(300, "name"), 100);
      }
      write(file, "one", {});
    }
    const Comparison comparison = compare(path);
    CHECK(comparison.groups == 1 + 6 + 757 + 4);
    CHECK(comparison.texts == 2 * (1 + 5 + 9 + 200) + 4);
    CHECK(comparison.arrays == 1);
  }
}

TEST_CASE("hdf5: arrays, however they are stored") {
  open_library();
  const TemporaryFolder folder;
  constexpr hsize_t any = H5S_UNLIMITED;
  const std::vector<Storing> ways{{},
                                  {.sizes = {}},
                                  {.sizes = {0, 4}},
                                  {.compact = true},
                                  {.early = true},
                                  // one chunk, and chunks of which the last are cut
                                  {.chunk = {9, 7}},
                                  {.chunk = {2, 3}},
                                  {.chunk = {2, 3}, .early = true},
                                  {.chunk = {10, 8}, .most = {20, 20}},
                                  {.sizes = {5}, .chunk = {2}},
                                  {.sizes = {3, 4, 5, 2}, .chunk = {2, 3, 2, 2}},
                                  // that can grow, along one axis or several
                                  {.chunk = {2, 3}, .most = {40, 50}},
                                  {.chunk = {2, 3}, .most = {40, 50}, .early = true},
                                  {.chunk = {2, 3}, .most = {any, 7}},
                                  {.chunk = {2, 3}, .most = {9, any}},
                                  {.chunk = {2, 3}, .most = {any, any}},
                                  {.sizes = {3, 4, 5}, .chunk = {2, 3, 2}, .most = {3, any, 9}},
                                  // so many that their indexes have pages, and blocks of blocks
                                  {.sizes = {3000}, .chunk = {1}},
                                  {.sizes = {4000}, .chunk = {1}, .most = {any}},
                                  {.sizes = {90, 50}, .chunk = {1, 1}, .most = {any, any}}};
  for (const Version& version : versions) {
    CAPTURE(version.name);
    const fs::path path = folder / "arrays.h5";
    int written = 0;
    {
      const Id file(create(path, version));
      for (Storing how : ways) {
        write(file, fmt::format("{}", written++), how);
        if (how.chunk.empty()) continue;
        how.deflate = true;
        write(file, fmt::format("{}", written++), how);
        how.shuffle = how.fletcher = true;
        write(file, fmt::format("{}", written++), how);
        how.deflate = false;
        how.type = H5T_IEEE_F64LE;
        write(file, fmt::format("{}", written++), how);
      }
    }
    CHECK(compare(path).arrays == written);
  }
}

TEST_CASE("hdf5: numbers of any type, in either order of bytes") {
  open_library();
  const TemporaryFolder folder;
  const Id half(H5Tcopy(H5T_IEEE_F32LE)), half_big(H5Tcopy(H5T_IEEE_F32BE));
  const Id brain(H5Tcopy(H5T_IEEE_F32LE));
  for (const hid_t type : {hid_t(half), hid_t(half_big)}) {
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
  }
  H5Tset_fields(brain, 15, 7, 8, 0, 7);
  H5Tset_size(brain, 2);
  H5Tset_ebias(brain, 127);
  std::vector<hid_t> types{half, half_big, brain};
  for (const hid_t type :
       {H5T_IEEE_F32LE, H5T_IEEE_F32BE, H5T_IEEE_F64LE, H5T_IEEE_F64BE, H5T_STD_I8LE, H5T_STD_I16LE,
        H5T_STD_I32LE, H5T_STD_I64LE, H5T_STD_U8LE, H5T_STD_U16LE, H5T_STD_U32LE, H5T_STD_U64LE,
        H5T_STD_I16BE, H5T_STD_I32BE, H5T_STD_I64BE, H5T_STD_U16BE, H5T_STD_U32BE, H5T_STD_U64BE}) {
    types.push_back(type);
  }
  const fs::path path = folder / "types.h5";
  {
    const Id file(create(path, versions[0]));
    for (std::size_t i = 0; i < types.size(); ++i) {
      write(file, fmt::format("plain{}", i), {.type = types[i]});
      write(file, fmt::format("packed{}", i),
            {.chunk = {2, 3}, .deflate = true, .shuffle = true, .type = types[i]});
    }
  }
  CHECK(compare(path).arrays == static_cast<int>(2 * types.size()));
}

TEST_CASE("hdf5: every float16, and numbers at the ends of their types") {
  open_library();
  const TemporaryFolder folder;
  const fs::path path = folder / "ends.h5";
  {
    const Id file(create(path, versions[0]));
    const Id half(H5Tcopy(H5T_IEEE_F32LE));
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_size(half, 2);
    H5Tset_ebias(half, 15);
    std::vector<std::uint16_t> halves(1 << 16);
    std::iota(halves.begin(), halves.end(), std::uint16_t{0});
    const auto put_array = [&](const char* name, hid_t type, const auto& values) {
      const hsize_t count = values.size();
      const Id space(H5Screate_simple(1, &count, nullptr));
      const Id array(H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
      REQUIRE(H5Dwrite(array, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0);
    };
    put_array("halves", half, halves);
    put_array("doubles", H5T_IEEE_F64LE,
              std::vector<double>{1e300, -1e300, 1e-300, 5e-324, -0.0, 1.0 / 3, 3.4e38, 1e-40});
    put_array("integers", H5T_STD_I64LE,
              std::vector<std::int64_t>{INT64_MIN, INT64_MAX, 16777217, -16777219, 0});
    put_array("naturals", H5T_STD_U64LE, std::vector<std::uint64_t>{UINT64_MAX, 1ULL << 63, 7});
    put_array("count", H5T_STD_I64LE, std::vector<std::int64_t>{9007199254740993});
    put_array("large", H5T_STD_U64LE, std::vector<std::uint64_t>{UINT64_MAX});
    put_array("cut", H5T_IEEE_F64LE, std::vector<double>{-2.75});
    put_array("nan", H5T_IEEE_F64LE, std::vector<double>{std::nan("")});
    put_array("short", H5T_STD_I16BE, std::vector<std::uint16_t>{0xfeff});  // -2
  }
  const Hdf5Group root = Hdf5File::open(path).root();
  const Id file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT));
  for (const char* name : {"doubles", "integers", "naturals"}) {
    CAPTURE(name);
    const Id array(H5Dopen2(file, name, H5P_DEFAULT));
    Comparison().array(array, root, name);
  }
  const Id array(H5Dopen2(file, "halves", H5P_DEFAULT));
  const Numbers wanted = numbers_by_library(array);
  const Tensor halves = root.array("halves");
  int different = 0;
  for (std::size_t i = 0; i < wanted.values.size(); ++i) {
    const float a = wanted.values[i], b = halves.data<float>()[i];
    const bool same =
        std::isnan(a) ? std::isnan(b) : std::bit_cast<int>(a) == std::bit_cast<int>(b);
    different += same ? 0 : 1;
  }
  CHECK(different == 0);
  CHECK(root.integer("count") == 9007199254740993);
  CHECK(root.integer("large") == INT64_MAX);
  CHECK(root.integer("cut") == -2);
  CHECK(root.integer("short") == -2);
  check_message<IoError>([&] { root.integer("nan"); }, {"/nan", "NaN"});
  check_message<IoError>([&] { root.integer("doubles"); }, {"/doubles", "one number"});
}

}  // namespace weft::test
