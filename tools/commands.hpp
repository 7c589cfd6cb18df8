// The commands of the program weft, each of which adds itself to the command line. What they are
// given is theirs; what goes wrong is thrown, and main() makes an exit code of it.
#pragma once

#include <CLI/CLI.hpp>
#include <stdexcept>
#include <string>

#include "io/model_files.hpp"

namespace weft::tools {

/// A mistake of the user's on the command line, found after it was parsed.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// The work was broken off by Ctrl-C, and what had to be saved is saved.
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void add_summary(CLI::App& app);
void add_draw(CLI::App& app);
void add_convert(CLI::App& app);
void add_predict(CLI::App& app);
void add_train(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_serve(CLI::App& app);
void add_bench(CLI::App& app);
void add_completion(CLI::App& app);

/// A model in a file, and perhaps weights of another.
struct ModelFile {
  std::string model, weights;
  /// Adds the argument MODEL and the option --weights.
  void add_to(CLI::App& command);
  nn::Model load() const;
  /// Throws UsageError where there are no weights: new ones would be of no use, and those of a
  /// hostile file without end.
  nn::Model load_with_weights() const;
  /// The same, compiled as the file says. Where Weft does not have what it was trained with, the
  /// model is not compiled, and `not_compiled` says why.
  nn::Model load_compiled(std::string& not_compiled) const;

 private:
  nn::Model load(const nn::LoadModelOptions& options) const;
  nn::Model load_with_weights(const nn::LoadModelOptions& options) const;
};

/// "optimizer adam, loss mse and metrics mae".
std::string text_of(const nn::TrainOptions& options);

/// Says on stderr what is done otherwise than one might expect.
void warn(const std::string& text);

/// Adds --threads.
void add_threads(CLI::App& command, int& threads);

/// The tutorial's network, without weights yet.
nn::Model tutorial(std::uint64_t seed);

/// Writes to stdout; throws if that fails.
void print(const std::string& text);

}  // namespace weft::tools
