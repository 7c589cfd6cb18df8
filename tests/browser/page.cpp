// The page of `weft serve` in a real browser: Chromium without a screen, led by chromedriver over
// the WebDriver protocol (https://www.w3.org/TR/webdriver/), which is JSON over HTTP.
//
// $WEFT_SCREENSHOTS is a folder to leave pictures of the page in; $WEFT_DIGITS a model that can
// read digits, to be asked in place of one that can not.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/model_files.hpp"
#include "tests/io_files.hpp"
#include "tests/serving.hpp"
#include "tools/server/server.hpp"

namespace weft::test {
namespace {

using nlohmann::json;

struct Look {
  int width = 1100, height = 800;
  bool dark = false, phone = false;
};

/// One window of one browser.
class Browser {
 public:
  explicit Browser(const Look& look = {})
      : driver_(std::vector<std::string>{"chromedriver", "--port=0"}),
        http_("127.0.0.1", driver_port()) {
    http_.set_read_timeout(60);
    json options{
        {"args",
         {"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
          "--hide-scrollbars", fmt::format("--window-size={},{}", look.width, look.height)}}};
    if (look.dark) options["args"].push_back("--blink-settings=preferredColorScheme=0");
    if (look.phone) {
      options["mobileEmulation"] = {
          {"deviceMetrics",
           {{"width", look.width}, {"height", look.height}, {"pixelRatio", 2.0}, {"touch", true}}}};
    }
    const json answer = ask("POST", "/session",
                            {{"capabilities",
                              {{"alwaysMatch",
                                {{"browserName", "chrome"},
                                 {"goog:loggingPrefs", {{"browser", "ALL"}}},
                                 {"goog:chromeOptions", options}}}}}});
    session_ = "/session/" + answer["sessionId"].get<std::string>();
  }
  ~Browser() { http_.Delete(session_); }

  void open(const std::string& url) { ask("POST", session_ + "/url", {{"url", url}}); }
  json run(const std::string& script) {
    return ask("POST", session_ + "/execute/sync", {{"script", script}, {"args", json::array()}});
  }
  /// Until the script returns true.
  bool wait(const std::string& script, int seconds = 10) {
    for (int i = 0; i < 20 * seconds; ++i) {
      if (run("return " + script) == true) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  std::string text(const std::string& id) {
    return run("return document.getElementById('" + id + "').textContent");
  }
  /// Draws lines between points of the board, from 0 to 1.
  void draw(const std::vector<std::pair<double, double>>& points, const char* pointer = "mouse") {
    const json box =
        run("document.getElementById('board').scrollIntoView({block: 'center'});"
            "const b = document.getElementById('canvas').getBoundingClientRect();"
            "return [b.left, b.top, b.width, b.height]");
    json actions = json::array();
    for (const auto& [x, y] : points) {
      actions.push_back({{"type", "pointerMove"},
                         {"duration", actions.empty() ? 0 : 40},
                         {"x", std::lround(box[0].get<double>() + x * box[2].get<double>())},
                         {"y", std::lround(box[1].get<double>() + y * box[3].get<double>())}});
      if (actions.size() == 1) actions.push_back({{"type", "pointerDown"}, {"button", 0}});
    }
    actions.push_back({{"type", "pointerUp"}, {"button", 0}});
    act({{"type", "pointer"},
         {"id", "p"},
         {"parameters", {{"pointerType", pointer}}},
         {"actions", actions}});
  }
  /// Down and up; those of `held` stay down over the others.
  void keys(const std::vector<std::string>& keys, const std::string& held = "") {
    json actions = json::array();
    if (!held.empty()) actions.push_back({{"type", "keyDown"}, {"value", held}});
    for (const std::string& key : keys) {
      actions.push_back({{"type", "keyDown"}, {"value", key}});
      actions.push_back({{"type", "keyUp"}, {"value", key}});
    }
    if (!held.empty()) actions.push_back({{"type", "keyUp"}, {"value", held}});
    act({{"type", "key"}, {"id", "k"}, {"actions", actions}});
  }
  /// A picture of the window, if somebody wants them.
  void shoot(const std::string& name) {
    const char* folder = std::getenv("WEFT_SCREENSHOTS");
    if (folder == nullptr) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // bars and curves come to rest
    const std::string code = ask("GET", session_ + "/screenshot");
    std::string bytes;
    unsigned bits = 0, count = 0;
    constexpr std::string_view letters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (const char letter : code) {
      const auto value = letters.find(letter);
      if (value == letters.npos) break;
      bits = bits << 6 | static_cast<unsigned>(value);
      if ((count += 6) >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 255);
    }
    put(std::filesystem::path(folder) / (name + ".png"), bytes);
  }
  /// What the browser complains of: scripts that fail, what the security policy forbids.
  void check_no_complaints() {
    const json log = ask("POST", session_ + "/se/log", {{"type", "browser"}});
    for (const json& entry : log) {
      const std::string message = entry["message"];
      CAPTURE(message);
      // The page finds out by a 404 that no model is asked.
      CHECK(message.find("model.json") != std::string::npos);
    }
  }

 private:
  int driver_port() const {
    const std::string start = "started successfully on port ";
    REQUIRE(driver_.says(start));
    const std::string said = driver_.out();
    return std::atoi(said.c_str() + said.find(start) + start.size());
  }
  json ask(const std::string& method, const std::string& path, const json& body = nullptr) {
    const auto response =
        method == "GET" ? http_.Get(path) : http_.Post(path, body.dump(), "application/json");
    REQUIRE(response);
    const json answer = json::parse(response->body);
    CAPTURE(response->body);
    REQUIRE(response->status == 200);
    return answer["value"];
  }
  void act(const json& source) {
    ask("POST", session_ + "/actions", {{"actions", json::array({source})}});
  }

  Process driver_;
  httplib::Client http_;
  std::string session_;
};

const std::string left = "\uE012", up = "\uE013", right = "\uE014", down = "\uE015",
                  enter = "\uE007", remove_key = "\uE017", tab = "\uE004";

struct Site {
  TemporaryFolder folder{};
  std::string file = std::getenv("WEFT_DIGITS") ? std::getenv("WEFT_DIGITS") : untaught();
  Served served{{file}};
  std::string url = fmt::format("http://127.0.0.1:{}/", served.port);

  std::string untaught() const {
    const std::string name = (folder / "m.h5").string();
    digit_model().save(name);
    return name;
  }
};

const std::vector<std::pair<double, double>> seven{
    {.25, .2}, {.5, .19}, {.75, .2}, {.6, .5}, {.45, .85}};
const char* const sum_is_1 =
    "Math.abs([...document.querySelectorAll('#bars .number')]"
    ".reduce((s, n) => s + parseFloat(n.textContent), 0) - 100) < 1";
const char* const empty = "document.getElementById('best').textContent === '–'";

TEST_CASE("page: one draws by mouse, and the bars move") {
  const Site site;
  Browser browser;
  browser.open(site.url);
  REQUIRE(browser.wait("!document.getElementById('ask').hidden"));
  CHECK(browser.run("return document.querySelectorAll('#bars li').length") == 10);
  CHECK(browser.wait(empty));
  browser.draw(seven);
  CHECK(browser.wait(sum_is_1));
  CHECK(browser.run("return document.querySelectorAll('#bars li.top').length") == 1);
  if (std::getenv("WEFT_DIGITS") != nullptr) CHECK(browser.text("best") == "7");
  CHECK(browser.wait("document.getElementById('spoken').textContent.includes('%')"));
  CHECK(browser.wait("document.getElementById('drawing').naturalWidth > 0"));
  CHECK(browser.run("return [...document.querySelectorAll('#bars .number')]"
                    ".every(n => n.scrollWidth <= n.clientWidth)") == true);
  CHECK(browser.run("return document.getElementById('keys').offsetHeight > 0") == true);
  browser.shoot("light");
  browser.check_no_complaints();

  // The same as the server says to a picture of what the page shows that the model saw.
  const json seen = browser.run(
      "const c = document.getElementById('seen'); return [...c.getContext('2d')"
      ".getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)");
  auto client = site.served.client();
  const auto answer = client.Post("/predict", json{{"pixels", seen}}.dump(), "application/json");
  REQUIRE(answer);
  const json probabilities = json::parse(answer->body)["probabilities"];
  const json shown = browser.run(
      "return [...document.querySelectorAll('#bars .number')].map(n => parseFloat(n.textContent))");
  REQUIRE(shown.size() == 10);
  for (std::size_t i = 0; i < 10; ++i) {
    CHECK(shown[i].get<double>() ==
          doctest::Approx(100 * probabilities[i].get<double>()).epsilon(0.001).scale(100));
  }

  browser.run("document.getElementById('clear').click()");
  CHECK(browser.wait(empty));
  browser.check_no_complaints();
}

TEST_CASE("page: one draws by keys") {
  const Site site;
  Browser browser({.dark = true});
  browser.open(site.url);
  REQUIRE(browser.wait("!document.getElementById('ask').hidden"));
  CHECK(browser.run("return matchMedia('(prefers-color-scheme: dark)').matches") == true);
  browser.keys({tab});
  CHECK(browser.run("return document.activeElement.id") == "board");
  browser.keys({up, up, up, up, up, up, up, left});
  CHECK(browser.wait(empty));  // the pen is up
  browser.keys({down, down, down, down, down, down, down, down, down, down, down, down}, " ");
  CHECK(browser.wait(sum_is_1));
  CHECK(browser.run("return document.getElementById('cursor').hidden") == false);
  browser.shoot("dark");
  browser.keys({remove_key});
  CHECK(browser.wait(empty));
  browser.keys({enter, right, right, enter});
  CHECK(browser.wait(sum_is_1));
  browser.keys({tab});
  CHECK(browser.run("return document.activeElement.id") == "clear");
  browser.check_no_complaints();
}

TEST_CASE("page: one draws by finger on a phone, in one column") {
  const Site site;
  Browser browser({.width = 390, .height = 844, .phone = true});
  browser.open(site.url);
  REQUIRE(browser.wait("!document.getElementById('ask').hidden"));
  browser.draw(seven, "touch");
  CHECK(browser.wait(sum_is_1));
  CHECK(browser.run("return document.documentElement.scrollWidth <= innerWidth") == true);
  CHECK(browser.run("return document.getElementById('bars').getBoundingClientRect().top > "
                    "document.getElementById('board').getBoundingClientRect().bottom") == true);
  browser.shoot("phone");
  browser.run("document.getElementById('best').scrollIntoView()");
  browser.shoot("phone_bars");
  browser.check_no_complaints();
}

TEST_CASE("page: a model of coloured pictures, with long names of classes, on a phone") {
  const TemporaryFolder folder;
  nn::Sequential model({nn::Flatten({.input_shape = {32, 32, 3}}), nn::Dense(4)},
                       {.name = "a_model_with_a_name_that_is_longer_than_the_screen_of_a_phone"});
  model.save((folder / "m.h5").string());
  const Served served({(folder / "m.h5").string(), "--classes",
                       "aeroplane,a_class_with_quite_a_long_name_indeed,<b>bold</b>,ship"});
  Browser browser({.width = 390, .height = 844, .phone = true});
  browser.open(fmt::format("http://127.0.0.1:{}/", served.port));
  REQUIRE(browser.wait("!document.getElementById('ask').hidden"));
  browser.draw(seven, "touch");
  CHECK(browser.wait(sum_is_1));
  CHECK(browser.run("return document.documentElement.scrollWidth <= innerWidth") == true);
  CHECK(browser.run("return document.querySelectorAll('#bars li span')[6].textContent") ==
        "<b>bold</b>");
  CHECK(browser.run("return document.getElementById('seen-box').hidden") == true);
  browser.run("document.getElementById('bars').scrollIntoView({block: 'center'})");
  browser.shoot("phone_named");
  browser.check_no_complaints();
}

TEST_CASE("page: what it cannot draw for, it says") {
  const TemporaryFolder folder;
  nn::Sequential model({nn::Dense(2, {.input_shape = {4}})});
  model.weights();
  model.save((folder / "m.h5").string());
  const Served served({(folder / "m.h5").string()});
  Browser browser;
  browser.open(fmt::format("http://127.0.0.1:{}/", served.port));
  CHECK(browser.wait("document.getElementById('trouble').textContent.includes('[4]')"));
  CHECK(browser.run("return document.getElementById('ask').hidden") == true);
}

TEST_CASE("page: training, as it goes on") {
  const auto logs = [](double loss, double accuracy, double val_loss, double val_accuracy) {
    nn::Logs out;
    out.set("loss", loss);
    out.set("accuracy", accuracy);
    out.set("val_loss", val_loss);
    out.set("val_accuracy", val_accuracy);
    return out;
  };
  for (const bool dark : {false, true}) {
    Server server({.port = 0});
    server.start();
    Browser browser({.height = 1000, .dark = dark});
    browser.open(server.url());
    CHECK(browser.wait("document.getElementById('state').textContent.includes('not begun')"));
    nn::Sequential model = digit_model();
    server.set_drawing(svg_of(model));
    for (int i = 0; i < 9; ++i) {
      server.publish(i, logs(.6 / (i + 1), 1 - .2 / (i + 1), .25 + .01 * (i - 5) * (i - 5),
                             .93 - .002 * (i - 5) * (i - 5)));
    }
    nn::Logs now;
    now.set("loss", .055);
    now.set("accuracy", .981);
    server.progress(9, 411, now);
    CHECK(browser.wait(
        "document.getElementById('headline').textContent.includes('Epoch 10, batch 412')"));
    CHECK(browser.run("return document.querySelectorAll('.chart path').length") == 6);
    CHECK(browser.run("return [...document.querySelectorAll('.chart text')]"
                      ".filter(t => t.textContent === 'best: epoch 6').length") == 2);
    CHECK(browser.wait("document.getElementById('drawing').naturalWidth > 0"));
    browser.shoot(dark ? "training_dark" : "training");
    browser.check_no_complaints();
    if (dark) {
      server.stop();
      CHECK(browser.wait("document.getElementById('trouble').textContent.includes('not answer')"));
      browser.shoot("training_lost");
    } else {
      server.finish();
      CHECK(
          browser.wait("document.getElementById('headline').textContent === "
                       "'Training is over after epoch 9. Best: epoch 6, val_loss 0.25.'"));
    }
  }
}

TEST_CASE("page: `weft train --serve`, from the first epoch to the end") {
  struct Visit {
    std::string name;
    Look look;
  };
  const std::string points =
      "document.querySelector('.chart path.train').getAttribute('d').split('L').length";
  for (const Visit& visit :
       {Visit{"train", {.height = 1000}}, Visit{"train_dark", {.height = 1000, .dark = true}},
        Visit{"train_phone", {.width = 390, .height = 844, .phone = true}}}) {
    CAPTURE(visit.name);
    ServedTraining training(150);
    Browser browser(visit.look);
    browser.open(fmt::format("http://127.0.0.1:{}/", training.port));
    REQUIRE(browser.wait("document.querySelectorAll('.chart path.val').length === 2"));
    const int early = browser.run("return " + points);
    training.program().read();  // it goes on, but not to its end
    CHECK(browser.wait(fmt::format("{} > {}", points, early)));
    CHECK(browser.text("headline").find("Epoch ") == 0);
    CHECK(browser.run("return document.title").get<std::string>().find("Epoch ") == 0);
    browser.shoot(visit.name);
    CHECK(training.program().code() == 0);
    // It ended, since the page knows that it is over.
    CHECK(browser.text("headline").find("Training is over after epoch 150. Best") == 0);
    // It is over, and nothing is wrong: the page keeps what it has.
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    CHECK(browser.run("return document.getElementById('trouble').hidden") == true);
    CHECK(browser.run("return " + points) == 150);
    CHECK(browser.run("return document.querySelectorAll('.chart .mark').length") == 2);
    CHECK(browser.run("return document.getElementById('drawing').naturalWidth > 0") == true);
    CHECK(browser.run("return document.documentElement.scrollWidth <= innerWidth") == true);
    browser.shoot(visit.name + "_over");
    browser.run("scrollTo(0, document.body.scrollHeight)");
    browser.shoot(visit.name + "_model");
  }
}

}  // namespace
}  // namespace weft::test
