// Pictures of numbers: they are there, as large as asked for, not empty, and say what they should.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <thread>

#include "io/image.hpp"
#include "io/plot.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

nn::History some_history(int epochs = 6) {
  nn::History history;
  for (int i = 0; i < epochs; ++i) {
    nn::Logs logs;
    logs.set("loss", 1.0 / (i + 1));
    logs.set("mean_absolute_error", 2.0 / (i + 1));
    if (i % 2 == 1) logs.set("val_loss", 0.5 + 0.01 * (i - 3) * (i - 3));
    history.append(i, logs);
  }
  return history;
}

/// How many pixels are not white.
std::int64_t ink(const Tensor& picture) {
  const auto numbers = picture.data<std::uint8_t>();
  std::int64_t count = 0;
  for (std::size_t i = 0; i < numbers.size(); i += 3) {
    if (std::min({numbers[i], numbers[i + 1], numbers[i + 2]}) < 200) ++count;
  }
  return count;
}

void check_picture(const std::filesystem::path& file, std::int64_t height, std::int64_t width) {
  CAPTURE(file.string());
  const Tensor picture = read_png(file, 3);
  CHECK(picture.shape() == Shape{height, width, 3});
  CHECK(ink(picture) > 200);
}

std::size_t count_of(std::string_view text, std::string_view what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("plot: a history as PNG and SVG") {
  const TemporaryFolder folder;
  const nn::History history = some_history();
  history.plot(folder / "a.png");
  check_picture(folder / "a.png", 400, 1000);
  history.plot(folder / "b.png", {.title = "All", .width = 700, .height = 300}, {"loss"});
  check_picture(folder / "b.png", 300, 700);

  history.plot(folder / "c.svg", {.title = "Loss & 50 % #1 caf\xc3\xa9 \xff"});
  const std::string svg = content(folder / "c.svg");
  for (const char* text :
       {"width=\"1000px\"", "Loss &#x26; 50 % #1 caf&#xe9; ?", ">Loss<", ">Mean absolute error<",
        ">mean absolute error<", ">Epoch<", ">best epoch: 4<"}) {
    CAPTURE(text);
    CHECK(svg.find(text) != std::string::npos);
  }
  CHECK(count_of(svg, ">training<") == 2);
  CHECK(count_of(svg, ">validation<") == 1);
  CHECK(svg.ends_with("</svg>\n"));
}

TEST_CASE("plot: histories of one epoch, without validation, and with what is no number") {
  const TemporaryFolder folder;
  some_history(1).plot(folder / "one.png");
  check_picture(folder / "one.png", 400, 1000);
  nn::History bad;
  const double numbers[]{1,
                         std::numeric_limits<double>::quiet_NaN(),
                         std::numeric_limits<double>::infinity(),
                         -1e300,
                         1e300,
                         0};
  for (int i = 0; i < 6; ++i) {
    nn::Logs logs;
    logs.set("loss", numbers[i]);
    logs.set("always", std::numeric_limits<double>::quiet_NaN());
    logs.set("zero", 0);
    logs.set("tiny", i * 1e-320);
    bad.append(i, logs);
  }
  bad.plot(folder / "bad.png");
  check_picture(folder / "bad.png", 800, 1000);
  bad.plot(folder / "bad.svg", {}, {"always"});
  const std::string svg = content(folder / "bad.svg");
  CHECK(svg.find(">no finite numbers<") != std::string::npos);
  CHECK(svg.find(">6<") != std::string::npos);  // all epochs are there
}

TEST_CASE("plot: labels of ticks differ, and have as many digits as that needs") {
  const TemporaryFolder folder;
  const auto svg_of = [&](double first, double step) {
    Curve curve{"", {}, {}};
    for (int i = 0; i < 12; ++i) {
      curve.x.push_back(i + 1);
      curve.y.push_back(first + i * step);
    }
    plot_curves(folder / "a.svg", {{.curves = {curve}}});
    return content(folder / "a.svg");
  };
  const auto has = [](const std::string& svg, const char* label) {
    return count_of(svg, fmt::format(">{}<", label)) == 1;
  };
  const std::string offset = svg_of(1e6, 1);
  for (const char* label : {"1000002", "1000004", "1000010"}) CHECK(has(offset, label));
  const std::string large = svg_of(0, 2e8);
  for (const char* label : {"0", "5.0e8", "1.5e9"}) CHECK(has(large, label));
  const std::string tiny = svg_of(0, 1e-7);
  for (const char* label : {"0", "2.0e-7", "1.0e-6"}) CHECK(has(tiny, label));
  const std::string around = svg_of(-.3, .1);
  for (const char* label : {"-0.2", "0.0", "0.2", "0.8"}) CHECK(has(around, label));
}

TEST_CASE("plot: text that is too long becomes smaller, and then is cut") {
  const TemporaryFolder folder;
  const std::string words(200, 'x'), cut = "xxx&#x2026;<";
  plot_curves(folder / "a.svg", {{.title = words, .y_label = words, .curves = {{words, {1}, {1}}}}},
              {.title = words});
  CHECK(count_of(content(folder / "a.svg"), cut) == 4);
  plot_confusion_matrix(folder / "b.svg", Tensor::full({2, 2}, 1), {words, "b"});
  CHECK(count_of(content(folder / "b.svg"), cut) == 2);
  // Of a mistake, both names are seen.
  const std::string name = "a name of some words, ";
  plot_mistakes(folder / "c.svg", Tensor::full({1, 4, 4}, 1), {{0, 0, 1, .5}},
                {name + "one", name + "two"});
  const std::string mistake = content(folder / "c.svg");
  CHECK(mistake.find(">" + name + "one<") != std::string::npos);
  CHECK(mistake.find("&#x2192; " + name + "two<") != std::string::npos);
  CHECK(mistake.find(">(50.0 %)<") != std::string::npos);
}

TEST_CASE("plot: errors say what is right, and leave what was there") {
  const TemporaryFolder folder;
  const nn::History history = some_history();
  check_message<ArgumentError>([&] { history.plot(folder / "a.gif"); },
                               {"a.gif", "must end in .png or .svg"});
  check_message<ArgumentError>([&] { history.plot(folder / "a.png", {.width = 20}); },
                               {"64 to 16384", "20"});
  check_message<ArgumentError>([&] { history.plot(folder / "a.png", {}, {"accuracy"}); },
                               {"\"accuracy\"", "loss"});
  check_message<ArgumentError>([&] { nn::History().plot(folder / "a.png"); }, {"no epoch"});
  for (const char* name : {"none/a.png", "none/a.svg"}) {
    check_message<IoError>([&] { history.plot(folder / name); }, {name});
  }
  check_message<ArgumentError>([&] { plot_curves(folder / "a.png", {}); }, {"no panels"});
  check_message<ArgumentError>(
      [&] {
        plot_curves(folder / "a.png", {{.curves = {{"up", {1, 2}, {1}}}}});
      },
      {"\"up\"", "2 numbers x and 1"});
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("plot: threads take turns") {
  const TemporaryFolder folder;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&folder, i] {
      some_history().plot(folder / (std::to_string(i) + (i % 2 == 0 ? ".png" : ".svg")));
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(content(folder / "0.png") == content(folder / "2.png"));
  CHECK(content(folder / "1.svg") == content(folder / "3.svg"));
  check_picture(folder / "0.png", 400, 1000);
}

TEST_CASE("plot: a confusion matrix counts and shows the true and the predicted classes") {
  const Tensor predictions =
      Tensor::of<float>({4, 3}, {.8f, .1f, .1f, .2f, .7f, .1f, 0, 0, 1, .9f, .1f, 0});
  const Tensor counts =
      confusion_matrix(Tensor::of<std::uint8_t>({4, 1}, {0, 1, 2, 2}), predictions);
  CHECK(std::ranges::equal(counts.data<float>(), std::vector<float>{1, 0, 0, 0, 1, 0, 1, 0, 1}));
  const Tensor vectors = nn::to_categorical(Tensor::of<std::uint8_t>({4}, {0, 1, 2, 2}), 3);
  CHECK(std::ranges::equal(confusion_matrix(vectors, predictions).data<float>(),
                           counts.data<float>()));
  const Tensor binary = confusion_matrix(Tensor::of<std::int32_t>({3}, {0, 1, 1}),
                                         Tensor::of<float>({3, 1}, {.2f, .9f, .4f}));
  CHECK(std::ranges::equal(binary.data<float>(), std::vector<float>{1, 0, 1, 1}));

  const TemporaryFolder folder;
  plot_confusion_matrix(folder / "a.png", counts, {},
                        {.title = "What", .width = 400, .height = 350});
  check_picture(folder / "a.png", 350, 400);
  plot_confusion_matrix(folder / "a.svg", counts, {"cat", "dog", "a very long name"});
  const std::string svg = content(folder / "a.svg");
  for (const char* text : {">cat<", ">dog<", ">a very long name<", ">True class<", ">1<"}) {
    CAPTURE(text);
    CHECK(svg.find(text) != std::string::npos);
  }
  plot_confusion_matrix(folder / "many.png", Tensor::full({150, 150}, 1));
  CHECK(ink(read_png(folder / "many.png", 3)) > 200);

  check_message<ShapeError>([&] { plot_confusion_matrix(folder / "b.png", vectors); }, {"[4,3]"});
  // A NaN is no class, neither the first of a row nor what is not above 0.5.
  const Tensor one = Tensor::of<std::int32_t>({2}, {1, 1});
  for (const Tensor& lost :
       {Tensor::of<float>({2, 2}, {0, 1, NAN, 1}), Tensor::of<float>({2}, {1, NAN})}) {
    check_message<ArgumentError>([&] { confusion_matrix(one, lost); },
                                 {"confusion_matrix: prediction 1 has a NaN"});
    check_message<ArgumentError>([&] { mistakes(one, lost); }, {"mistakes: prediction 1"});
  }
  check_message<TypeError>(
      [&] {
        plot_confusion_matrix(folder / "b.png", Tensor::of<std::int32_t>({1, 1}, {1}));
      },
      {"f32[K,K]", "s32[1,1]"});
  check_message<ShapeError>([&] { plot_confusion_matrix(folder / "b.png", counts, {"cat"}); },
                            {"3 classes, but 1 names"});
  check_message<ArgumentError>(
      [&] {
        confusion_matrix(Tensor::of<std::uint8_t>({4}, {0, 1, 3, 0}), predictions);
      },
      {"label 2 is 3", "0 to 2"});
  check_message<ShapeError>(
      [&] {
        confusion_matrix(Tensor::of<std::uint8_t>({2}, {0, 1}), predictions);
      },
      {"u8[2]", "f32[4,3]"});
}

TEST_CASE("plot: mistakes, the most confident first") {
  const Tensor labels = Tensor::of<std::uint8_t>({4}, {0, 1, 2, 2});
  const auto wrong = mistakes(
      labels, Tensor::of<float>({4, 3}, {.2f, .7f, .1f, .2f, .7f, .1f, 0, 0, 1, .9f, .1f, 0}));
  REQUIRE(wrong.size() == 2);
  CHECK(wrong[0].sample == 3);
  CHECK(wrong[0].label == 2);
  CHECK(wrong[0].predicted == 0);
  CHECK(wrong[0].probability == doctest::Approx(0.9));
  CHECK(wrong[1].sample == 0);
  CHECK(mistakes(Tensor::of<float>({1}, {0}), Tensor::of<float>({1}, {.8f}))[0].probability ==
        doctest::Approx(0.8));

  const TemporaryFolder folder;
  Tensor images({DType::u8, {4, 8, 8, 3}});
  std::ranges::fill(images.data<std::uint8_t>(), std::uint8_t{90});
  plot_mistakes(folder / "a.png", images, wrong, {}, {.title = "Mistakes", .width = 320});
  const Tensor picture = read_png(folder / "a.png", 3);
  CHECK(picture.shape()[1] == 320);
  CHECK(std::ranges::count(picture.data<std::uint8_t>(), 90) >= 2 * 96 * 96 * 3);
  plot_mistakes(folder / "a.svg", images, wrong, {"cat", "dog", "cow"}, {}, 1);
  const std::string svg = content(folder / "a.svg");
  CHECK(svg.find("cow &#x2192; cat") != std::string::npos);
  CHECK(svg.find("(90.0 %)") != std::string::npos);
  CHECK(count_of(svg, "href=\"data:image/png;base64,iVBORw0KGgo") == 1);
  plot_mistakes(folder / "none.svg", images, {});
  CHECK(content(folder / "none.svg").find("No mistakes") != std::string::npos);

  check_message<ArgumentError>(
      [&] {
        plot_mistakes(folder / "b.png", images, {{7, 0, 1, 1}});
      },
      {"no sample 7"});
  check_message<ArgumentError>([&] { plot_mistakes(folder / "b.png", images, wrong, {"cat"}); },
                               {"class 2 has no name"});
  check_message<ShapeError>([&] { plot_mistakes(folder / "b.png", labels, wrong); }, {"[4]"});
}

TEST_CASE("plot: a prediction as bars, and filters as tiles") {
  const TemporaryFolder folder;
  plot_prediction(folder / "a.png", Tensor::of<float>({3}, {.1f, .7f, .2f}));
  check_picture(folder / "a.png", 102, 560);
  plot_prediction(folder / "a.svg", Tensor::of<float>({1, 2}, {.25f, .75f}), {"cat", "dog"});
  const std::string svg = content(folder / "a.svg");
  CHECK(svg.find(">dog<") < svg.find(">cat<"));
  CHECK(svg.find(">75.0 %<") != std::string::npos);
  check_message<ShapeError>(
      [&] {
        plot_prediction(folder / "b.png", Tensor::full({2, 3}, 0));
      },
      {"f32[2,3]"});

  for (const std::int64_t channels : {1, 2, 3}) {
    CAPTURE(channels);
    Tensor kernel({DType::f32, {3, 3, channels, 5}});
    nn::Random random(1);
    for (float& weight : kernel.data<float>()) weight = static_cast<float>(random.normal());
    plot_filters(folder / "filters.png", kernel);
    const Tensor picture = read_png(folder / "filters.png", 0);
    CHECK(ink(read_png(folder / "filters.png", 3)) > 5 * 72 * 72 / 2);
    CHECK(picture.shape()[1] > 5 * 72);
  }
  check_message<ShapeError>(
      [&] {
        plot_filters(folder / "b.png", Tensor::full({2, 3}, 0));
      },
      {"f32[KH,KW,C,O]", "f32[2,3]"});
}

}  // namespace weft::test
