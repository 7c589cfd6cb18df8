#include "io/image_folder.hpp"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cmath>
#include <fstream>
#include <iterator>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/image.hpp"
#include "nn/fingerprint.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

/// Files as rows. What was decoded is kept as bytes, each row written by the first who needs it.
class Pictures final : public nn::Source {
 public:
  Pictures(const fs::path& folder, std::vector<fs::path> files, const ImageFolderOptions& options)
      : folder_(folder),
        files_(std::move(files)),
        options_(options),
        row_({options.height, options.width, options.channels}),
        states_(options.keep ? files_.size() : 0) {
    if (!options.keep) return;
    const auto count = static_cast<std::int64_t>(files_.size());
    kept_ = Tensor(Type{DType::u8, {count, options.height, options.width, options.channels}});
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(files_.size()); }
  std::vector<Shape> row_shapes() const override { return {row_}; }

  void read(std::int64_t sample, nn::Random&,
            std::span<const std::span<float>> rows) const override {
    const auto at = static_cast<std::size_t>(sample);
    const std::span<float> out = rows[0];
    if (!options_.keep) return decode(at, out);
    const auto bytes = kept_.data<std::uint8_t>().subspan(at * out.size(), out.size());
    if (states_[at].load(std::memory_order_acquire) == State::kept) {
      std::ranges::copy(bytes, out.begin());
      return;
    }
    decode(at, out);
    // To a byte each, so that it is the same the first time.
    for (float& number : out) number = std::round(number);
    State missing = State::missing;
    if (!states_[at].compare_exchange_strong(missing, State::being_written)) return;
    std::ranges::transform(out, bytes.begin(),
                           [](float number) { return static_cast<std::uint8_t>(number); });
    states_[at].store(State::kept, std::memory_order_release);
  }
  /// Of all names below the folder and all sizes in bytes, and of what is in 256 of the files. Not
  /// of their times: a copy of the folder has the same pictures.
  std::uint64_t fingerprint() const override {
    constexpr std::size_t most = 256;
    nn::Hash hash;
    hash.add(static_cast<std::uint64_t>(options_.height))
        .add(static_cast<std::uint64_t>(options_.width));
    const std::size_t every = (files_.size() + most - 1) / most;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      std::error_code missing;  // whoever reads it will say so
      hash.add(files_[i].lexically_relative(folder_).string())
          .add(static_cast<std::uint64_t>(fs::file_size(files_[i], missing)));
      if (i % every != 0) continue;
      std::ifstream in(files_[i], std::ios::binary);
      hash.add(std::string(std::istreambuf_iterator<char>(in), {}));
    }
    return hash.value();
  }

 private:
  enum class State : std::uint8_t { missing, being_written, kept };

  void decode(std::size_t at, std::span<float> out) const {
    const Tensor image = read_image(files_[at], options_.channels);
    if (image.shape() == row_) {
      std::ranges::copy(image.data<std::uint8_t>(), out.begin());
    } else {
      const Tensor fitting = resized(image, options_.height, options_.width);
      std::ranges::copy(fitting.data<float>(), out.begin());
    }
  }

  fs::path folder_;
  std::vector<fs::path> files_;
  ImageFolderOptions options_;
  Shape row_;
  mutable Tensor kept_;
  mutable std::vector<std::atomic<State>> states_;
};

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

bool is_picture(const fs::path& file) {
  std::string ending = file.extension().string();
  std::ranges::transform(ending, ending.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return !is_hidden(file) && (ending == ".png" || ending == ".jpg" || ending == ".jpeg");
}

}  // namespace

ImageFolder load_image_folder(const fs::path& folder, const ImageFolderOptions& options) {
  if (options.height < 1 || options.width < 1 || (options.channels != 1 && options.channels != 3)) {
    fail<ArgumentError>(
        "load_image_folder: a size must be at least 1x1, and channels 1 or 3, not {}x{} and {}",
        options.height, options.width, options.channels);
  }
  ImageFolder result;
  std::vector<std::int32_t> labels;
  try {
    std::vector<fs::path> folders;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.is_directory() && !is_hidden(entry.path())) folders.push_back(entry.path());
    }
    std::ranges::sort(folders);
    for (const fs::path& one : folders) {
      std::vector<fs::path> pictures;
      for (const auto& entry : fs::recursive_directory_iterator(one)) {
        if (entry.is_regular_file() && is_picture(entry.path())) pictures.push_back(entry.path());
      }
      std::ranges::sort(pictures);
      labels.insert(labels.end(), pictures.size(),
                    static_cast<std::int32_t>(result.classes.size()));
      result.files.insert(result.files.end(), pictures.begin(), pictures.end());
      result.classes.push_back(one.filename().string());
    }
  } catch (const fs::filesystem_error& error) {
    fail<IoError>("load_image_folder: cannot read \"{}\": {}", folder.string(),
                  error.code().message());
  }
  if (result.files.empty()) {
    fail<IoError>(
        "load_image_folder: \"{}\" has no folders with pictures in them; there must be a folder of "
        ".png or .jpg files for each class",
        folder.string());
  }
  const auto count = static_cast<std::int64_t>(labels.size());
  result.data = nn::Dataset({nn::Column(std::make_shared<Pictures>(folder, result.files, options))},
                            {nn::Column(Tensor::of<std::int32_t>({count}, labels))});
  return result;
}

}  // namespace weft
