// The programs that the documentation shows are those that are compiled.
#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/io_files.hpp"

namespace weft::test {
namespace {

const std::filesystem::path root = WEFT_SOURCE_DIR;

/// What a page shows as C++.
std::vector<std::string> snippets_of(const std::string& page) {
  constexpr std::string_view begin = "```cpp\n", end = "```\n";
  std::vector<std::string> snippets;
  for (std::size_t at = page.find(begin); at != page.npos; at = page.find(begin, at)) {
    at += begin.size();
    const std::size_t after = page.find(end, at);
    REQUIRE(after != page.npos);
    snippets.push_back(page.substr(at, after - at));
    at = after + end.size();
  }
  return snippets;
}

/// What stands in a source between lines "// [name]" and "// [end]", by name, as far to the left as
/// these.
std::map<std::string, std::string> sections_of(const std::string& source) {
  std::map<std::string, std::string> sections;
  std::string* section = nullptr;
  std::size_t indent = 0;
  std::istringstream lines(source);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = std::min(line.find_first_not_of(' '), line.size());
    if (line.compare(first, std::string::npos, "// [end]") == 0) {
      section = nullptr;
    } else if (line.compare(first, 4, "// [") == 0 && line.ends_with(']')) {
      section = &sections[line.substr(first + 4, line.size() - first - 5)];
      indent = first;
    } else if (section != nullptr) {
      *section += line.substr(std::min(indent, line.size())) + '\n';
    }
  }
  CHECK(section == nullptr);
  return sections;
}

}  // namespace

TEST_CASE("README.md shows examples/readme.cpp, and a test of files") {
  const std::string program = content(root / "examples" / "readme.cpp");
  CHECK(program.size() > 100);
  const auto sections = sections_of(content(root / "tests" / "io_keras.cpp"));
  CHECK(snippets_of(content(root / "README.md")) == std::vector{program, sections.at("files")});
}

TEST_CASE("docs/ shows tests, each part in less than 30 lines") {
  for (const auto& [page, source] : {std::pair{"extending.md", "extending.cpp"},
                                     std::pair{"training.md", "training_guide.cpp"}}) {
    CAPTURE(page);
    const std::vector<std::string> shown = snippets_of(content(root / "docs" / page));
    const auto sections = sections_of(content(root / "tests" / source));
    CHECK(shown.size() == sections.size());
    for (const auto& [name, code] : sections) {
      CAPTURE(name);
      CHECK(std::ranges::count(code, '\n') < 30);
      CHECK(std::ranges::count(shown, code) == 1);
    }
  }
}

}  // namespace weft::test
