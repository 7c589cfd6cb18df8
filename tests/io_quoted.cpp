// Text from files in messages: printable, short, and beside the file's name.
#include "io/quoted.hpp"

#include <doctest/doctest.h>

#include "tests/messages.hpp"

namespace weft::test {

TEST_CASE("quoted: text of a file is shown without control characters, and cut") {
  CHECK(in_quotes("dense_1") == "\"dense_1\"");
  CHECK(in_quotes("Übung 層 😀") == "\"Übung 層 😀\"");
  CHECK(in_quotes("") == "\"\"");
  CHECK(in_quotes(std::string("a\0b\n\t\r\x1b[2J\x7f", 11)) == R"("a\x00b\n\t\r\x1b[2J\x7f")");
  // What is no UTF-8: a byte alone, a character that is cut, one that is too long, a surrogate, one
  // beyond the last; and control characters of Unicode's.
  CHECK(in_quotes("\xff"
                  "a\xe5\xb1") == R"("\xffa\xe5\xb1")");
  CHECK(in_quotes("\xc0\x80") == R"("\xc0\x80")");
  CHECK(in_quotes("\xed\xa0\x80") == R"("\xed\xa0\x80")");
  CHECK(in_quotes("\xf5\x80\x80\x80") == R"("\xf5\x80\x80\x80")");
  CHECK(in_quotes("\xc2\x9b"
                  "2J") == R"("\xc2\x9b2J")");
  CHECK(in_quotes("\xe2\x80\xae"
                  "x") == R"("\xe2\x80\xaex")");
  CHECK(in_quotes(std::string(80, 'x')) == '"' + std::string(80, 'x') + '"');
  CHECK(in_quotes(std::string(81, 'x')) == '"' + std::string(77, 'x') + "...\"");
  CHECK(printable(std::string(1 << 20, '\0'), 20) == R"(\x00\x00\x00\x00...)");
  CHECK(printable("層層層層", 9) == "層層...");
}

TEST_CASE("quoted: messages are cut, and what stands in quotation marks in them before") {
  CHECK(readable("layer \"d\": it must be 1, not -3") == "layer \"d\": it must be 1, not -3");
  CHECK(readable('"' + std::string(1000, 'n') + "\" is no class") ==
        '"' + std::string(77, 'n') + "...\" is no class");
  const std::string name = '"' + std::string(70, 'n') + '"';
  CHECK(readable(name + name + name + name) ==
        name + name + '"' + std::string(57, 'n') + "...\"\"...\"");
  CHECK(readable(std::string(1000, 'n')).size() == 400);
  CHECK(readable("\"\"\"a\nb\"") == "\"\"\"a\\nb\"");
}

TEST_CASE("quoted: an error while a file is read names it, and stays of its type") {
  const auto throwing = [](auto error) {
    return [=] { naming("m.h5", [&]() -> int { throw error; }); };
  };
  CHECK(message_of<ShapeError>(throwing(ShapeError("it has 3"))) == "\"m.h5\": it has 3");
  CHECK(message_of<TypeError>(throwing(TypeError("x"))) == "\"m.h5\": x");
  CHECK(message_of<ArgumentError>(throwing(ArgumentError("x"))) == "\"m.h5\": x");
  CHECK(message_of<GradientError>(throwing(GradientError("x"))) == "\"m.h5\": x");
  CHECK(message_of<CompileError>(throwing(CompileError("x"))) == "\"m.h5\": x");
  CHECK(message_of<IoError>(throwing(IoError("\"m.h5\": /a"))) == "\"m.h5\": /a");
  CHECK(message_of<UnsupportedError>(throwing(UnsupportedError("a\nb"))) == "\"m.h5\": a\\nb");
  CHECK(message_of<Error>(throwing(Error("in \"m.h5\": \x1b"))) == "in \"m.h5\": \\x1b");
  // The file's name stays whole, however long.
  const std::string path(500, 'p'), end = " has the name \"" + std::string(77, 'n') + "...\"";
  CHECK(message_of<IoError>([&] {
          naming(path, [&]() -> int {
            fail<IoError>("\"{}\" has the name \"{}\"", path, std::string(900, 'n'));
          });
        }) == '"' + path + '"' + end);
  CHECK(message_of<IoError>([] { naming("", []() -> int { fail<IoError>("a\tb"); }); }) == "a\\tb");
  CHECK_THROWS_AS(throwing(std::bad_alloc())(), std::bad_alloc);
  CHECK(naming("m.h5", [] { return 7; }) == 7);
}

}  // namespace weft::test
