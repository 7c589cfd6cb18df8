// What data that are made as they are needed cost: an epoch from PNG files, turned and shifted at
// random, against one from memory as it lies. A core must be free for the thread that makes them.
//
//   build/bench/pipeline [threads [rounds]]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "bench/models.hpp"
#include "io/image.hpp"
#include "io/image_folder.hpp"
#include "runtime/threads.hpp"

namespace {

namespace fs = std::filesystem;
namespace nn = weft::nn;
using weft::Tensor;

constexpr std::int64_t samples = 10000;

double median(std::vector<double> times) {
  std::ranges::sort(times);
  return times[times.size() / 2];
}

/// Noise in the form of pictures, ten folders of them.
void write_pictures(const fs::path& folder, const weft::Shape& input) {
  nn::Random random(1);
  for (std::int64_t i = 0; i < samples; ++i) {
    const fs::path place = folder / std::to_string(i % 10);
    if (i < 10) fs::create_directories(place);
    Tensor image(weft::Type{weft::DType::u8, input});
    // Smooth, as pictures are, so that they are no harder to decode.
    std::uint64_t brightness = random.below(256);
    for (std::uint8_t& byte : image.data<std::uint8_t>()) {
      brightness = (brightness + random.below(8)) % 256;
      byte = static_cast<std::uint8_t>(brightness);
    }
    weft::write_png(place / fmt::format("{}.png", i), image);
  }
}

void measure(const std::string& name, std::int64_t part, int rounds) {
  auto [model, input] = weft::bench::network(name);
  const fs::path folder = fs::temp_directory_path() / ("weft-pipeline-" + name);
  fs::remove_all(folder);
  write_pictures(folder, input);
  const auto pictures = [&](bool keep) {
    const weft::ImageFolder found =
        weft::load_image_folder(folder, {.height = input[0],
                                         .width = input[1],
                                         .channels = static_cast<int>(input[2]),
                                         .keep = keep});
    return found.data;
  };
  // The same pictures and labels in memory.
  const nn::Dataset files = pictures(false);
  Tensor x(weft::Type{weft::DType::u8, {samples, input[0], input[1], input[2]}});
  Tensor labels(weft::Type{weft::DType::f32, {samples}});
  {
    Tensor row(weft::Type{weft::DType::f32, {1, input.elements()}});
    std::vector<std::int64_t> rows{0};
    for (; rows[0] < samples; ++rows[0]) {
      files.x().take(rows, row);
      std::ranges::copy(row.data<float>(),
                        x.data<std::uint8_t>().begin() + rows[0] * input.elements());
      files.y().take(rows, labels, rows[0]);
    }
  }
  const Tensor y = nn::to_categorical(labels, 10);
  const nn::Augmentation some{.rotation = 0.03, .height_shift = 0.08, .width_shift = 0.08};
  struct Case {
    const char* name;
    nn::Dataset data;
    std::vector<double> times{};
  };
  const auto with_targets = [&](const nn::Dataset& data) {
    return nn::Dataset({data.x()}, {nn::Column(y)});
  };
  std::vector<Case> cases{
      {"memory", nn::Dataset(x, y)},
      {"memory, augmented", nn::Dataset(x, y).augmented(some)},
      {"PNG files, kept, augmented", with_targets(pictures(true)).augmented(some)},
      {"PNG files, read again, augmented", with_targets(files).augmented(some)},
      {"the last, within the steps", with_targets(files).augmented(some).prefetched(0)}};
  for (int round = 0; round <= rounds; ++round) {
    for (Case& each : cases) {
      const auto start = std::chrono::steady_clock::now();
      model.fit(each.data.scaled(1.0f / 255).rows(0, part), {.batch_size = 64, .verbose = 0});
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      if (round > 0) each.times.push_back(time.count());  // the first one compiles, and reads
    }
  }
  const double base = median(cases[0].times);
  for (const Case& each : cases) {
    fmt::print("{:9} {:34} {:8.3f} s an epoch of {}  {:5.2f} times memory\n", name, each.name,
               median(each.times), part, median(each.times) / base);
  }
  fs::remove_all(folder);
}

}  // namespace

int main(int argc, char** argv) {
  weft::set_threads(argc > 1 ? std::atoi(argv[1]) : 1);
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  measure("tutorial", samples, rounds);
  measure("vgg", 640, std::min(rounds, 3));
}
