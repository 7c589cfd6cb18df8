// svg_of: a model's drawing as text, by way of a file, since Graphviz is a program.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "graph/error.hpp"
#include "io/drawing.hpp"
#include "tools/server/server.hpp"

namespace weft {

namespace fs = std::filesystem;

std::string svg_of(nn::Model& model) {
  std::error_code failed;
  std::string folder = (fs::temp_directory_path(failed) / "weft-XXXXXX").string();
  if (failed || ::mkdtemp(folder.data()) == nullptr) return "";
  std::string svg;
  try {
    const fs::path file = fs::path(folder) / "graph.svg";
    model.draw(file);
    std::ifstream in(file, std::ios::binary);
    svg.assign(std::istreambuf_iterator<char>(in), {});
  } catch (const IoError&) {  // no dot
  }
  fs::remove_all(folder, failed);
  return svg;
}

}  // namespace weft
