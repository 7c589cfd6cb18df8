// TensorBoard's event files, read by a reader of our own: records, checksums, messages. That it
// reads as others do, TensorBoard's own writer shows (tests/reference/tensorboard_events.py);
// TensorBoard itself reads Weft's files in tests/interop/check.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/model_files.hpp"
#include "nn/nn.hpp"
#include "tests/io_files.hpp"

namespace weft::test {
namespace {

/// CRC-32C bit by bit, without Boost.
std::uint32_t crc32c(std::string_view data) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}
std::uint32_t masked(std::string_view data) {
  const std::uint32_t crc = crc32c(data);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

std::uint64_t take(std::string_view& from, std::size_t bytes) {
  REQUIRE(from.size() >= bytes);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
  }
  from.remove_prefix(bytes);
  return value;
}

/// The messages of a file, whose checksums are right.
std::vector<std::string> records(std::string_view bytes) {
  std::vector<std::string> result;
  while (!bytes.empty()) {
    const std::string_view length_bytes = bytes.substr(0, 8);
    const std::uint64_t length = take(bytes, 8);
    CHECK(take(bytes, 4) == masked(length_bytes));
    REQUIRE(length <= bytes.size());
    result.emplace_back(bytes.substr(0, length));
    bytes.remove_prefix(length);
    CHECK(take(bytes, 4) == masked(result.back()));
  }
  return result;
}

/// A message's fields: numbers as bits, or bytes.
struct Field {
  int number;
  std::uint64_t bits;
  std::string bytes;
};
std::vector<Field> fields(std::string_view wire) {
  const auto varint = [&] {
    std::uint64_t value = 0, byte = 0x80;
    for (int shift = 0; (byte & 0x80) != 0; shift += 7) {
      byte = take(wire, 1);
      value |= (byte & 0x7f) << shift;
    }
    return value;
  };
  std::vector<Field> result;
  while (!wire.empty()) {
    const std::uint64_t tag = varint();
    Field field{static_cast<int>(tag >> 3), 0, {}};
    switch (tag & 7) {
      case 0:
        field.bits = varint();
        break;
      case 1:
        field.bits = take(wire, 8);
        break;
      case 5:
        field.bits = take(wire, 4);
        break;
      default: {
        REQUIRE((tag & 7) == 2);
        const std::uint64_t length = varint();
        REQUIRE(length <= wire.size());
        field.bytes = wire.substr(0, length);
        wire.remove_prefix(length);
      }
    }
    result.push_back(field);
  }
  return result;
}

using Scalars = std::map<std::string, std::vector<std::pair<std::int64_t, float>>>;
struct Events {
  std::string version;
  Scalars scalars;
  std::map<std::string, std::string> others;  // tag and value
};

/// All event files of a folder, in no order.
Events events_in(const std::filesystem::path& folder) {
  Events events;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    CHECK(entry.path().filename().string().starts_with("events.out.tfevents."));
    for (const std::string& record : records(content(entry.path()))) {
      std::int64_t step = 0;
      for (const Field& field : fields(record)) {
        if (field.number == 1) CHECK(std::bit_cast<double>(field.bits) > 1.6e9);  // wall_time
        if (field.number == 2) step = static_cast<std::int64_t>(field.bits);
        if (field.number == 3) events.version = field.bytes;
        if (field.number != 5) continue;
        for (const Field& value : fields(field.bytes)) {
          const auto parts = fields(value.bytes);
          REQUIRE(parts.size() >= 2);
          if (parts[1].number == 2) {
            const float number = std::bit_cast<float>(static_cast<std::uint32_t>(parts[1].bits));
            events.scalars[parts[0].bytes].emplace_back(step, number);
          } else {
            events.others[parts[0].bytes] = value.bytes;
          }
        }
      }
    }
  }
  return events;
}

nn::Sequential small_model() {
  nn::Sequential model({nn::Dense(2, {.input_shape = {3}}), nn::Dense(1)}, {.seed = 1});
  model.compile({.optimizer = nn::Adam{.learning_rate = 0.01}, .loss = "mse", .metrics = {"mae"}});
  return model;
}

nn::History fit(nn::Model& model, const nn::TensorBoard& board) {
  Tensor x({DType::f32, {20, 3}}), y({DType::f32, {20, 1}});
  nn::Random random(3);
  for (float& number : x.data<float>()) number = static_cast<float>(random.normal());
  for (std::size_t i = 0; i < 20; ++i) y.data<float>()[i] = x.data<float>()[3 * i];
  return model.fit(
      x, y,
      {.epochs = 3, .batch_size = 4, .validation_split = 0.2, .verbose = 0, .callbacks = {board}});
}

}  // namespace

TEST_CASE("tensorboard: the checksum is CRC-32C") {
  CHECK(crc32c("123456789") == 0xe3069283u);  // as the catalogues of checksums have it
}

TEST_CASE("tensorboard: this reader reads what TensorBoard's own writer wrote") {
  const Events events = events_in(WEFT_SOURCE_DIR "/tests/reference/data/tensorboard");
  CHECK(events.version == "brain.Event:2");
  CHECK(events.scalars == Scalars{{"epoch_loss", {{300, .1f}}}, {"epoch_zero", {{300, 0.f}}}});
  const auto graph = fields(events.others.at("keras"));
  CHECK(fields(graph[1].bytes).back().bytes == "{}");
  CHECK(fields(fields(graph[2].bytes)[0].bytes)[0].bytes == "graph_keras_model");
  const auto parts = fields(events.others.at("dense/kernel/histogram"));
  CHECK(parts[1].number == 5);
  const auto histogram = fields(parts[1].bytes);
  REQUIRE(histogram.size() == 7);
  CHECK(std::bit_cast<double>(histogram[0].bits) == -1);
  CHECK(std::bit_cast<double>(histogram[2].bits) == 3);
  CHECK(histogram[5].bytes.size() == 16);
}

TEST_CASE("tensorboard: epochs are written as Keras names them") {
  const TemporaryFolder folder;
  nn::Model model = small_model();
  const nn::History history = fit(model, {.log_dir = (folder / "logs").string()});
  const Events train = events_in(folder / "logs/train"),
               validation = events_in(folder / "logs/validation");
  CHECK(train.version == "brain.Event:2");
  CHECK(validation.version == "brain.Event:2");
  const auto expected = [&](const char* name) {
    std::vector<std::pair<std::int64_t, float>> points;
    for (const double value : history[name]) {
      points.emplace_back(std::ssize(points), static_cast<float>(value));
    }
    return points;
  };
  CHECK(train.scalars == Scalars{{"epoch_loss", expected("loss")},
                                 {"epoch_mae", expected("mae")},
                                 {"epoch_learning_rate", {{0, .01f}, {1, .01f}, {2, .01f}}}});
  CHECK(validation.scalars.at("epoch_loss") == expected("val_loss"));
  CHECK(validation.scalars.at("epoch_mae") == expected("val_mae"));
  const auto& against_steps = validation.scalars.at("evaluation_loss_vs_iterations");
  REQUIRE(against_steps.size() == 3);
  CHECK(against_steps[2] ==
        std::pair<std::int64_t, float>(12, static_cast<float>(history["val_loss"][2])));

  // The layers, for the tab of graphs.
  REQUIRE(train.others.size() == 1);
  const auto graph = fields(train.others.at("keras"));
  CHECK(fields(graph[1].bytes).back().bytes == model.to_json());
  CHECK(fields(fields(graph[2].bytes)[0].bytes)[0].bytes == "graph_keras_model");
}

TEST_CASE("tensorboard: batches, speed and histograms when asked for") {
  const TemporaryFolder folder;
  nn::Model model = small_model();
  fit(model, {.log_dir = folder.path().string(),
              .histogram_freq = 2,
              .write_graph = false,
              .write_steps_per_second = true,
              .update_freq = 5});
  const Events train = events_in(folder / "train");
  const auto& batches = train.scalars.at("batch_loss");
  REQUIRE(batches.size() == 2);  // of 12 steps
  CHECK(batches[0].first == 5);
  CHECK(batches[1].first == 10);
  CHECK(train.scalars.at("batch_steps_per_second").size() == 2);
  CHECK(train.scalars.at("epoch_steps_per_second")[0].second > 0);

  REQUIRE(train.others.size() == 4);
  const auto parts = fields(train.others.at("dense/kernel/histogram"));
  const auto histogram = fields(parts[1].bytes);
  const auto number = [&](std::size_t i) { return std::bit_cast<double>(histogram[i].bits); };
  const auto numbers = [](std::string_view bytes) {
    std::vector<double> result;
    while (!bytes.empty()) result.push_back(std::bit_cast<double>(take(bytes, 8)));
    return result;
  };
  CHECK(parts[1].number == 5);
  CHECK(number(2) == 6);
  const auto limits = numbers(histogram[5].bytes), counts = numbers(histogram[6].bytes);
  CHECK(limits.size() == counts.size());
  CHECK(std::ranges::is_sorted(limits));
  CHECK(limits.back() == number(1));
  CHECK(number(0) < limits[0]);
  double sum = 0;
  for (const double count : counts) sum += count;
  CHECK(sum == 6);
}

TEST_CASE("tensorboard: evaluate writes by itself, and errors say what is wrong") {
  const TemporaryFolder folder;
  nn::Model model = small_model();
  model.evaluate(Tensor::full({4, 3}, 1), Tensor::full({4, 1}, 1),
                 {.verbose = 0, .callbacks = {nn::TensorBoard{folder.path().string()}}});
  CHECK(events_in(folder / "validation").scalars.at("evaluation_mae_vs_iterations").size() == 1);

  check_message<ArgumentError>([] { nn::Callback(nn::TensorBoard{""}); }, {"no log_dir"});
  check_message<ArgumentError>([] { nn::Callback(nn::TensorBoard{.update_freq = 0}); },
                               {"update_freq", "at least 1, not 0"});
  check_message<ArgumentError>([] { nn::Callback(nn::TensorBoard{.histogram_freq = -1}); },
                               {"histogram_freq", "-1"});
  put(folder / "file", "");
  check_message<IoError>([&] { fit(model, {.log_dir = (folder / "file").string()}); },
                         {"TensorBoard", "file", "cannot be made"});
}

}  // namespace weft::test
