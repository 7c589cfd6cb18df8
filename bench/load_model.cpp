// How long nn::load_model takes, and how much memory, beside libhdf5 reading the same arrays.
//
//   build/bench/load_model [--layers 6] [--units 2048] [--rounds 15] [--adam]
//
// The files lie in the page cache. Rounds are interleaved, and medians printed with the fastest and
// the slowest. Memory is the peak above what the process had before.
#include <fmt/core.h>
#include <hdf5.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/model_files.hpp"
#include "nn/nn.hpp"

namespace nn = weft::nn;
namespace fs = std::filesystem;

namespace {

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

/// "VmHWM" and the like of /proc/self/status, in megabytes.
double megabytes(const std::string& what) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != what + ':') continue;
    double kilobytes = 0;
    status >> kilobytes;
    return kilobytes / 1024;
  }
  return 0;
}

/// All arrays of a file, into memory that is given back at the end; returns their bytes.
std::size_t read_arrays(const fs::path& path) {
  struct Read {
    std::vector<std::unique_ptr<float[]>> arrays{};
    std::size_t bytes = 0;
  } all;
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const auto read = [](hid_t root, const char* name, const H5O_info_t* info, void* data) -> herr_t {
    if (info->type != H5O_TYPE_DATASET) return 0;
    auto& to = *static_cast<Read*>(data);
    const hid_t array = H5Dopen2(root, name, H5P_DEFAULT);
    const hid_t space = H5Dget_space(array);
    const auto count = static_cast<std::size_t>(H5Sget_simple_extent_npoints(space));
    to.arrays.push_back(std::make_unique_for_overwrite<float[]>(count));
    H5Dread(array, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, to.arrays.back().get());
    to.bytes += count * sizeof(float);
    H5Sclose(space);
    return H5Dclose(array);
  };
  H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, read, &all, H5O_INFO_BASIC);
  H5Fclose(file);
  return all.bytes;
}

struct Way {
  std::string name;
  fs::path file;
  std::function<void()> work;
  std::vector<double> seconds{};
  double peak = 0;
};

}  // namespace

int main(int argc, char** argv) {
  int layers = 6, rounds = 15;
  std::int64_t units = 2048;
  bool adam = false;
  CLI::App app("Measures how models are loaded.");
  app.add_option("--layers", layers)->capture_default_str();
  app.add_option("--units", units)->capture_default_str();
  app.add_option("--rounds", rounds)->capture_default_str();
  app.add_flag("--adam", adam, "With what an optimizer keeps");
  CLI11_PARSE(app, argc, argv);

  std::string folder = (fs::temp_directory_path() / "weft-load-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 1;
  const fs::path h5 = folder + "/m.h5", keras = folder + "/m.keras";
  {
    nn::Sequential model({.name = "m"});
    model.add(nn::Input({units}));
    for (int i = 0; i < layers; ++i) model.add(nn::Dense(units, {.kernel_initializer = "ones"}));
    if (adam) model.compile({.optimizer = "adam", .loss = "mse"});
    if (adam) model.optimizer_variables();
    model.save(h5);
    model.save(keras);
  }
  std::vector<Way> ways{{"libhdf5", h5, [&] { read_arrays(h5); }},
                        {"load_model", h5, [&] { nn::load_model(h5); }},
                        {"load_model", keras, [&] { nn::load_model(keras); }}};
  for (int round = -1; round < rounds; ++round) {
    for (Way& way : ways) {
      std::ofstream("/proc/self/clear_refs") << "5";  // forgets the peak
      const double before = megabytes("VmRSS"), start = now();
      way.work();
      if (round >= 0) way.seconds.push_back(now() - start);
      way.peak = std::max(way.peak, megabytes("VmHWM") - before);
    }
  }
  for (Way& way : ways) {
    std::ranges::sort(way.seconds);
    const double median = way.seconds[way.seconds.size() / 2];
    fmt::print(
        "{:<10} {:<7} {:6.1f} MB: {:6.1f} ms ({:.1f} to {:.1f}), {:.2f} of libhdf5's; {:.1f} MB of "
        "memory, {:.2f} of the file\n",
        way.name, way.file.filename().string(),
        static_cast<double>(fs::file_size(way.file)) / (1 << 20), median * 1e3,
        way.seconds.front() * 1e3, way.seconds.back() * 1e3,
        median / ways[0].seconds[ways[0].seconds.size() / 2], way.peak,
        way.peak * (1 << 20) / static_cast<double>(fs::file_size(way.file)));
  }
  fs::remove_all(folder);
}
