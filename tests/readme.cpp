// The program that the README shows is the one that is compiled.
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

TEST_CASE("README.md shows examples/readme.cpp") {
  const std::filesystem::path root = WEFT_SOURCE_DIR;
  const std::string readme = content(root / "README.md");
  const std::string program = content(root / "examples" / "readme.cpp");
  CHECK(program.size() > 100);
  CHECK(readme.find("```cpp\n" + program + "```\n") != std::string::npos);
}

}  // namespace
}  // namespace weft::test
