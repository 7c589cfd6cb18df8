// What `weft serve` makes of requests whose parts contradict one another, byte by byte.
#ifdef WEFT_PROGRAM

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/serving.hpp"
#include "tools/server/server.hpp"

namespace weft::test {
namespace {

/// A server in this program, and what it answers to bytes.
struct Asked {
  Server server{digit_model(), {.port = 0}};
  Asked() { server.start(); }

  /// The client sends no more than this, and reads until the server hangs up.
  std::string answer(const std::string& request) const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(server.port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::send(socket, request.data(), request.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(request.size()));
    std::string all(1 << 16, '\0');
    std::size_t size = 0;
    while (size < all.size()) {
      const ssize_t count = ::recv(socket, all.data() + size, all.size() - size, 0);
      if (count <= 0) break;
      size += static_cast<std::size_t>(count);
    }
    ::close(socket);
    all.resize(size);
    return all;
  }
  int status(const std::string& request) const {
    const std::string got = answer(request);
    CAPTURE(got);
    REQUIRE(got.starts_with("HTTP/1.1 "));
    return std::stoi(got.substr(9, 3));
  }
};

const std::string body = [] {
  return nlohmann::json{{"pixels", std::vector<int>(784, 7)}}.dump();
}();

std::string length_of(const std::string& text) {
  return fmt::format("Content-Length: {}\r\n", text.size());
}

/// A prediction with other headers: those that are right are there unless one is given.
std::string post(const std::string& headers, const std::string& content = body) {
  return "POST /predict HTTP/1.1\r\n" + headers + "\r\n" + content;
}

const std::string host = "Host: localhost\r\n", type = "Content-Type: application/json\r\n";

TEST_CASE("serve: there is one length of a body, and it is a number") {
  const Asked asked;
  CHECK(asked.status(post(host + type + length_of(body))) == 200);
  const auto with = [&](const std::string& headers) { return post(host + type + headers); };
  // Whatever reads the first and whatever reads the last would disagree on where the body ends.
  const std::string two = asked.answer(with(length_of(body) + "Content-Length: 5\r\n"));
  CHECK(two.starts_with("HTTP/1.1 400"));
  CHECK(two.find("more than one Content-Length") != std::string::npos);
  CHECK(asked.status(with("Content-Length: 5\r\ncontent-length: 6\r\n" + length_of(body))) == 400);
  for (const char* length : {"5, 6", "5, 5", "+5", "-1", "0x10", "5 6", "5a", "1e3", "5.0"}) {
    CAPTURE(length);
    CHECK(asked.status(with(fmt::format("Content-Length: {}\r\n", length))) == 400);
  }
  CHECK(asked.status(with("Transfer-Encoding: chunked\r\n" + length_of(body))) == 400);
  CHECK(asked.status(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n")) == 400);
  CHECK(asked.status(with("transfer-encoding: chunked\r\n")) == 411);
  CHECK(asked.status(with("Content-Length : 5\r\n" + length_of(body))) == 400);
  CHECK(asked.status(with("Content-Length\t: 5\r\n" + length_of(body))) == 400);
  // Also where no body is taken.
  CHECK(asked.status("GET / HTTP/1.1\r\n" + host +
                     "Content-Length: 1\r\nContent-Length: 2\r\n\r\n") == 400);
}

TEST_CASE("serve: headers that are there once") {
  const Asked asked;
  const std::string right = length_of(body);
  CHECK(asked.status(post(host + "host: localhost\r\n" + type + right)) == 400);
  CHECK(asked.status(post(type + right)) == 400);
  CHECK(asked.status(post(host + type + type + right)) == 400);
  CHECK(asked.status(post(host + type +
                          "Origin: http://localhost\r\norigin: http://evil.example\r\n" + right)) ==
        400);
}

TEST_CASE("serve: names of hosts, headers and media types have no case, and blanks around them") {
  const Asked asked;
  const std::string right = length_of(body);
  for (const char* name : {"LOCALHOST", "LocalHost:8000", "localhost  ", "\t localhost"}) {
    CAPTURE(name);
    CHECK(asked.status(post(fmt::format("hOST: {}\r\n", name) + type + right)) == 200);
  }
  for (const char* media : {"Application/JSON", "application/json ; charset=utf-8",
                            "APPLICATION/JSON;charset=UTF-8", "application/json\t;x"}) {
    CAPTURE(media);
    CHECK(asked.status(post(host + fmt::format("CONTENT-TYPE: {}\r\n", media) + right)) == 200);
  }
  for (const char* media :
       {"application/jsonp", "application/json2; a", "application / json", ";"}) {
    CAPTURE(media);
    CHECK(asked.status(post(host + fmt::format("Content-Type: {}\r\n", media) + right)) == 415);
  }
  CHECK(asked.status(
            post("Host: LOCALHOST:80\r\nOrigin: HTTP://localhost:80\r\n" + type + right)) == 200);
  CHECK(asked.status(post("Host: LOCALHOST.evil.example\r\n" + type + right)) == 403);
}

TEST_CASE("serve: a body that is too long is refused before it is there") {
  const Asked asked;
  // The client waits for the answer, and sends nothing of the body, or little.
  for (const char* length :
       {"1048577", "99999999999", "18446744073709551615", "99999999999999999999999999"}) {
    CAPTURE(length);
    const std::string head = host + type + fmt::format("Content-Length: {}\r\n", length);
    const std::string got = asked.answer(post(head, ""));
    CHECK(got.starts_with("HTTP/1.1 413"));
    CHECK(got.find("at most 1048576 bytes") != std::string::npos);
    CHECK(asked.status(post(head, "{\"pixels\":")) == 413);
    // Who asks whether to send it hears no "100 Continue".
    CHECK(asked.status(post(head + "Expect: 100-continue\r\n", "")) == 413);
  }
  CHECK(asked.answer(post(host + type + length_of(body) + "Expect: 100-continue\r\n"))
            .starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"));
  // Who sends it all before reading has the answer, too: the connection is not reset.
  for (int i = 0; i < 20; ++i) {
    const std::string much(3 << 20, ' ');
    CHECK(asked.status(post(host + type + length_of(much), much)) == 413);
  }
}

}  // namespace
}  // namespace weft::test

#endif
