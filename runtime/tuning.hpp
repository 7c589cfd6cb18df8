// Tuning: measuring which of several ways is the fastest on this machine, and remembering it.
// Included by .cpp files only.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/onednn.hpp"

namespace weft {

/// The seconds that one run of a primitive takes with the threads at hand: the least of several.
/// The memory it works on is made up for the purpose.
double seconds_of(const dnnl::primitive_desc_base& pd);
double seconds_of(const dnnl::primitive& primitive,
                  const std::vector<std::pair<int, onednn::Desc>>& arguments);
/// Of a reorder between two layouts; 0 if they are the same.
double reorder_seconds(const onednn::Desc& from, const onednn::Desc& to);

/// What was found to be the fastest, by question: "conv2d f32[...] ..., 1 thread". Answers hold for
/// one model of processor and one version of oneDNN, which are part of every line of the file.
class Tuning {
 public:
  /// Reads the file, if it is there; a line that makes no sense is left out. Without a path,
  /// nothing is kept.
  explicit Tuning(std::string path);
  /// The process' own, of config().tuning_file.
  static Tuning& shared();

  /// The fastest way, by its place in `names`: as remembered, if it is one of them; else the one
  /// for which seconds(i) is least, where one must be clearly faster than those before it. That is
  /// then remembered, and written to the file (beside it, then renamed; a file that cannot be
  /// written is no error). seconds may itself ask.
  std::size_t fastest(const std::string& question, const std::vector<std::string>& names,
                      const std::function<double(std::size_t)>& seconds);
  std::size_t measured() const noexcept {
    return measured_;
  }  ///< questions that were not remembered

 private:
  std::optional<std::size_t> find(const std::string& key, const std::vector<std::string>& names);
  void read();
  void write() const;

  std::string path_, machine_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::string> answers_;  // by machine and question
  std::atomic<std::size_t> measured_ = 0;
};

}  // namespace weft
