#include "io/backup_state.hpp"

#include <charconv>
#include <utility>

#include "graph/error.hpp"
#include "io/atomic_file.hpp"
#include "io/keras/hdf5.hpp"
#include "io/keras/json.hpp"

namespace weft::nn {
namespace {

namespace fs = std::filesystem;
using keras::Json;

// ---- a state as JSON, and back; numbers as texts, since JSON has no NaN

Json text_of(double number) { return fmt::format("{}", number); }

double number_of(const Json& json) {
  const auto& text = json.get_ref<const std::string&>();
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail<IoError>("\"{}\" is no number", text);
  }
  return number;
}

Json json_of(const Logs& logs) {
  Json json = Json::object();
  for (const auto& [name, value] : logs) json[name] = text_of(value);
  return json;
}

Logs logs_of(const Json& json) {
  Logs logs;
  for (const auto& [name, value] : json.items()) logs.set(name, number_of(value));
  return logs;
}

Json json_of(const History& history) {
  Json rows = Json::array();
  for (const int epoch : history.epoch) {
    rows.push_back({{"epoch", epoch}, {"logs", json_of(history.logs(epoch))}});
  }
  return rows;
}

History history_of(const Json& json) {
  History history;
  for (const Json& row : json) history.append(row.at("epoch").get<int>(), logs_of(row.at("logs")));
  return history;
}

Json json_of(const PartialSums& partial) {
  Json sums = Json::array();
  for (const double sum : partial.sums) sums.push_back(text_of(sum));
  return {{"name", partial.name}, {"sums", sums}, {"samples", text_of(partial.samples)}};
}

Json json_of(const Facts& facts) {
  Json list = Json::array();
  for (const auto& [name, fact] : facts) list.push_back({name, fact});
  return list;
}

Facts facts_of(const Json& json) {
  Facts facts;
  for (const Json& one : json) {
    facts.emplace_back(one.at(0).get<std::string>(), one.at(1).get<std::string>());
  }
  return facts;
}

PartialSums sums_of(const Json& json) {
  PartialSums partial{.name = json.at("name").get<std::string>(),
                      .samples = number_of(json.at("samples"))};
  for (const Json& sum : json.at("sums")) partial.sums.push_back(number_of(sum));
  return partial;
}

std::string place_of(std::size_t callback, const std::string& name, std::size_t i) {
  return fmt::format("callbacks/{}/{}/{}", callback, name, i);
}

}  // namespace

void write_state(const KeptState& kept, const fs::path& file) {
  const FitState& state = kept.state;
  Json all{{"epoch", state.epoch},        {"batch", state.batch},
           {"samples", state.samples},    {"batch_size", state.batch_size},
           {"seed", state.seed},          {"run", kept.run},
           {"sums", Json::array()},       {"history", json_of(state.history)},
           {"callbacks", Json::array()},  {"data", json_of(state.data)},
           {"model", json_of(kept.model)}};
  for (const PartialSums& partial : state.sums) all["sums"].push_back(json_of(partial));
  write_atomically(file, [&](const fs::path& temporary) {
    NewHdf5File hdf5 = NewHdf5File::create(temporary);
    const NewHdf5Group root = hdf5.root();
    for (std::size_t i = 0; i < state.callbacks.size(); ++i) {
      Json numbers = Json::object(), lists = Json::object();
      for (const auto& [name, number] : state.callbacks[i].numbers) numbers[name] = text_of(number);
      for (const auto& [name, tensors] : state.callbacks[i].tensors) {
        lists[name] = tensors.size();
        for (std::size_t k = 0; k < tensors.size(); ++k) {
          root.write(place_of(i, name, k), tensors[k]);
        }
      }
      all["callbacks"].push_back({{"numbers", numbers}, {"tensors", lists}});
    }
    root.set_text("state", all.dump());
    hdf5.close();
  });
}

KeptState read_state(const fs::path& file) {
  const Hdf5File hdf5 = Hdf5File::open(file);
  const Hdf5Group root = hdf5.root();
  const std::string where = fmt::format("\"{}\"", file.string());
  const auto text = root.text("state");
  if (!text) fail<IoError>("{}: it is no state of training", where);
  try {
    const Json all = keras::parse_json(*text, where);
    FitState state{.epoch = all.at("epoch").get<int>(),
                   .batch = all.at("batch").get<std::int64_t>(),
                   .samples = all.at("samples").get<std::int64_t>(),
                   .batch_size = all.at("batch_size").get<std::int64_t>(),
                   .seed = all.at("seed").get<std::uint64_t>(),
                   .history = history_of(all.at("history"))};
    for (const Json& partial : all.at("sums")) state.sums.push_back(sums_of(partial));
    for (const Json& given : all.at("callbacks")) {
      CallbackState callback;
      for (const auto& [name, number] : given.at("numbers").items()) {
        callback.numbers[name] = number_of(number);
      }
      for (const auto& [name, count] : given.at("tensors").items()) {
        std::vector<Tensor>& list = callback.tensors[name];
        for (std::size_t k = 0; k < count.get<std::size_t>(); ++k) {
          list.push_back(root.array(place_of(state.callbacks.size(), name, k)));
        }
      }
      state.callbacks.push_back(std::move(callback));
    }
    if (state.epoch < 0 || state.batch < 0) fail<IoError>("it is before the beginning");
    // States of earlier versions have neither.
    if (all.contains("data")) state.data = facts_of(all["data"]);
    return {std::move(state), all.at("run").get<std::string>(),
            all.contains("model") ? facts_of(all["model"]) : Facts()};
  } catch (const Json::exception& error) {
    fail<IoError>("{}: it is damaged: {}", where, error.what());
  }
}

}  // namespace weft::nn
