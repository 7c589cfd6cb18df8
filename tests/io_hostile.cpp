// Files that lie: what libhdf5 and libzip would accept, and what no program wrote. All of it throws
// an Error before memory is taken for what is not there; tests/io_hostile_hdf5.cpp and tests/fuzz go
// further.
#include <doctest/doctest.h>
#include <hdf5.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"
#include "tests/sanitizers.hpp"

namespace weft::test {
namespace {

namespace fs = std::filesystem;

nn::Model small_model(std::uint64_t seed = 1) {
  nn::Sequential model({nn::Dense(3, {.activation = "relu", .input_shape = {4}, .name = "d"}),
                        nn::BatchNormalization({.name = "n"}), nn::Dense(2, {.name = "e"})},
                       {.name = "small", .seed = seed});
  model.weights();
  return model;
}

/// The most memory that this process ever had, in bytes.
std::int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

/// Loading throws, and takes no memory worth a word.
template <class E = Error>
void check_refused(const fs::path& file, std::initializer_list<std::string_view> texts = {}) {
  const std::int64_t before = peak_memory();
  check_message<E>([&] { nn::load_model(file); }, texts);
  CHECK(peak_memory() - before < 64 << 20);
}

// ---- HDF5

/// An .h5 of one layer, Dense(units, name "d"), on `inputs` numbers.
fs::path dense_file(const TemporaryFolder& folder) {
  nn::Sequential model({nn::Dense(3, {.input_shape = {4}, .name = "d"})}, {.name = "m"});
  model.weights();
  model.save(folder / "m.h5");
  return folder / "m.h5";
}

constexpr const char* kernel = "/model_weights/d/d/kernel:0";

void edit(const fs::path& file, const std::function<void(hid_t)>& change) {
  const hid_t opened = H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  REQUIRE(opened >= 0);
  change(opened);
  REQUIRE(H5Fclose(opened) >= 0);
}

/// Another array in the kernel's place.
void replace_kernel(hid_t file, hid_t type, const std::vector<hsize_t>& sizes, hid_t plist,
                    const std::vector<hsize_t>& most = {}) {
  REQUIRE(H5Ldelete(file, kernel, H5P_DEFAULT) >= 0);
  const hid_t space = H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(),
                                       most.empty() ? nullptr : most.data());
  const hid_t array = H5Dcreate2(file, kernel, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
  REQUIRE(array >= 0);
  H5Dclose(array);
  H5Sclose(space);
}

void set_config(hid_t file, const std::string& config) {
  const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  H5Tset_size(type, H5T_VARIABLE);
  REQUIRE(H5Adelete(file, "model_config") >= 0);
  const hid_t attribute = H5Acreate2(file, "model_config", type, space, H5P_DEFAULT, H5P_DEFAULT);
  const char* text = config.c_str();
  REQUIRE(H5Awrite(attribute, type, &text) >= 0);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
}

std::string dense_config(std::int64_t inputs, std::int64_t units) {
  return fmt::format(
      R"({{"class_name":"Sequential","config":{{"name":"m","layers":[{{"class_name":"InputLayer",)"
      R"("config":{{"batch_input_shape":[null,{}],"name":"i"}}}},{{"class_name":"Dense","config":)"
      R"({{"name":"d","units":{}}}}}]}}}})",
      inputs, units);
}

struct Plist {
  hid_t id = H5Pcreate(H5P_DATASET_CREATE);
  ~Plist() { H5Pclose(id); }
};

TEST_CASE("hostile files: HDF5 arrays that are larger than what is stored") {
  const TemporaryFolder folder;
  const fs::path file = dense_file(folder);
  SUBCASE("nothing is stored") {
    edit(file, [](hid_t h) {
      replace_kernel(h, H5T_IEEE_F32LE, {1 << 20, 1 << 27}, H5P_DEFAULT);
      set_config(h, dense_config(1 << 20, 1 << 27));
    });
    check_refused<IoError>(file, {kernel, "562949953421312 bytes"});
  }
  SUBCASE("more elements than can be") {
    edit(file, [](hid_t h) {
      replace_kernel(h, H5T_IEEE_F32LE, {1ULL << 40, 1ULL << 21}, H5P_DEFAULT);
    });
    check_refused<IoError>(file, {kernel, "more elements"});
  }
  SUBCASE("chunks that are larger than the array") {
    edit(file, [](hid_t h) {
      const Plist plist;
      const std::vector<hsize_t> chunk{1 << 14, 1 << 14};
      H5Pset_chunk(plist.id, 2, chunk.data());
      H5Pset_deflate(plist.id, 9);
      replace_kernel(h, H5T_IEEE_F32LE, {4, 3}, plist.id, {H5S_UNLIMITED, H5S_UNLIMITED});
    });
    check_refused<IoError>(file, {kernel, "chunks"});
  }
  SUBCASE("compressed a thousandfold") {
    edit(file, [](hid_t h) {
      const Plist plist;
      const std::vector<hsize_t> chunk{4, 1 << 18};
      H5Pset_chunk(plist.id, 2, chunk.data());
      H5Pset_deflate(plist.id, 9);
      replace_kernel(h, H5T_IEEE_F32LE, {4, 4 << 20}, plist.id);
      const hid_t array = H5Dopen2(h, kernel, H5P_DEFAULT);
      const std::vector<float> zeros(16 << 20);
      REQUIRE(H5Dwrite(array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros.data()) >= 0);
      H5Dclose(array);
      set_config(h, dense_config(4, 4 << 20));
    });
    check_refused<IoError>(file, {kernel, "hundred times"});
  }
  SUBCASE("the layers do not fit the array: it is not read") {
    edit(file, [](hid_t h) { set_config(h, dense_config(1 << 20, 1 << 20)); });
    check_refused<ShapeError>(file, {"d/kernel", "f32[1048576,1048576]", "f32[4,3]"});
  }
  SUBCASE("one array under many names") {
    nn::Sequential model({}, {.name = "m"});
    model.add(nn::Input({128}));
    for (int i = 0; i < 4; ++i) {
      model.add(nn::Dense(128, {.use_bias = false, .name = fmt::format("d{}", i)}));
    }
    model.weights();
    model.save(file);
    CHECK_NOTHROW(nn::load_model(file));
    // The file is made anew, so that what was deleted takes no room.
    edit(file, [](hid_t h) {
      for (int i = 1; i < 4; ++i) {
        const std::string name = fmt::format("/model_weights/d{0}/d{0}/kernel:0", i);
        REQUIRE(H5Ldelete(h, name.c_str(), H5P_DEFAULT) >= 0);
        REQUIRE(H5Lcreate_hard(h, "/model_weights/d0/d0/kernel:0", h, name.c_str(), H5P_DEFAULT,
                               H5P_DEFAULT) >= 0);
      }
    });
    const fs::path copy = folder / "copy.h5";
    const hid_t from = H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    const hid_t to = H5Fcreate(copy.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Ocopy(from, "model_weights", to, "model_weights", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(to);
    H5Fclose(from);
    CHECK(fs::file_size(copy) < 2 * 128 * 128 * 4);
    check_message<IoError>([&] { model.load_weights(copy); }, {"more bytes than the file"});
  }
}

TEST_CASE("hostile files: HDF5 links, storage elsewhere, filters and types that are not read") {
  const TemporaryFolder folder;
  const fs::path file = dense_file(folder);
  const Plist plist;
  SUBCASE("a soft link") {
    edit(file, [](hid_t h) {
      H5Ldelete(h, kernel, H5P_DEFAULT);
      H5Lcreate_soft("/model_weights/d/d/bias:0", h, kernel, H5P_DEFAULT, H5P_DEFAULT);
    });
    check_refused<IoError>(file, {"kernel:0", "link"});
  }
  SUBCASE("an external link") {
    edit(file, [](hid_t h) {
      H5Ldelete(h, "/model_weights/d", H5P_DEFAULT);
      H5Lcreate_external("/etc/passwd", "/d", h, "/model_weights/d", H5P_DEFAULT, H5P_DEFAULT);
    });
    check_refused<IoError>(file, {"/model_weights/d", "link"});
  }
  SUBCASE("numbers in another file") {
    edit(file, [&](hid_t h) {
      H5Pset_external(plist.id, "/etc/passwd", 0, 48);
      replace_kernel(h, H5T_IEEE_F32LE, {4, 3}, plist.id);
    });
    check_refused<IoError>(file, {"kernel:0", "other files"});
  }
  SUBCASE("a virtual array") {
    edit(file, [&](hid_t h) {
      const std::vector<hsize_t> sizes{4, 3};
      const hid_t space = H5Screate_simple(2, sizes.data(), nullptr);
      H5Pset_virtual(plist.id, space, "/etc/passwd", "/x", space);
      H5Sclose(space);
      replace_kernel(h, H5T_IEEE_F32LE, {4, 3}, plist.id);
    });
    check_refused<IoError>(file, {"kernel:0", "other files"});
  }
  SUBCASE("an unknown filter") {
    edit(file, [&](hid_t h) {
      const std::vector<hsize_t> chunk{4, 3};
      H5Pset_chunk(plist.id, 2, chunk.data());
      H5Pset_filter(plist.id, 32015, H5Z_FLAG_OPTIONAL, 0, nullptr);
      replace_kernel(h, H5T_IEEE_F32LE, {4, 3}, plist.id);
    });
    check_refused<IoError>(file, {"kernel:0", "filter 32015"});
  }
  SUBCASE("texts for numbers") {
    edit(file, [&](hid_t h) {
      const hid_t text = H5Tcopy(H5T_C_S1);
      H5Tset_size(text, 4);
      H5Pset_alloc_time(plist.id, H5D_ALLOC_TIME_EARLY);
      replace_kernel(h, text, {4, 3}, plist.id);
      H5Tclose(text);
    });
    check_refused<IoError>(file, {"kernel:0", "no numbers"});
  }
  SUBCASE("a group for an array, and the reverse") {
    edit(file, [](hid_t h) {
      H5Ldelete(h, kernel, H5P_DEFAULT);
      H5Gclose(H5Gcreate2(h, kernel, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    });
    check_refused<IoError>(file, {"kernel:0", "no array"});
  }
  SUBCASE("numbers for the config") {
    edit(file, [](hid_t h) {
      H5Adelete(h, "model_config");
      const hid_t space = H5Screate(H5S_SCALAR);
      H5Aclose(H5Acreate2(h, "model_config", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT));
      H5Sclose(space);
    });
    check_refused<IoError>(file, {"model_config", "no text"});
  }
  SUBCASE("more axes than Weft has") {
    edit(file, [](hid_t h) {
      replace_kernel(h, H5T_IEEE_F32LE, std::vector<hsize_t>(12, 1), H5P_DEFAULT);
    });
    check_refused<IoError>(file, {"kernel:0", "12 axes"});
  }
}

// ---- ZIP

using Members = std::vector<std::pair<std::string, std::string>>;

fs::path zip_of(const fs::path& file, const Members& members, bool deflate = false) {
  int code = 0;
  zip_t* archive = zip_open(file.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  REQUIRE(archive != nullptr);
  for (const auto& [name, bytes] : members) {
    zip_source_t* source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
    const zip_int64_t index = zip_file_add(archive, name.c_str(), source, 0);
    REQUIRE(index >= 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index),
                             deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 9);
  }
  REQUIRE(zip_close(archive) == 0);
  return file;
}

/// Good members of a .keras.
Members members_of(const fs::path& file) {
  Members members;
  int code = 0;
  zip_t* archive = zip_open(file.c_str(), ZIP_RDONLY, &code);
  REQUIRE(archive != nullptr);
  for (const char* name : {"metadata.json", "config.json", "model.weights.h5"}) {
    zip_stat_t stat;
    REQUIRE(zip_stat(archive, name, 0, &stat) == 0);
    std::string bytes(stat.size, '\0');
    zip_file_t* member = zip_fopen(archive, name, 0);
    REQUIRE(zip_fread(member, bytes.data(), bytes.size()) == static_cast<zip_int64_t>(stat.size));
    zip_fclose(member);
    members.emplace_back(name, std::move(bytes));
  }
  zip_discard(archive);
  return members;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

/// Where a member's local and central headers begin.
std::pair<std::size_t, std::size_t> headers_of(const std::string& archive,
                                               const std::string& name) {
  std::size_t local = archive.find("PK\x03\x04"), central = archive.find("PK\x01\x02");
  while (archive.compare(local + 30, name.size(), name) != 0) {
    local = archive.find("PK\x03\x04", local + 1);
    REQUIRE(local != std::string::npos);
  }
  while (archive.compare(central + 46, name.size(), name) != 0) {
    central = archive.find("PK\x01\x02", central + 1);
    REQUIRE(central != std::string::npos);
  }
  return {local, central};
}

TEST_CASE("hostile files: ZIP archives") {
  const TemporaryFolder folder;
  small_model().save(folder / "good.keras");
  const Members good = members_of(folder / "good.keras");
  const fs::path file = folder / "bad.keras";
  const auto with = [&](const std::string& name, const std::string& bytes) {
    Members members = good;
    for (auto& member : members) {
      if (member.first == name) return member.second = bytes, members;
    }
    members.emplace_back(name, bytes);
    return members;
  };
  /// The archive with some bytes of a member's headers changed, at offsets in the local one and in
  /// the central one.
  const auto patched = [&](const std::string& name, std::size_t in_local, std::size_t in_central,
                           const std::string& bytes) {
    std::string archive = content(folder / "good.keras");
    const auto [local, central] = headers_of(archive, name);
    archive.replace(local + in_local, bytes.size(), bytes);
    archive.replace(central + in_central, bytes.size(), bytes);
    return put(file, archive);
  };

  SUBCASE("other members are left where they are, compressed ones are read") {
    CHECK_NOTHROW(nn::load_model(zip_of(file, with("assets/words.txt", "a b c"), true)));
  }
  SUBCASE("names that lead out") {
    for (const char* name : {"../config.json", "/etc/config.json", "a/../../b", "..\\b", "C:\\b"}) {
      CAPTURE(name);
      check_refused<IoError>(zip_of(file, with(name, "x")), {name, "leads out"});
    }
  }
  SUBCASE("a member that is there twice") {
    std::string archive = content(zip_of(file, with("config.jsoN", "{}")));
    replace_all(archive, "config.jsoN", "config.json");
    check_refused<IoError>(put(file, archive));
  }
  SUBCASE("a bomb") {
    check_refused<IoError>(zip_of(file, with("config.json", std::string(50 << 20, ' ')), true),
                           {"config.json", "hundred times"});
    check_refused<IoError>(
        zip_of(file, with("model.weights.h5", std::string(50 << 20, '\0')), true),
        {"model.weights.h5", "hundred times"});
  }
  SUBCASE("an encrypted member") {
    check_refused<IoError>(patched("config.json", 6, 8, std::string("\x01\x00", 2)),
                           {"config.json"});
  }
  SUBCASE("a wrong check sum") {
    check_refused<IoError>(patched("config.json", 14, 16, "abcd"), {"config.json", "check sum"});
    check_refused<IoError>(patched("model.weights.h5", 14, 16, "abcd"), {"check sum"});
  }
  SUBCASE("sizes that are not so") {
    check_refused<IoError>(patched("config.json", 22, 24, std::string("\x00\x00\x00\x40", 4)));
    check_refused<IoError>(patched("config.json", 18, 20, std::string("\x00\x00\x00\x40", 4)));
    check_refused<IoError>(
        patched("model.weights.h5", 18, 20, std::string("\x00\x00\x00\x40\x00\x00\x00\x40", 8)));
    check_refused<IoError>(patched("model.weights.h5", 22, 24, std::string("\x08\x00\x00\x00", 4)));
  }
  SUBCASE("a member that is not there, or is something else") {
    for (std::size_t missing : {1, 2}) {
      Members members = good;
      members.erase(members.begin() + static_cast<std::ptrdiff_t>(missing));
      check_refused<IoError>(zip_of(file, members), {good[missing].first});
    }
    check_refused<IoError>(zip_of(file, with("config.json", "[")), {"config.json", "JSON"});
    check_refused<IoError>(zip_of(file, with("model.weights.h5", "x")), {"HDF5"});
    check_refused<IoError>(zip_of(file, with("model.weights.h5", "")), {"HDF5"});
  }
}

// ---- JSON

std::string functional(const std::string& layers, const std::string& output = "a") {
  return R"({"class_name":"Functional","config":{"name":"m","layers":[{"class_name":"InputLayer",)"
         R"("name":"i","config":{"batch_input_shape":[null,4],"name":"i"},"inbound_nodes":[]},)" +
         layers + R"(],"input_layers":[["i",0,0]],"output_layers":[[")" + output + R"(",0,0]]}})";
}

std::string dense(const std::string& name, const std::string& from) {
  return R"({"class_name":"Dense","name":")" + name + R"(","config":{"name":")" + name +
         R"(","units":4},"inbound_nodes":[[[")" + from + R"(",0,0,{}]]]})";
}

std::string sequential(const std::string& shape, const std::string& layers) {
  return R"({"class_name":"Sequential","config":{"name":"s","layers":[{"class_name":"InputLayer",)"
         R"("config":{"batch_input_shape":)" +
         shape + R"(,"name":"i"}},)" + layers + "]}}";
}

TEST_CASE("hostile files: JSON that takes memory or time out of proportion, or goes in circles") {
  const auto refused = [](const std::string& json) {
    const std::int64_t before = peak_memory();
    CHECK_THROWS_AS(nn::model_from_json(json).summary(), Error);
    const std::int64_t taken = peak_memory() - before;
#if !WEFT_ADDRESS_SANITIZER  // which takes as much again, and keeps what was freed
    CHECK(taken < 256 << 20);
#else
    static_cast<void>(taken);
#endif
  };
  SUBCASE("circles") {
    refused(functional(dense("a", "a")));
    refused(functional(dense("a", "b") + "," + dense("b", "a")));
    refused(functional(dense("a", "nobody")));
    refused(functional(dense("a", "i"), "nobody"));
    refused(functional(dense("a", "i") + "," + dense("a", "i")));
  }
  SUBCASE("sizes") {
    for (
        const char* layer :
        {R"({"class_name":"Dense","config":{"name":"d","units":9223372036854775807}})",
         R"({"class_name":"Dense","config":{"name":"d","units":1152921504606846976}})",
         R"({"class_name":"Reshape","config":{"name":"d","target_shape":[4294967296,4294967296]}})",
         R"({"class_name":"Reshape","config":{"name":"d","target_shape":[-1,-1]}})",
         R"({"class_name":"RepeatVector","config":{"name":"d","n":9223372036854775807}})",
         R"({"class_name":"Permute","config":{"name":"d","dims":[2147483648]}})"}) {
      CAPTURE(std::string(layer));
      refused(sequential("[null,64]", layer));
    }
    for (
        const char* layer : {
            R"({"class_name":"ZeroPadding2D","config":{"name":"d","padding":[[9223372036854775807,9223372036854775807],[1,1]]}})",
            R"({"class_name":"ZeroPadding2D","config":{"name":"d","padding":[[1000000000000,1000000000000],[1000000000000,1000000000000]]}})",
            R"({"class_name":"UpSampling2D","config":{"name":"d","size":[9223372036854775807,4]}})",
            R"({"class_name":"Cropping2D","config":{"name":"d","cropping":[[9223372036854775807,9223372036854775807],[1,1]]}})",
            R"({"class_name":"Conv2D","config":{"name":"d","filters":4611686018427387904,"kernel_size":[3,3]}})",
            R"({"class_name":"Conv2D","config":{"name":"d","filters":1,"kernel_size":[9223372036854775807,9223372036854775807],"padding":"same"}})",
            R"({"class_name":"Conv2D","config":{"name":"d","filters":1,"kernel_size":[3,3],"dilation_rate":[9223372036854775807,2]}})",
            R"({"class_name":"Conv2DTranspose","config":{"name":"d","filters":1,"kernel_size":[3,3],"strides":[9223372036854775807,1]}})",
            R"({"class_name":"DepthwiseConv2D","config":{"name":"d","depth_multiplier":9223372036854775807,"kernel_size":[3,3]}})",
            R"({"class_name":"MaxPooling2D","config":{"name":"d","pool_size":[9223372036854775807,1]}})",
        }) {
      CAPTURE(std::string(layer));
      refused(sequential("[null,8,8,2]", layer));
    }
    refused(sequential("[null,1099511627776,1099511627776]",
                       R"({"class_name":"Flatten","config":{"name":"f"}})"));
  }
  SUBCASE("models within models, each called twice") {
    std::string layer = dense("a", "i");
    for (int level = 0; level < 40; ++level) {
      layer =
          R"({"class_name":"Functional","name":"a","config":{"name":"a","layers":[{"class_name":)"
          R"("InputLayer","name":"i","config":{"batch_input_shape":[null,4],"name":"i"},)"
          R"("inbound_nodes":[]},)" +
          layer + R"(],"input_layers":[["i",0,0]],"output_layers":[["a",)" +
          (level == 0 ? "0" : "1") + R"(,0]]},"inbound_nodes":[[["i",0,0,{}]],[["a",0,0,{}]]]})";
    }
    refused(functional(layer));
  }
  SUBCASE("more layers than anybody has") {
    std::string layers;
    for (int i = 0; i < 1'000'000; ++i) {
      if (i > 0) layers += ',';
      layers += R"({"class_name":"Flatten","config":{}})";
    }
    refused(sequential("[null,4]", layers));
  }
  SUBCASE("levels") {
    refused(std::string(1'000'000, '['));
    std::string text = "1";
    for (int i = 0; i < 100'000; ++i) text = R"({"a":)" + text + '}';
    refused(text);
  }
}

TEST_CASE("hostile files: a model of JSON makes no weights until they are needed") {
  // Half a petabyte of them.
  const std::string json = sequential(
      "[null,8388608]", R"({"class_name":"Dense","config":{"name":"d","units":16777216}})");
  const std::int64_t before = peak_memory();
  nn::Model model = nn::model_from_json(json);
  CHECK(model.summary().find("140,737,505,132,544") == std::string::npos);
  CHECK(model.to_json().find("16777216") != std::string::npos);
  CHECK(peak_memory() - before < 64 << 20);
  CHECK_THROWS_AS(model.weights(), MemoryError);
}

// ---- damage

TEST_CASE("hostile files: with any bit flipped, a file throws or is read") {
  const TemporaryFolder folder;
  nn::Model model = small_model();
  model.compile({.optimizer = "adam", .loss = "mse"});
  std::mt19937 random(7);
  constexpr int flips = 400;
  for (const char* name : {"m.h5", "m.keras", "m.weights.h5", "w.h5"}) {
    CAPTURE(name);
    const bool whole = name[0] == 'm' && std::string_view(name) != "m.weights.h5";
    whole ? model.save(folder / name) : model.save_weights(folder / name);
    const std::string bytes = content(folder / name);
    int refused = 0, read = 0;
    for (int i = 0; i < flips; ++i) {
      const std::size_t at = i * bytes.size() / flips;
      const auto bit = static_cast<char>(1 << random() % 8);
      CAPTURE(at);
      CAPTURE(bit);
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ bit);
      const auto file = put(folder / (std::string("bad_") + name), damaged);
      try {
        if (whole) {
          nn::load_model(file);
        } else {
          nn::Model loaded = small_model(2);
          loaded.load_weights(file);
        }
        ++read;
      } catch (const Error&) {
        ++refused;
      }
    }
    CAPTURE(refused);
    CHECK(refused > flips / 30);
    CHECK(refused + read == flips);
  }
}

// ---- saving

/// Writes that reach further than this fail.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_CASE("saving: where a write fails, the old file stays, and nothing is beside it") {
  const TemporaryFolder folder;
  nn::Model model = small_model(), other = small_model(2);
  for (const char* name : {"m.h5", "m.keras", "m.json", "m.weights.h5", "w.h5"}) {
    CAPTURE(name);
    const bool weights = name[0] == 'w' || std::string_view(name) == "m.weights.h5";
    const auto save = [&](nn::Model& saved) {
      weights ? saved.save_weights(folder / name) : saved.save(folder / name);
    };
    save(model);
    const std::string before = content(folder / name);
    for (const std::size_t part : {0, 1, 50, 99}) {
      CAPTURE(part);
      const FileSizeLimit limit(before.size() * part / 100);
      check_message<IoError>([&] { save(other); }, {name});
    }
    CHECK(content(folder / name) == before);
    CHECK_NOTHROW(save(other));  // and all is well afterwards
    fs::remove(folder / name);
    CHECK(fs::is_empty(folder.path()));
  }
}

TEST_CASE("saving: whoever is killed in the middle leaves the old file or the new one") {
  const TemporaryFolder folder;
  const std::vector<float> x{1, 2, 3, 4};
  const auto number = [](nn::Model& model) { return model.get_weights()[0].data<float>()[0]; };
  nn::Model first = small_model(1), second = small_model(2);
  const float a = number(first), b = number(second);
  REQUIRE(a != b);
  std::mt19937 random(3);
  for (const char* name : {"m.h5", "m.keras"}) {
    CAPTURE(name);
    first.save(folder / name);
    for (int round = 0; round < 25; ++round) {
      const pid_t child = ::fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        for (;;) {
          second.save(folder / name);
          first.save(folder / name);
        }
      }
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      nn::Model loaded = nn::load_model(folder / name);
      const float got = number(loaded);
      CHECK((got == a || got == b));
    }
  }
}

}  // namespace
}  // namespace weft::test
