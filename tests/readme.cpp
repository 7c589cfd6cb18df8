// The programs that the documentation shows are those that are compiled.
#include <algorithm>
#include <map>
#include <string>
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

/// What stands in a source between "// [name]" and "// [end]", by name.
std::map<std::string, std::string> sections_of(const std::string& source) {
  constexpr std::string_view mark = "\n// [", end = "\n// [end]\n";
  std::map<std::string, std::string> sections;
  for (std::size_t at = source.find(mark); at != source.npos; at = source.find(mark, at)) {
    at += mark.size();
    const std::size_t first = source.find("]\n", at) + 2, last = source.find(end, at);
    REQUIRE(last != source.npos);
    sections[source.substr(at, first - 2 - at)] = source.substr(first, last + 1 - first);
    at = last + end.size();
  }
  return sections;
}

}  // namespace

TEST_CASE("README.md shows examples/readme.cpp") {
  const std::string program = content(root / "examples" / "readme.cpp");
  CHECK(program.size() > 100);
  CHECK(snippets_of(content(root / "README.md")) == std::vector{program});
}

TEST_CASE("docs/extending.md shows tests/extending.cpp, each part in less than 30 lines") {
  const std::vector<std::string> shown = snippets_of(content(root / "docs" / "extending.md"));
  const auto sections = sections_of(content(root / "tests" / "extending.cpp"));
  CHECK(shown.size() == sections.size());
  for (const auto& [name, code] : sections) {
    CAPTURE(name);
    CHECK(std::ranges::count(code, '\n') < 30);
    CHECK(std::ranges::count(shown, code) == 1);
  }
}

}  // namespace weft::test
