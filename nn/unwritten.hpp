// Files that callbacks could not write while training went on: a disk that is full loses a log, and
// not the training.
#pragma once

#include <functional>
#include <string>

namespace weft::nn {

class Model;

struct Unwritten {
  std::string by;      ///< "CSVLogger"
  std::string file;    ///< or a folder
  std::string why;     ///< what was said the first time
  bool later = false;  ///< it was written later, and nothing is missing in it
};

/// Calls `write`. If that throws an IoError or a std::system_error, the file is noted in
/// Model::unwritten, and a warning goes to std::cerr, once for all files of `by`. If it does not, a
/// file that is noted was written later, unless `is_whole` says that something is missing all the
/// same.
///   returns  whether it did not throw
bool try_to_write(Model& model, const std::string& by, const std::string& file,
                  const std::function<void()>& write, bool is_whole = true);

}  // namespace weft::nn
