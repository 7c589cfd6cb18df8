// The state of training as a file: FitState and what was trained, in HDF5 with JSON.
#pragma once

#include <filesystem>
#include <string>

#include "nn/fit_state.hpp"

namespace weft::nn {

/// What a folder of BackupAndRestore keeps beside weights and optimizer.
struct KeptState {
  FitState state;
  std::string run;  ///< BackupAndRestore::run
  Facts model;      ///< what tells the model from others
};

/// Throw IoError.
void write_state(const KeptState& kept, const std::filesystem::path& file);
KeptState read_state(const std::filesystem::path& file);

}  // namespace weft::nn
