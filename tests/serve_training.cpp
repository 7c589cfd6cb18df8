// `weft train --serve`: the curves as they come, and the end of training, which pages hear of.
#ifdef WEFT_PROGRAM

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>

#include "io/model_files.hpp"
#include "tests/serving.hpp"
#include "tools/server/server.hpp"
#include "tools/server/training_record.hpp"

namespace weft::test {
namespace {

using nlohmann::json;
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
  constexpr std::size_t epochs = 100;
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
  std::size_t seen = 0;
  bool is_partial = false;
  while (watcher.all.empty() || watcher.all["state"] != "over") {
    if (watcher.ask()) {
      const json& all = watcher.all;
      REQUIRE(all["epochs"].size() >= seen);
      seen = all["epochs"].size();
      if (all["state"] == "training") {
        is_partial |= seen > 0 && seen < epochs;
        if (all["now"] != nullptr) {
          CHECK(all["now"]["epoch"] == seen + 1);
          CHECK(all["now"]["logs"]["loss"] > 0);
        }
      }
    }
    if (is_partial) training.program().read();  // it may go on
    std::this_thread::sleep_for(milliseconds(5));
  }
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
    ServedTraining training(100000, {how});
    CHECK(training.client().Get("/"));
    Page page{training.client()};  // until training begins, the signal would end it at once
    while (page.all.empty() || page.all["state"] != "training") page.ask();
    training.program().kill(SIGINT);
    CHECK(training.program().code() == 130);
    const std::string out = training.program().out();
    const std::string said = fmt::format("http://127.0.0.1:{}/", training.port);
    CHECK(out.starts_with(how == std::string_view("--json") ? json{{"page", said}}.dump() + "\n"
                                                            : "Curves at " + said + "\n"));
  }
}

TEST_CASE("train --serve: Ctrl-C ends it, whoever watches") {
  SUBCASE("while it trains") {
    ServedTraining training(100000);
    Page page{training.client()};
    while (page.all.empty() || page.all["epochs"].empty()) page.ask();
    training.program().kill(SIGINT);
    CHECK(training.program().code() == 130);
    CHECK(training.program().err().find("nothing was saved") != std::string::npos);
  }
  SUBCASE("while it waits for pages") {
    // It waits for three seconds; a machine may take longer to say so here.
    int status = 0;
    for (int tries = 0; tries < 5 && !WIFSIGNALED(status); ++tries) {
      ServedTraining training(100);
      Page page{training.client()};
      // A page that asks until the end, and does not say that it heard it.
      while (page.all.empty() || page.all["state"] != "over") {
        page.ask();
        training.program().read();
      }
      REQUIRE(training.program().says("Saved"));
      training.program().kill(SIGINT);
      status = training.program().wait();
      CHECK_NOTHROW(nn::load_model(training.model()));
    }
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGINT);
  }
}

TEST_CASE("server: it waits until the pages that asked lately have heard that training is over") {
  const auto record_of = [](std::chrono::milliseconds patience) {
    auto record = std::make_unique<TrainingRecord>(patience);
    nn::Logs logs;
    logs.set("loss", 0.5);
    record->publish(0, logs);
    return record;
  };
  // That it comes back at all says that it did not wait.
  const auto patient = record_of(std::chrono::hours(1));
  std::string one, two;  // what these pages know
  // True if there was news.
  const auto ask = [](TrainingRecord& record, std::string_view page, std::string& etag) {
    const auto answer = record.answer(page, etag);
    etag = answer.etag;
    return !answer.text.empty();
  };
  SUBCASE("nobody watches, but for one that has no name") {
    CHECK(ask(*patient, "", one));
    patient->finish();
    patient->wait_until_heard();
  }
  SUBCASE("training is not over") {
    CHECK(ask(*patient, "one", one));
    patient->wait_until_heard();
  }
  SUBCASE("all know already") {
    patient->finish();
    CHECK(ask(*patient, "one", one));
    CHECK(!ask(*patient, "one", one));
    patient->wait_until_heard();
  }
  SUBCASE("one after the other hears of it") {
    ask(*patient, "one", one);
    ask(*patient, "two", two);
    patient->finish();
    auto heard = std::async(std::launch::async, [&] { patient->wait_until_heard(); });
    CHECK(ask(*patient, "one", one));
    CHECK(!ask(*patient, "one", one));
    CHECK(ask(*patient, "two", two));
    CHECK(heard.wait_for(milliseconds(100)) == std::future_status::timeout);
    CHECK(!ask(*patient, "two", two));
    heard.get();
  }
  SUBCASE("one is closed") {
    const auto record = record_of(milliseconds(50));
    ask(*record, "one", one);
    ask(*record, "two", two);
    record->finish();
    ask(*record, "one", one);
    ask(*record, "one", one);
    record->wait_until_heard();
  }
  SUBCASE("training goes on after it was over") {
    patient->finish();
    ask(*patient, "one", one);
    ask(*patient, "one", one);
    nn::Logs logs;
    logs.set("loss", 0.4);
    patient->publish(1, logs);
    const auto answer = patient->answer("one", one);
    const json all = json::parse(answer.text);
    CHECK(all["state"] == "training");
    CHECK(all["epochs"].size() == 2);
    patient->wait_until_heard();
  }
}

}  // namespace
}  // namespace weft::test

#endif
