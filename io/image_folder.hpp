// A data set of pictures: a folder of folders of PNG and JPEG files, one for each class.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nn/dataset.hpp"

namespace weft {

struct ImageFolderOptions {
  std::int64_t height = 256, width = 256;  ///< pictures of other sizes are resized, see resized()
  int channels = 3;                        ///< 1: grey
  bool keep = true;  ///< keep what was decoded, a byte a number, while training reads it again
};

/// What a folder of pictures has.
struct ImageFolder {
  nn::Dataset data;                  ///< x: f32[height,width,channels], 0 to 255; y: the class, s32
  std::vector<std::string> classes;  ///< names of the folders in it, sorted: class 0, 1, ...
  std::vector<std::filesystem::path> files;
};

/// Finds the pictures (.png, .jpg, .jpeg) in the folders of a folder, and below them, as Keras'
/// image_dataset_from_directory; other files and names that begin with a dot are left alone. They
/// are read when a batch needs them, ahead of its step, and sorted by class: shuffled() comes
/// before split().
///
///   auto [data, classes, files] = weft::load_image_folder("flowers", {.height = 64, .width = 64});
///   auto [train, test] = data.scaled(1.0f / 255).shuffled(1).split(0.2);
///
///   throws  IoError for a folder that is missing, or has no folder with pictures; when it is
///           read, for a picture that is damaged; ArgumentError for a size below 1 or channels
///           other than 1 and 3
ImageFolder load_image_folder(const std::filesystem::path& folder,
                              const ImageFolderOptions& options = {});

}  // namespace weft
