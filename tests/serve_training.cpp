// `weft train --serve`: the curves as they come, and the end of training, which pages hear of.
#ifdef WEFT_PROGRAM

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <future>
#include <nlohmann/json.hpp>

#include "io/model_files.hpp"
#include "tests/serving.hpp"
#include "tools/server/server.hpp"

namespace weft::test {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// What the page does: asks for what it does not know.
struct Page {
  httplib::Client client;
  std::string name = "one", etag{};
  json all{};

  /// True if there was news.
  bool ask() {
    httplib::Headers headers;
    if (!etag.empty()) headers.emplace("If-None-Match", etag);
    const auto answer = client.Get("/history.json?page=" + name, headers);
    REQUIRE(answer);
    if (answer->status == 304) return false;
    REQUIRE(answer->status == 200);
    all = json::parse(answer->body);
    etag = answer->get_header_value("ETag");
    return true;
  }
};

TEST_CASE("train --serve: a page sees epochs come, and the end") {
  constexpr std::size_t epochs = 12;
  ServedTraining training(epochs);
  auto client = training.client();
  const auto page = client.Get("/");
  REQUIRE(page);
  CHECK(page->body.find("<title>Weft</title>") != std::string::npos);
  const auto refused = [&](const httplib::Result& result, int status) {
    REQUIRE(result);
    CHECK(result->status == status);
    CHECK(json::parse(result->body)["error"].is_string());
  };
  refused(client.Get("/history.json", {{"Host", "evil.example"}}), 403);
  refused(client.Get("/model.json"), 404);
  refused(client.Post("/predict", "{}", "application/json"), 404);
  refused(client.Post("/history.json", "", "application/json"), 405);
  refused(client.Get("/../m.h5"), 404);

  Page watcher{training.client()};
  std::size_t seen = 0, partial = 0;
  while (watcher.all.empty() || watcher.all["state"] != "over") {
    if (watcher.ask()) {
      const json& all = watcher.all;
      REQUIRE(all["epochs"].size() >= seen);
      seen = all["epochs"].size();
      if (all["state"] == "training") {
        partial += seen > 0 && seen < epochs;
        if (all["now"] != nullptr) {
          CHECK(all["now"]["epoch"] == seen + 1);
          CHECK(all["now"]["logs"]["loss"] > 0);
        }
      }
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  CHECK(partial > 0);
  REQUIRE(seen == epochs);
  for (std::size_t i = 0; i < epochs; ++i) {
    CHECK(watcher.all["epochs"][i]["epoch"] == i + 1);
    for (const char* name : {"loss", "accuracy", "val_loss", "val_accuracy"}) {
      CHECK(watcher.all["epochs"][i]["logs"][name].is_number());
    }
  }
  CHECK(watcher.all["now"] == nullptr);
  nn::Sequential any({nn::Dense(1, {.input_shape = {1}})});
  const bool has_dot = !svg_of(any).empty();
  CHECK(watcher.all["drawing"] == (has_dot ? 1 : 0));
  // The server waits for the page, which may have the drawing yet to ask for.
  CHECK(training.program().says("Saved"));
  const auto graph = client.Get("/graph.svg");
  REQUIRE(graph);
  CHECK(graph->status == (has_dot ? 200 : 404));
  if (has_dot) CHECK(graph->body.find("conv2d") != std::string::npos);
  CHECK(!watcher.ask());
  CHECK(training.program().code() == 0);
  CHECK(training.program().err() == "");
}

TEST_CASE("train --serve: it says where its page is, also where it says little else") {
  for (const char* how : {"--json", "--quiet"}) {
    CAPTURE(how);
    ServedTraining training(10, {how});
    CHECK(training.client().Get("/"));
    CHECK(training.program().code() == 0);
    const std::string out = training.program().out();
    const std::string said = fmt::format("http://127.0.0.1:{}/", training.port);
    CHECK(out.starts_with(how == std::string_view("--json") ? json{{"page", said}}.dump() + "\n"
                                                            : "Curves at " + said + "\n"));
  }
}

TEST_CASE("train --serve: Ctrl-C ends it at once, whoever watches") {
  SUBCASE("while it trains") {
    ServedTraining training(100000);
    Page page{training.client()};
    while (page.all.empty() || page.all["epochs"].empty()) page.ask();
    training.program().kill(SIGINT);
    const auto start = Clock::now();
    CHECK(training.program().code() == 130);
    CHECK(Clock::now() - start < milliseconds(2500));
    CHECK(training.program().err().find("nothing was saved") != std::string::npos);
  }
  SUBCASE("while it waits for pages") {
    ServedTraining training(2);
    Page page{training.client()};
    // A page that asks until the end, and does not say that it heard it.
    while (page.all.empty() || page.all["state"] != "over") page.ask();
    REQUIRE(training.program().says("Saved"));
    training.program().kill(SIGINT);
    const int status = training.program().wait();
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGINT);
    CHECK_NOTHROW(nn::load_model(training.model()));
  }
}

TEST_CASE("server: it stops when the pages that asked lately have heard that training is over") {
  Server server({.port = 0});
  server.start();
  const auto client = [&] { return httplib::Client("127.0.0.1", server.port()); };
  const auto time_to_stop = [&] {
    const auto start = Clock::now();
    server.stop();
    return Clock::now() - start;
  };
  nn::Logs logs;
  logs.set("loss", 0.5);
  server.publish(0, logs);
  Page one{client(), "one"}, two{client(), "two"};
  SUBCASE("nobody watches, but for one that has no name") {
    client().Get("/history.json");
    server.finish();
    CHECK(time_to_stop() < milliseconds(1500));
  }
  SUBCASE("training is not over") {
    one.ask();
    CHECK(time_to_stop() < milliseconds(1500));
  }
  SUBCASE("all know already") {
    server.finish();
    CHECK(one.ask());
    CHECK(!one.ask());
    CHECK(time_to_stop() < milliseconds(1500));
  }
  SUBCASE("one after the other hears of it") {
    one.ask();
    two.ask();
    server.finish();
    auto stopped = std::async(std::launch::async, time_to_stop);
    CHECK(one.ask());
    CHECK(!one.ask());
    CHECK(two.ask());
    CHECK(two.all["state"] == "over");
    CHECK(stopped.wait_for(milliseconds(300)) == std::future_status::timeout);
    CHECK(!two.ask());
    CHECK(stopped.get() < milliseconds(2500));
  }
  SUBCASE("one is closed") {
    one.ask();
    two.ask();
    server.finish();
    one.ask();
    one.ask();
    const auto time = time_to_stop();
    CHECK(time > milliseconds(1500));
    CHECK(time < milliseconds(6000));
  }
  SUBCASE("training goes on after it was over") {
    server.finish();
    one.ask();
    one.ask();
    server.publish(1, logs);
    CHECK(one.ask());
    CHECK(one.all["state"] == "training");
    CHECK(one.all["epochs"].size() == 2);
    CHECK(time_to_stop() < milliseconds(1500));
  }
}

}  // namespace
}  // namespace weft::test

#endif
