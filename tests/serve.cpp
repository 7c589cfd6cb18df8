// `weft serve`, as a program that answers clients, and the server of it in this program.
#ifdef WEFT_PROGRAM

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <nlohmann/json.hpp>

#include "io/model_files.hpp"
#include "tests/io_files.hpp"
#include "tests/serving.hpp"
#include "tools/digit.hpp"
#include "tools/server/server.hpp"

namespace weft::test {
namespace {

using nlohmann::json;

const httplib::Headers none{};

struct Site {
  TemporaryFolder folder{};
  nn::Sequential model = digit_model();
  std::string file = (folder / "m.h5").string();

  Site() {
    model.weights();
    model.save(file);
  }
  json expected(const std::vector<float>& pixels, float scale = 1.0f / 255) {
    std::vector<float> x;
    for (const float v : pixels) x.push_back(v * scale);
    const Tensor y =
        model.predict(nn::Dataset(Tensor::of<float>({1, 28, 28, 1}, x)), {.verbose = 0});
    const auto numbers = y.data<float>();
    return std::vector<float>(numbers.begin(), numbers.end());
  }
};

std::vector<float> some_pixels() {
  std::vector<float> pixels(784);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(i * 37 % 256);
  return pixels;
}

void check_near(const json& got, const json& wanted) {
  REQUIRE(got.size() == wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(std::abs(got[i].get<double>() - wanted[i].get<double>()) < 1e-6);
  }
}

std::string pixels_body(const std::vector<float>& pixels) {
  return json{{"pixels", pixels}}.dump();
}

/// It was refused, and the message has these texts.
void check_refused(const httplib::Result& result, int status,
                   std::initializer_list<std::string_view> texts) {
  REQUIRE(result);
  CAPTURE(result->body);
  CHECK(result->status == status);
  CHECK(result->get_header_value("X-Content-Type-Options") == "nosniff");
  const json body = json::parse(result->body, nullptr, false);
  REQUIRE(body.is_object());
  const std::string message = body["error"];
  for (const std::string_view text : texts) {
    CAPTURE(text);
    CHECK(message.find(text) != std::string::npos);
  }
}

/// A client that is there, and has said nothing yet.
int connected(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return socket;
}

TEST_CASE("serve: the page, the model and what it says") {
  Site site;
  const Served served({site.file});
  CHECK(served.out() == fmt::format("Serving {} at http://127.0.0.1:{}/ - Ctrl-C ends it\n",
                                    site.file, served.port));
  auto client = served.client();

  const auto page = client.Get("/");
  REQUIRE(page);
  CHECK(page->status == 200);
  CHECK(page->get_header_value("Content-Type") == "text/html; charset=utf-8");
  CHECK(page->body.size() < 30 * 1024);
  CHECK(page->body.find("http://www.w3.org/2000/svg") != std::string::npos);
  CHECK(page->body.find("https://") == std::string::npos);
  CHECK(page->body.find("src=\"http") == std::string::npos);
  const std::string policy = page->get_header_value("Content-Security-Policy");
  CHECK(policy.starts_with("default-src 'none'; "));
  const auto nonce_at = policy.find("script-src 'nonce-") + 18;
  const std::string nonce = policy.substr(nonce_at, 32);
  CHECK(page->body.find("<script nonce=\"" + nonce + "\">") != std::string::npos);
  const auto again = client.Get("/");
  REQUIRE(again);
  CHECK(again->body.find(nonce) == std::string::npos);

  const auto about = client.Get("/model.json");
  REQUIRE(about);
  const json model = json::parse(about->body);
  CHECK(model["name"] == "digits");
  CHECK(model["input"] == json{28, 28, 1});
  CHECK(model["classes"].size() == 10);
  CHECK(model["classes"][9] == "9");
  CHECK(model["output"] == "softmax");
  CHECK(model["digit"] == true);
  CHECK(model["image"] == true);

  const auto answer = client.Post("/predict", pixels_body(some_pixels()), "application/json");
  REQUIRE(answer);
  CHECK(answer->status == 200);
  check_near(json::parse(answer->body)["probabilities"], site.expected(some_pixels()));

  // A drawing of another size, dark on light.
  Tensor drawing(Type{DType::u8, {60, 50}});
  const auto grey = drawing.data<std::uint8_t>();
  std::ranges::fill(grey, std::uint8_t{250});
  for (std::size_t y = 10; y < 50; ++y) std::fill_n(&grey[50 * y + 20], 6, std::uint8_t{10});
  const json body{{"digit", true},
                  {"height", 60},
                  {"width", 50},
                  {"pixels", std::vector<int>(grey.begin(), grey.end())}};
  const auto digit = client.Post("/predict", body.dump(), "application/json; charset=utf-8");
  REQUIRE(digit);
  const json said = json::parse(digit->body);
  const std::vector<float> seen = to_floats(as_mnist_digit(drawing));
  CHECK(said["digit"] == json(seen));
  check_near(said["probabilities"], site.expected(seen));

  const auto graph = client.Get("/graph.svg");
  REQUIRE(graph);
  CHECK(graph->status == (model["drawing"] == true ? 200 : 404));
  if (graph->status == 200) CHECK(graph->body.find("<svg") != std::string::npos);
  const auto icon = client.Get("/favicon.ico");
  REQUIRE(icon);
  CHECK(icon->status == 204);
  const auto history = client.Get("/history.json");
  REQUIRE(history);
  CHECK(json::parse(history->body)["epochs"].empty());
  const auto head = client.Head("/");
  REQUIRE(head);
  CHECK(head->status == 200);
}

TEST_CASE("serve: options") {
  Site site;
  const std::string weights = (site.folder / "w.weights.h5").string();
  const std::string json_file = (site.folder / "m.json").string();
  site.model.save_weights(weights);
  site.model.save(json_file);
  const Served served({json_file, "--weights", weights, "--scale", "0.01", "--classes",
                       "a,b,c,d,e,f,g,h,i,<j>", "--host", "localhost"});
  CHECK(served.out().find("http://localhost:") != std::string::npos);
  // "localhost" is 127.0.0.1, also where no /etc/hosts says so.
  httplib::Client client("127.0.0.1", served.port);
  client.set_default_headers({{"Host", fmt::format("localhost:{}", served.port)}});
  const auto about = client.Get("/model.json");
  REQUIRE(about);
  CHECK(json::parse(about->body)["classes"][9] == "<j>");
  const auto answer = client.Post("/predict", pixels_body(some_pixels()), "application/json");
  REQUIRE(answer);
  check_near(json::parse(answer->body)["probabilities"], site.expected(some_pixels(), 0.01f));
}

TEST_CASE("serve: numbers of models without softmax") {
  const TemporaryFolder folder;
  const auto ask = [&](nn::Sequential model) {
    model.weights();
    const std::string file = (folder / "m.h5").string();
    model.save(file);
    const Served served({file, "--scale", "1"});
    auto client = served.client();
    const auto about = client.Get("/model.json");
    const auto answer = client.Post("/predict", R"({"pixels":[1,2]})", "application/json");
    REQUIRE(about);
    REQUIRE(answer);
    const Tensor y = model.predict(nn::Dataset(Tensor::of<float>({1, 2}, {1, 2})), {.verbose = 0});
    return std::tuple(json::parse(about->body), json::parse(answer->body)["probabilities"], y);
  };
  const auto [scores, shares, z] = ask(nn::Sequential({nn::Dense(2, {.input_shape = {2}})}));
  CHECK(scores["output"] == "scores");
  CHECK(scores["image"] == false);
  const double odds = std::exp(z.data<float>()[1] - z.data<float>()[0]);
  check_near(shares, json{1 / (1 + odds), odds / (1 + odds)});
  const auto [binary, both, p] =
      ask(nn::Sequential({nn::Dense(1, {.activation = "sigmoid", .input_shape = {2}})}));
  CHECK(binary["output"] == "sigmoid");
  CHECK(binary["classes"] == json{"0", "1"});
  check_near(both, json{1 - p.item<float>(), p.item<float>()});
}

TEST_CASE("server: the softmax of a model within a model is known") {
  nn::Sequential inner({nn::Dense(2, {.activation = "softmax", .input_shape = {2}})});
  const nn::Input x({2});
  nn::Model model(x, inner(nn::Dense(2)(x)));
  model.weights();
  Server server(model, {.port = 0, .scale = 1});
  server.start();
  httplib::Client client("127.0.0.1", server.port());
  const auto about = client.Get("/model.json");
  REQUIRE(about);
  CHECK(json::parse(about->body)["output"] == "softmax");
  const auto answer = client.Post("/predict", R"({"pixels":[1,2]})", "application/json");
  REQUIRE(answer);
  const Tensor y = model.predict(nn::Dataset(Tensor::of<float>({1, 2}, {1, 2})), {.verbose = 0});
  check_near(json::parse(answer->body)["probabilities"],
             json{y.data<float>()[0], y.data<float>()[1]});
}

TEST_CASE("server: a request is as long as the model's picture needs") {
  nn::Sequential model({nn::GlobalAveragePooling2D({.input_shape = {600, 600, 3}})});
  Server server(model, {.port = 0, .scale = 1});
  server.start();
  httplib::Client client("127.0.0.1", server.port());
  const std::vector<int> pixels(600 * 600 * 3, 255);
  const auto answer = client.Post("/predict", json{{"pixels", pixels}}.dump(), "application/json");
  REQUIRE(answer);
  CHECK(answer->status == 200);
  check_refused(client.Post("/predict", std::string(10 << 20, ' '), "application/json"), 413,
                {fmt::to_string(600 * 600 * 3 * 8)});
}

TEST_CASE("serve: what is refused") {
  const Site site;
  Served served({site.file});
  auto client = served.client();
  const std::string good = pixels_body(some_pixels());
  const char* type = "application/json";

  SUBCASE("bodies") {
    const auto post = [&](const std::string& body) { return client.Post("/predict", body, type); };
    check_refused(post(""), 400, {"pixels"});
    check_refused(post("{"), 400, {"no JSON", "\"pixels\":[...]"});
    check_refused(post("[1]"), 400, {"pixels"});
    std::string many = "{\"0\":0";
    for (int i = 1; i < 80000; ++i) many += fmt::format(",\"{}\":0", i);
    check_refused(post(many + "}"), 400, {"no list"});
    check_refused(post("{}"), 400, {"no list of \"pixels\""});
    check_refused(post(R"({"pixels":"x"})"), 400, {"no list"});
    check_refused(post(R"({"pixels":[1,2]})"), 400, {"2 pixels", "784"});
    check_refused(post(std::string(100000, '[')), 400, {"no JSON"});
    check_refused(post("{\"pixels\":[\"\xff\"]}"), 400, {"no JSON"});
    for (const char* number : {"-1", "256", "1e999", "\"1\"", "null", "NaN", "[1]"}) {
      CAPTURE(number);
      const std::string pixels = std::string("{\"pixels\":[") + number + [] {
        std::string rest;
        for (int i = 1; i < 784; ++i) rest += ",0";
        return rest;
      }() + "]}";
      check_refused(post(pixels), 400, {});
    }
    check_refused(post(R"({"digit":true,"pixels":[]})"), 400, {"\"height\"", "1 to 1024"});
    check_refused(post(R"({"digit":true,"height":2,"width":1e9,"pixels":[]})"), 400, {"\"width\""});
    check_refused(post(R"({"digit":true,"height":2,"width":0,"pixels":[]})"), 400, {"\"width\""});
    check_refused(post(R"({"digit":true,"height":2,"width":2,"pixels":[1]})"), 400,
                  {"1 pixels", "4"});
    check_refused(post(std::string(2 << 20, ' ')), 413, {"1048576"});
  }
  SUBCASE("types of bodies") {
    check_refused(client.Post("/predict", good, "text/plain"), 415, {"application/json", "text"});
    check_refused(client.Post("/predict", "a=1", "application/x-www-form-urlencoded"), 415,
                  {"application/json"});
    check_refused(client.Post("/predict", {{"Content-Encoding", "gzip"}}, "", type), 415,
                  {"compressed"});
    // The client adds a Content-Length of its own.
    check_refused(client.Post("/predict", {{"Transfer-Encoding", "chunked"}}, "", type), 400,
                  {"Content-Length", "Transfer-Encoding"});
  }
  SUBCASE("other sites") {
    for (const char* origin : {"http://evil.example", "null", "http://127.0.0.1:1"}) {
      check_refused(client.Post("/predict", {{"Origin", origin}}, good, type), 403, {origin});
    }
    const std::string own = fmt::format("http://127.0.0.1:{}", served.port);
    const auto right = client.Post("/predict", {{"Origin", own}}, good, type);
    REQUIRE(right);
    CHECK(right->status == 200);
    CHECK(!right->has_header("Access-Control-Allow-Origin"));
    for (const char* host : {"evil.example", "evil.example:8000", "127.0.0.1.evil.example",
                             "192.168.0.1", "[::1", "localhost.evil.example"}) {
      check_refused(client.Get("/", {{"Host", host}}), 403, {host, "127.0.0.1"});
      check_refused(client.Post("/predict", {{"Host", host}}, "", type), 403, {host});
    }
    for (const char* host : {"localhost", "localhost:1", "127.0.0.1", "[::1]:8000"}) {
      const auto answer = client.Get("/model.json", {{"Host", host}});
      REQUIRE(answer);
      CHECK(answer->status == 200);
    }
    check_refused(client.Get("/", {{"Host", "localhost"}, {"Host", "evil.example"}}), 400,
                  {"one Host"});
  }
  SUBCASE("paths and methods") {
    check_refused(client.Get("/etc/passwd"), 404, {"/etc/passwd"});
    check_refused(client.Get("/../tools/weft"), 404, {});
    check_refused(client.Post("/other", "", type), 404, {"/other"});
    for (const char* path : {"/", "/model.json", "/history.json", "/graph.svg"}) {
      const auto result = client.Post(path, "", type);
      check_refused(result, 405, {path, "GET", "POST"});
      CHECK(result->get_header_value("Allow") == "GET, HEAD");
    }
    const auto result = client.Get("/predict");
    check_refused(result, 405, {"POST"});
    CHECK(result->get_header_value("Allow") == "POST");
    check_refused(client.Put("/predict", "", type), 405, {"PUT"});
    check_refused(client.Delete("/predict"), 405, {"DELETE"});
    check_refused(client.Options("/predict"), 405, {"OPTIONS"});
  }

  // And it still serves.
  const auto after = client.Post("/predict", good, type);
  REQUIRE(after);
  CHECK(after->status == 200);
  CHECK(served.end(SIGTERM) == 0);
}

TEST_CASE("serve: a hundred clients at once, while others say nothing") {
  Site site;
  Served served({site.file});
  std::vector<int> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(connected(served.port));
  const std::string body = pixels_body(some_pixels());
  const json wanted = site.expected(some_pixels());
  std::atomic<int> right = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 100; ++i) {
    clients.emplace_back([&] {
      auto client = served.client();
      client.set_read_timeout(30);
      for (int k = 0; k < 5; ++k) {
        const auto answer = client.Post("/predict", body, "application/json");
        const auto history = client.Get("/history.json");
        if (!answer || answer->status != 200 || !history || history->status != 200) continue;
        const json got = json::parse(answer->body)["probabilities"];
        if (std::abs(got[3].get<double>() - wanted[3].get<double>()) < 1e-6) ++right;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  CHECK(right == 500);
  for (const int socket : silent) ::close(socket);
  CHECK(served.end(SIGINT) == 0);
}

TEST_CASE("serve: what has no end is refused before it is read") {
  const Site site;
  const Served served({site.file});
  const auto answer_to = [&](const std::string& text) {
    const int socket = connected(served.port);
    ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    std::string answer(16, '\0');
    answer.resize(static_cast<std::size_t>(
        std::max<ssize_t>(0, ::recv(socket, answer.data(), answer.size(), MSG_WAITALL))));
    ::close(socket);
    return answer;
  };
  const std::string host = "Host: localhost\r\n";
  CHECK(answer_to("GET / HTTP/1.1\r\n" + host + "\r\n").starts_with("HTTP/1.1 200"));
  CHECK(answer_to("POST /predict HTTP/1.1\r\n" + host + "Content-Type: application/json\r\n\r\n{")
            .starts_with("HTTP/1.1 411"));
  // A line that does not end: httplib would keep all of it.
  CHECK(!answer_to("GET / HTTP/1.1\r\n" + host + "A: " + std::string(70000, 'a'))
             .starts_with("HTTP/1.1 200"));
  const std::string lines = [] {
    std::string text;
    for (int i = 0; i < 10000; ++i) text += "A: aaaaaaaa\r\n";
    return text;
  }();
  CHECK(!answer_to("GET / HTTP/1.1\r\n" + host + lines + "\r\n").starts_with("HTTP/1.1 200"));
}

TEST_CASE("serve: who says what he wants letter by letter, is not waited for") {
  const Site site;
  Served served({site.file});
  const int slow = connected(served.port);
  char letter = 0;
  bool is_closed = false;
  for (int i = 0; i < 1200 && !is_closed; ++i) {
    ::send(slow, "x", 1, MSG_NOSIGNAL);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const ssize_t got = ::recv(slow, &letter, 1, MSG_DONTWAIT);
    is_closed = got == 0 || (got < 0 && errno != EAGAIN);
  }
  CHECK(is_closed);
  ::close(slow);
}

TEST_CASE("serve: it ends cleanly by SIGINT and SIGTERM, also while somebody says nothing") {
  const Site site;
  for (const int signal : {SIGINT, SIGTERM}) {
    Served served({site.file});
    const int silent = connected(served.port);
    auto client = served.client();
    CHECK(client.Get("/model.json"));  // so that the silent one was accepted before
    CHECK(served.end(signal) == 0);
    ::close(silent);
  }
}

TEST_CASE("server: training as it goes on") {
  Server server({.port = 0});
  CHECK(server.port() == 0);
  server.start();
  REQUIRE(server.port() > 0);
  CHECK(server.url() == fmt::format("http://127.0.0.1:{}/", server.port()));
  httplib::Client client("127.0.0.1", server.port());
  const auto history = [&] {
    const auto answer = client.Get("/history.json");
    REQUIRE(answer);
    CHECK(answer->status == 200);
    return json::parse(answer->body);
  };
  CHECK(history() ==
        json{{"state", "waiting"}, {"epochs", json::array()}, {"now", nullptr}, {"drawing", 0}});
  check_refused(client.Get("/model.json"), 404, {"training"});
  check_refused(client.Get("/graph.svg"), 404, {"drawing"});
  check_refused(client.Post("/predict", "{}", "application/json"), 404, {"training"});

  nn::Logs logs;
  logs.set("loss", 0.5);
  logs.set("accuracy", std::nan(""));
  server.progress(0, 4, logs);
  CHECK(history()["now"] ==
        json{{"epoch", 1}, {"batch", 5}, {"logs", {{"loss", 0.5}, {"accuracy", nullptr}}}});
  server.publish(0, logs);
  server.set_drawing("<svg/>");
  const json all = history();
  CHECK(all["now"] == nullptr);
  CHECK(all["state"] == "training");
  CHECK(all["drawing"] == 1);
  CHECK(all["epochs"].size() == 1);
  CHECK(all["epochs"][0]["epoch"] == 1);
  const auto graph = client.Get("/graph.svg");
  REQUIRE(graph);
  CHECK(graph->body == "<svg/>");
  CHECK(graph->get_header_value("Content-Type") == "image/svg+xml");

  // Who has it already gets nothing.
  const auto first = client.Get("/history.json");
  REQUIRE(first);
  const httplib::Headers known{{"If-None-Match", first->get_header_value("ETag")}};
  const auto same = client.Get("/history.json", known);
  REQUIRE(same);
  CHECK(same->status == 304);
  CHECK(same->body == "");
  server.publish(1, logs);
  const auto more = client.Get("/history.json", known);
  REQUIRE(more);
  CHECK(more->status == 200);
  server.finish();
  CHECK(history()["state"] == "over");
  server.stop();
  server.stop();
  CHECK(!client.Get("/history.json"));
}

TEST_CASE("server: live shows what fit does") {
  Server server({.port = 0});
  server.start();
  nn::Sequential model({nn::Dense(2, {.activation = "softmax", .input_shape = {3}})});
  model.compile({.optimizer = "sgd", .loss = "categorical_crossentropy", .metrics = {"accuracy"}});
  const Tensor x = Tensor::of<float>({4, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1});
  const Tensor y = Tensor::of<float>({4, 2}, {1, 0, 0, 1, 1, 0, 0, 1});
  const nn::Dataset data(x, y);
  const nn::History history = model.fit(data, {.epochs = 3,
                                               .batch_size = 2,
                                               .validation_data = data,
                                               .verbose = 0,
                                               .callbacks = {live(server)}});
  httplib::Client client("127.0.0.1", server.port());
  const auto answer = client.Get("/history.json");
  REQUIRE(answer);
  const json all = json::parse(answer->body);
  REQUIRE(all["epochs"].size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(all["epochs"][i]["epoch"] == i + 1);
    for (const std::string& name : history.names()) {
      CHECK(all["epochs"][i]["logs"][name] == history[name][i]);
    }
  }
  CHECK(all["state"] == "over");
  CHECK(all["drawing"] == (svg_of(model).empty() ? 0 : 1));
}

TEST_CASE("server: live keeps the drawing that the server has") {
  Server server({.port = 0});
  server.set_drawing("<svg/>");
  nn::Sequential model({nn::Dense(1, {.input_shape = {1}})});
  model.compile({.optimizer = "sgd", .loss = "mse"});
  const Tensor x = Tensor::of<float>({2, 1}, {1, 2});
  model.fit(x, x, {.verbose = 0, .callbacks = {live(server)}});
  server.start();
  const auto graph = httplib::Client("127.0.0.1", server.port()).Get("/graph.svg");
  REQUIRE(graph);
  CHECK(graph->body == "<svg/>");
}

TEST_CASE("server: what it cannot serve") {
  Server first({.port = 0});
  first.start();
  check_message<Error>([&] { first.start(); }, {"already"});
  Server second({.port = first.port()});
  check_message<IoError>([&] { second.start(); }, {fmt::to_string(first.port()), "taken"});
  check_message<ArgumentError>(
      [] {
        Server(digit_model(), {.classes = {"a", "b"}});
      },
      {"10 classes", "2 names", "a, b"});
  const nn::Input a({4}, {.name = "a"}), b({4}, {.name = "b"});
  check_message<ArgumentError>(
      [&] {
        Server(nn::Model({a, b}, {nn::Add()({a, b})}), {});
      },
      {"2 inputs and 1 outputs"});
  check_message<ArgumentError>(
      [] {
        Server(nn::Sequential({nn::Flatten({.input_shape = {2, 2}}), nn::Reshape({2, 2})}), {});
      },
      {"one vector", "[2,2]"});
}

}  // namespace
}  // namespace weft::test

#endif
