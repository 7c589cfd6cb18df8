// nn::TensorBoard: event files. A file is a row of records, each the length of its message, the
// message, and a checksum of either; a message is an Event of TensorFlow's in the wire format of
// protocol buffers. See tensorflow/core/util/event.proto, framework/summary.proto and
// lib/io/record_writer.h for the fields and the records.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <boost/crc.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>

#include "graph/error.hpp"
#include "nn/appended_file.hpp"
#include "nn/model.hpp"
#include "nn/standard_callbacks.hpp"

namespace weft::nn {
namespace {

namespace fs = std::filesystem;
using google::protobuf::io::CodedOutputStream;

/// The fields of a message, in the order in which they are put. As protobuf does, it leaves out
/// numbers that are zero, which is what is read where there are none.
class Message {
 public:
  Message& number(int field, std::int64_t value) {
    if (value == 0) return *this;
    return put(field, 0, [&](CodedOutputStream& out) {
      out.WriteVarint64(static_cast<std::uint64_t>(value));
    });
  }
  Message& number(int field, double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    if (bits == 0) return *this;
    return put(field, 1, [&](CodedOutputStream& out) { out.WriteLittleEndian64(bits); });
  }
  /// One of several fields, of which that is set whose number is there, be it zero.
  Message& choice(int field, float value) {
    return put(field, 5, [&](CodedOutputStream& out) {
      out.WriteLittleEndian32(std::bit_cast<std::uint32_t>(value));
    });
  }
  Message& bytes(int field, const std::string& value) {
    return put(field, 2, [&](CodedOutputStream& out) {
      out.WriteVarint64(value.size());
      out.WriteString(value);
    });
  }
  Message& message(int field, const Message& value) { return bytes(field, value.wire_); }
  /// Packed.
  Message& numbers(int field, std::span<const double> values) {
    return put(field, 2, [&](CodedOutputStream& out) {
      out.WriteVarint64(8 * values.size());
      for (const double value : values)
        out.WriteLittleEndian64(std::bit_cast<std::uint64_t>(value));
    });
  }
  const std::string& wire() const { return wire_; }

 private:
  Message& put(int field, int wire_type, const std::function<void(CodedOutputStream&)>& value) {
    google::protobuf::io::StringOutputStream stream(&wire_);  // appends
    CodedOutputStream out(&stream);
    out.WriteTag(static_cast<std::uint32_t>(field << 3 | wire_type));
    value(out);
    return *this;
  }

  std::string wire_;
};

/// CRC-32C, turned and shifted, so that a checksum of data that hold checksums still says
/// something.
std::uint32_t masked_crc(const std::string& data) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(data.data(), data.size());
  return std::rotr(static_cast<std::uint32_t>(crc.checksum()), 15) + 0xa282ead8u;
}

template <class T>
std::string little_endian(T value) {
  std::string out;
  for (std::size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// A value of a Summary.
Message scalar(const std::string& tag, double value) {
  return Message().bytes(1, tag).choice(2, static_cast<float>(value));
}

Message histogram(const std::string& tag, std::span<const float> all) {
  constexpr std::size_t buckets = 30;  // of one width, as TensorBoard makes them by itself
  double low = HUGE_VAL, high = -HUGE_VAL, count = 0, sum = 0, squares = 0;
  for (const float number : all) {
    const auto value = static_cast<double>(number);
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
    ++count;
    sum += value;
    squares += value * value;
  }
  if (count == 0) low = high = 0;
  const double width = high > low ? (high - low) / buckets : 1;
  std::array<double, buckets> limits{}, counts{};
  for (std::size_t i = 0; i < buckets; ++i) limits[i] = low + width * static_cast<double>(i + 1);
  if (high > low) limits.back() = high;
  for (const float number : all) {
    const auto value = static_cast<double>(number);
    if (!std::isfinite(value)) continue;
    ++counts[std::min(buckets - 1, static_cast<std::size_t>((value - low) / width))];
  }
  Message histo;
  histo.number(1, low).number(2, high).number(3, count).number(4, sum).number(5, squares);
  histo.numbers(6, limits).numbers(7, counts);
  return Message().bytes(1, tag).message(5, histo);
}

/// The layers in JSON, for the tab "Graphs".
Message keras_model(const std::string& json) {
  constexpr std::int64_t dt_string = 7;
  const Message plugin = Message().bytes(1, "graph_keras_model").bytes(2, "1");
  const Message tensor = Message().number(1, dt_string).message(2, Message()).bytes(8, json);
  return Message().bytes(1, "keras").message(8, tensor).message(9, Message().message(1, plugin));
}

/// An event file, which begins with its first event.
class Writer {
 public:
  explicit Writer(fs::path folder) : folder_(std::move(folder)) {}

  /// Throw IoError; the file then ends with the last whole record.
  void write(std::int64_t step, const std::vector<Message>& values) {
    if (values.empty()) return;
    open();
    Message summary;
    for (const Message& value : values) summary.message(1, value);
    record(Message().number(1, now()).number(2, step).message(5, summary));
  }
  /// Begins a file, if none is open.
  void open() {
    if (file_.is_open()) return;
    static std::atomic<int> files = 0;
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') {
      host = {'l', 'o', 'c', 'a', 'l', 'h', 'o', 's', 't'};
    }
    file_.open(folder_ / fmt::format("events.out.tfevents.{:010}.{}.{}.{}.v2",
                                     static_cast<std::int64_t>(now()), host.data(), ::getpid(),
                                     files++));
    try {
      record(Message().number(1, now()).bytes(3, "brain.Event:2"));
    } catch (const IoError&) {
      // Without it, what follows is no event file.
      std::error_code ignored;
      fs::remove(file_.path(), ignored);
      file_.close();
      throw;
    }
  }
  void close() { file_.close(); }

 private:
  void record(const Message& event) {
    const std::string length = little_endian(std::uint64_t{event.wire().size()});
    file_.append(length + little_endian(masked_crc(length)) + event.wire() +
                 little_endian(masked_crc(event.wire())));
  }

  fs::path folder_;
  AppendedFile file_{"TensorBoard"};
};

using Clock = std::chrono::steady_clock;

double per_second(double steps, Clock::time_point since) {
  return steps / std::max(1e-9, std::chrono::duration<double>(Clock::now() - since).count());
}

struct State {
  explicit State(const TensorBoard& board)
      : given(board),
        train(fs::path(board.log_dir) / "train"),
        validation(fs::path(board.log_dir) / "validation") {}

  /// What is lost is not written later.
  void write(Model& model, Writer& writer, std::int64_t step, const std::vector<Message>& values) {
    constexpr bool is_whole = false;
    try_to_write(
        model, "TensorBoard", given.log_dir, [&] { writer.write(step, values); }, is_whole);
  }

  void write_model(Model& model) {
    if (!given.write_graph) return;
    try {
      train.write(0, {keras_model(model.to_json())});
    } catch (const UnsupportedError&) {
      // It has layers that are functions of the program's: there is nothing to show.
    }
  }

  void end_batch(Model& model, const Logs& logs) {
    ++batches;
    if (!given.update_freq || batches % *given.update_freq != 0) return;
    std::vector<Message> values;
    if (given.write_steps_per_second) {
      values.push_back(scalar("batch_steps_per_second", per_second(1, batch_begin)));
    }
    for (const auto& [name, value] : logs) values.push_back(scalar("batch_" + name, value));
    write(model, train, batches, values);
  }

  void end_epoch(Model& model, int epoch, const Logs& logs) {
    std::vector<Message> trained, validated;
    for (const auto& [name, value] : logs) {
      if (name.starts_with("val_")) {
        validated.push_back(scalar("epoch_" + name.substr(4), value));
      } else if (name != "learning_rate") {
        trained.push_back(scalar("epoch_" + name, value));
      }
    }
    trained.push_back(scalar("epoch_learning_rate", model.learning_rate()));
    if (given.write_steps_per_second) {
      const auto steps = static_cast<double>(model.iterations() - epoch_iterations);
      trained.push_back(scalar("epoch_steps_per_second", per_second(steps, epoch_begin)));
    }
    if (given.histogram_freq > 0 && epoch % given.histogram_freq == 0) {
      const std::vector<Tensor> values = model.get_weights();
      const std::vector<Model::Weight> weights = model.weights();
      for (std::size_t i = 0; i < weights.size(); ++i) {
        trained.push_back(histogram(weights[i].name + "/histogram", to_floats(values[i])));
      }
    }
    write(model, train, epoch, trained);
    write(model, validation, epoch, validated);
  }

  TensorBoard given;
  Writer train, validation;
  std::int64_t batches = 0, epoch_iterations = 0;
  Clock::time_point batch_begin{}, epoch_begin{};
};

}  // namespace

TensorBoard::operator Callback() const {
  if (log_dir.empty()) fail<ArgumentError>("TensorBoard: there is no log_dir");
  if (histogram_freq < 0) {
    fail<ArgumentError>("TensorBoard: histogram_freq must be at least 0, not {}", histogram_freq);
  }
  if (update_freq && *update_freq < 1) {
    fail<ArgumentError>("TensorBoard: update_freq must be at least 1, not {}", *update_freq);
  }
  const auto state = std::make_shared<State>(*this);
  Callback callback;
  callback.on_train_begin = [state](Model& model) {
    state->batches = 0;
    state->train.open();
    state->write_model(model);
  };
  callback.on_epoch_begin = [state](Model& model, int) {
    state->epoch_iterations = model.iterations();
    state->epoch_begin = Clock::now();
  };
  callback.on_train_batch_begin = [state](Model&, std::int64_t) {
    state->batch_begin = Clock::now();
  };
  callback.on_train_batch_end = [state](Model& model, std::int64_t, Logs& logs) {
    state->end_batch(model, logs);
  };
  callback.on_test_end = [state](Model& model, Logs& logs) {
    std::vector<Message> values;
    for (const auto& [name, value] : logs) {
      values.push_back(scalar(fmt::format("evaluation_{}_vs_iterations", name), value));
    }
    state->write(model, state->validation, model.iterations(), values);
  };
  callback.on_epoch_end = [state](Model& model, int epoch, Logs& logs) {
    state->end_epoch(model, epoch, logs);
  };
  callback.on_train_end = [state](Model&, Logs&) {
    state->train.close();
    state->validation.close();
  };
  return callback;
}

}  // namespace weft::nn
