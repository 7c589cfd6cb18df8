// Whether a model can be saved, asked before training rather than after it.
#pragma once

#include <filesystem>

namespace weft::nn {

class Model;

/// Throws what model.save(file), or save_weights, would throw for what the format cannot hold: names
/// that are too long or have a NUL in them, layers and settings that are not in it. Nothing is
/// written, and it takes little time: no weight is copied. Makes weights that are not there yet.
void expect_savable(Model& model, const std::filesystem::path& file);
void expect_weights_savable(Model& model, const std::filesystem::path& file);

}  // namespace weft::nn
