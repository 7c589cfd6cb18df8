// Any bytes as a file: nn::load_model, and load_weights of a model that is there. An Error is the
// right answer to most of them; what is wrong is any other exception, a crash, what the sanitizers
// report, and memory or time out of proportion to the file. tests/fuzz/run.sh runs it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "graph/error.hpp"
#include "io/model_files.hpp"
#include "nn/nn.hpp"

namespace {

namespace nn = weft::nn;

/// A file in memory, which has a name as long as it is open.
class MemoryFile {
 public:
  MemoryFile(const std::uint8_t* data, std::size_t size) : number_(::memfd_create("fuzz", 0)) {
    if (number_ < 0 || ::write(number_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~MemoryFile() { ::close(number_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(number_); }

 private:
  int number_;
};

/// As the seeds' (seeds.cpp), so that their weights fit.
nn::Model model_with_weights() {
  nn::Sequential model({nn::Dense(3, {.activation = "relu", .input_shape = {4}}),
                        nn::BatchNormalization(), nn::Dense(2)},
                       {.name = "small"});
  model.compile({.optimizer = "adam", .loss = "mse"});
  return model;
}

template <class F>
void attempt(F f) {
  try {
    f();
  } catch (const weft::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(data, size);
  attempt([&] {
    nn::Model model = nn::load_model(file.path());
    model.summary();
    model.to_json();
  });
  if (size > 0 && data[0] == '{') return 0;
  static const nn::Model original = model_with_weights();
  for (const bool skip_mismatch : {false, true}) {
    attempt([&] {
      nn::Model model = original;
      model.load_weights(file.path(), {.skip_mismatch = skip_mismatch});
    });
  }
  return 0;
}
