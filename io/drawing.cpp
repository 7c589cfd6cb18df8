#include "io/drawing.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "graph/dot.hpp"
#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/atomic_file.hpp"
#include "nn/model.hpp"

extern char** environ;

namespace weft {
namespace {

namespace fs = std::filesystem;

void write_text(const fs::path& file, const std::string& text) {
  write_atomically(file, {std::as_bytes(std::span(text))});
}

/// A file that vanishes at the end of its scope.
struct Scratch {
  fs::path path;
  ~Scratch() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
};

std::string content(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Runs `dot` and waits for it; returns what it said if it failed.
std::string run_dot(const std::string& format, const fs::path& from, const fs::path& to,
                    const fs::path& messages) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, messages.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::string program = "dot", option = "-T" + format, output = "-o" + to.string(),
              input = from.string();
  std::array<char*, 5> arguments{program.data(), option.data(), output.data(), input.data(),
                                 nullptr};
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, "dot", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) return "Graphviz' program dot is not installed; a .dot file needs none";
  if (error != 0) return fmt::format("dot cannot be run: {}", std::strerror(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  std::string said = content(messages);
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return fmt::format("dot failed{}{}", said.empty() ? "" : ": ", said);
}

}  // namespace

void write_drawing(const fs::path& file, const std::string& dot) {
  const std::string ending = file.extension().string();
  if (ending == ".dot" || ending == ".gv") return write_text(file, dot);
  if (ending != ".svg" && ending != ".png" && ending != ".pdf") {
    fail<ArgumentError>(
        "draw: \"{}\" must end in .svg, .png or .pdf, or in .dot for the text of the drawing",
        file.string());
  }
  write_atomically(file, [&](const fs::path& temporary) {
    const Scratch text{temporary.string() + ".dot"}, messages{temporary.string() + ".log"};
    write_text(text.path, dot);
    const std::string problem = run_dot(ending.substr(1), text.path, temporary, messages.path);
    if (!problem.empty()) fail<IoError>("draw: cannot make \"{}\": {}", file.string(), problem);
  });
}

void draw(const std::vector<Value>& outputs, const fs::path& file) {
  std::ostringstream text;
  write_dot(text, outputs);
  write_drawing(file, text.str());
}

namespace nn {

void Model::draw(const fs::path& file, const DrawOptions& options) {
  write_drawing(file, to_dot(options));
}

void Model::draw_training_step(const fs::path& folder, const Dataset& data, std::int64_t batch_size,
                               const std::string& format) {
  fs::create_directories(folder);
  std::size_t number = 0;
  watch_training_step(data, batch_size, [&](std::string_view pass, const Program& program) {
    weft::draw(program.outputs, folder / fmt::format("{:02}-{}.{}", number++, pass, format));
  });
}

}  // namespace nn
}  // namespace weft
