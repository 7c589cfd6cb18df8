// Requests are small and each has its connection: nobody can hold a thread for longer than the
// timeouts. One thread asks the model, since it is not made for several, and since each thread that
// asked would get a team of OpenMP's.
#include "tools/server.hpp"

#include <fmt/format.h>
#include <httplib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string_view>
#include <thread>
#include <utility>

#include "graph/error.hpp"
#include "graph/print.hpp"
#include "io/drawing.hpp"
#include "tools/digit.hpp"

namespace weft {

extern const std::string_view page;  // tools/page.html

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
/// Keeps loss before accuracy. Too slow for what others send, with any number of names.
using Ordered = nlohmann::ordered_json;
using Request = httplib::Request;
using Response = httplib::Response;

constexpr std::size_t threads = 128;         // clients that are answered at a time
constexpr int backlog = 512;                 // and those that wait
constexpr std::int64_t largest_side = 1024;  // of a picture to make a digit of

/// What the client did wrong, by HTTP's number for it.
struct Refusal : std::runtime_error {
  Refusal(int refusal_status, const std::string& what)
      : std::runtime_error(what), status(refusal_status) {}
  int status;
};

template <class... Args>
[[noreturn]] void refuse(int status, fmt::format_string<Args...> format, Args&&... args) {
  throw Refusal(status, fmt::format(format, std::forward<Args>(args)...));
}

void answer(Response& response, const json& body) {
  // Names that are no UTF-8 must not end the program.
  response.set_content(body.dump(-1, ' ', false, json::error_handler_t::replace),
                       "application/json");
}

void answer_refusal(Response& response, int status, std::string_view what) {
  response.status = status;
  answer(response, {{"error", what}});
}

/// Runs functions in one thread, in turn.
class Worker {
 public:
  Worker() : thread_([this] { work(); }) {}
  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    more_.notify_one();
    thread_.join();
  }

  /// Waits for its result; throws what it throws.
  template <class F>
  auto operator()(F f) {
    std::packaged_task<decltype(f())()> task(std::move(f));
    auto result = task.get_future();
    {
      const std::lock_guard lock(mutex_);
      tasks_.emplace_back([&task] { task(); });
    }
    more_.notify_one();
    return result.get();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      more_.wait(lock, [&] { return done_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<std::function<void()>> tasks_;
  bool done_ = false;
  std::thread thread_;
};

/// What the last layer makes of a class.
enum class Output { softmax, sigmoid, scores };

Output output_of(const nn::Model& model) {
  const nn::Network& network = model.network();
  const std::size_t from = network.outputs[0].from;
  if (from < network.inputs.size()) return Output::scores;
  const nn::Layer& layer = network.layers[network.calls[from - network.inputs.size()].layer].layer;
  if (layer.as<nn::Softmax>() != nullptr) return Output::softmax;
  std::string activation;
  if (const auto* dense = layer.as<nn::Dense>()) activation = dense->config.activation.identifier;
  if (const auto* function = layer.as<nn::Activation>()) activation = function->identifier;
  if (activation == "softmax") return Output::softmax;
  return activation == "sigmoid" ? Output::sigmoid : Output::scores;
}

const char* name_of(Output output) {
  switch (output) {
    case Output::softmax:
      return "softmax";
    case Output::sigmoid:
      return "sigmoid";
    case Output::scores:
      break;
  }
  return "scores";
}

/// A model with what the page has to know of it. Only one thread may ask.
class Asked {
 public:
  Asked(nn::Model model, const ServerOptions& options)
      : model_(std::move(model)), scale_(options.scale), classes_(options.classes) {
    const auto& network = model_.network();
    if (network.inputs.size() != 1 || network.outputs.size() != 1) {
      fail<ArgumentError>("serve: the model has {} inputs and {} outputs; it must have one of each",
                          network.inputs.size(), network.outputs.size());
    }
    input_ = network.inputs[0].shape;
    const Shape output = model_.output_shape();
    if (network.inputs[0].dtype != DType::f32 || output.rank() != 1) {
      fail<ArgumentError>("serve: the model makes {} of {}; it must make one vector of f32", output,
                          Type{network.inputs[0].dtype, input_});
    }
    output_ = output_of(model_);
    const auto count = static_cast<std::size_t>(output[0]) + (is_binary(output[0]) ? 1 : 0);
    for (std::size_t i = classes_.size(); options.classes.empty() && i < count; ++i) {
      classes_.push_back(fmt::to_string(i));
    }
    if (classes_.size() != count) {
      fail<ArgumentError>("serve: the model tells {} classes apart, but {} names were given: {}",
                          count, classes_.size(), fmt::join(classes_, ", "));
    }
    svg_ = svg_of(model_);
  }

  bool is_image() const {
    return input_.rank() == 3 && (input_[2] == 1 || input_[2] == 3) && input_[0] > 0 &&
           input_[1] > 0 && input_[0] <= largest_side && input_[1] <= largest_side;
  }
  bool takes_digits() const { return input_ == Shape{28, 28, 1}; }
  std::int64_t pixels() const { return input_.elements(); }
  const std::string& svg() const { return svg_; }

  json description() const {
    json shape = json::array();
    for (std::size_t i = 0; i < input_.rank(); ++i) shape.push_back(input_[i]);
    return {{"name", model_.name()},   {"input", shape},          {"image", is_image()},
            {"digit", takes_digits()}, {"classes", classes_},     {"output", name_of(output_)},
            {"scale", scale_},         {"drawing", !svg_.empty()}};
  }

  /// Of numbers from 0 to 255, as many as the input has.
  std::vector<float> probabilities(const std::vector<float>& values) {
    if (!step_) step_.emplace(Step{&model_.prediction_step(1)});
    const auto x = step_->executable->input("x").data<float>();
    std::ranges::transform(values, x.begin(),
                           [&](float v) { return static_cast<float>(v * scale_); });
    step_->executable->step();
    const auto y = step_->executable->output(0).data<float>();
    std::vector<float> result(y.begin(), y.end());
    if (is_binary(static_cast<std::int64_t>(y.size()))) return {1 - result[0], result[0]};
    if (output_ == Output::scores) softmax(result);
    return result;
  }

 private:
  struct Step {
    Executable* executable;
  };
  /// One number is the second class' probability.
  bool is_binary(std::int64_t outputs) const { return outputs == 1 && output_ == Output::sigmoid; }
  static void softmax(std::vector<float>& values) {
    const float most = *std::ranges::max_element(values);
    float sum = 0;
    for (float& v : values) sum += v = std::exp(v - most);
    for (float& v : values) v /= sum;
  }

  nn::Model model_;
  double scale_;
  std::vector<std::string> classes_;
  Shape input_;
  Output output_{};
  std::string svg_;
  std::optional<Step> step_;
};

/// Host without the port; "" if it is none.
std::string_view host_part(std::string_view host) {
  if (host.starts_with('[')) {
    const auto end = host.find(']');
    return end == host.npos ? "" : host.substr(0, end + 1);
  }
  return host.substr(0, host.find(':'));
}

bool is_address(std::string_view host) {
  return host.starts_with('[') ||
         (!host.empty() && host.find_first_not_of("0123456789.") == host.npos);
}

/// httplib's, with a queue that holds more than five.
class Listener : public httplib::Server {
 public:
  void lengthen_queue() { ::listen(svr_sock_, backlog); }
};

std::string nonce() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

Ordered numbers(const nn::Logs& logs) {
  Ordered out = Ordered::object();
  for (const auto& entry : logs) out[entry.name] = entry.value;  // NaN becomes null
  return out;
}

const std::map<std::string, std::string, std::less<>>& routes() {
  static const std::map<std::string, std::string, std::less<>> methods{
      {"/", "GET"},          {"/model.json", "GET"},  {"/history.json", "GET"},
      {"/graph.svg", "GET"}, {"/favicon.ico", "GET"}, {"/predict", "POST"}};
  return methods;
}

constexpr const char* right_body =
    R"({"pixels":[...]} with numbers from 0 to 255, and for a digit "digit":true, "width" and "height")";

}  // namespace

struct Server::Impl {
  explicit Impl(ServerOptions given) : options(std::move(given)) {
    // A page that knows an earlier server's numbers must not take them for this one's.
    std::random_device random;
    tag = fmt::format("{:08x}", random());
    remember();
  }

  // Refusals.

  bool is_own_host(std::string_view host) const {
    const std::string_view name = host_part(host);
    if (name == "localhost" || name == "127.0.0.1" || name == "[::1]") return true;
    if (name == options.host || name == fmt::format("[{}]", options.host)) return true;
    // Another site's name may be made to lead here, an address not.
    const bool anywhere = options.host == "0.0.0.0" || options.host == "::";
    return anywhere && is_address(name);
  }

  void expect_own_host(const Request& request) const {
    if (request.get_header_value_count("Host") != 1) refuse(400, "there must be one Host header");
    const std::string host = request.get_header_value("Host");
    if (!is_own_host(host)) {
      refuse(403, "\"{}\" is not this server's name; it is {}", host, url());
    }
  }

  static void expect_method(const Request& request, Response& response) {
    const auto route = routes().find(request.path);
    if (route == routes().end()) refuse(404, "there is nothing at {}", request.path);
    const std::string& right = route->second;
    if (request.method == right || (request.method == "HEAD" && right == "GET")) return;
    response.set_header("Allow", right == "GET" ? "GET, HEAD" : right);
    refuse(405, "{} takes {}, not {}", request.path, right, request.method);
  }

  /// Bodies of a known length, which httplib holds to the limit, and not to be unpacked.
  static void expect_plain_body(const Request& request) {
    if (request.has_header("Transfer-Encoding")) {
      refuse(411, "the length of the body must be given by Content-Length");
    }
    if (request.has_header("Content-Encoding")) refuse(415, "the body must not be compressed");
  }

  static void expect_own_page(const Request& request) {
    const std::string origin = request.get_header_value("Origin");
    if (request.has_header("Origin") && origin != "http://" + request.get_header_value("Host")) {
      refuse(403, "pages of {} may not ask here", origin);
    }
    const std::string type = request.get_header_value("Content-Type");
    if (type.substr(0, type.find(';')) != "application/json") {
      refuse(415, "the body must be application/json, not \"{}\"", type);
    }
  }

  // Answers.

  void answer_page(Response& response) const {
    const std::string once = nonce();
    std::string text(page);
    constexpr std::string_view mark = "NONCE";
    for (auto at = text.find(mark); at != text.npos; at = text.find(mark, at)) {
      text.replace(at, mark.size(), once);
    }
    response.set_header("Content-Security-Policy",
                        fmt::format("default-src 'none'; style-src 'nonce-{0}'; script-src "
                                    "'nonce-{0}'; img-src 'self'; connect-src 'self'; base-uri "
                                    "'none'; form-action 'none'; frame-ancestors 'none'",
                                    once));
    response.set_content(text, "text/html; charset=utf-8");
  }

  void answer_model(Response& response) const {
    if (!asked) refuse(404, "no model is asked here: this page shows training");
    answer(response, asked->description());
  }

  void answer_history(const Request& request, Response& response) {
    const std::lock_guard lock(mutex);
    response.set_header("ETag", etag);
    if (request.get_header_value("If-None-Match") == etag) {
      response.status = 304;
    } else {
      response.set_content(history, "application/json");
    }
  }

  void answer_drawing(Response& response) {
    const std::lock_guard lock(mutex);
    const std::string& svg = asked ? asked->svg() : drawing;
    if (svg.empty()) refuse(404, "there is no drawing: Graphviz' program dot makes it");
    response.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    response.set_content(svg, "image/svg+xml");
  }

  void answer_prediction(const Request& request, Response& response) {
    if (!asked) refuse(404, "no model is asked here: this page shows training");
    expect_own_page(request);
    const json body = json::parse(request.body, limit_depth, false);
    if (body.is_discarded() || !body.is_object()) {
      refuse(400, "the body is no JSON of the form {}", right_body);
    }
    const bool digit = body.contains("digit") && body["digit"] == true;
    const std::vector<float> values =
        digit ? digit_of(body) : pixels_of(body, asked->pixels(), "the model's input");
    json result{{"probabilities", (*worker)([&] { return asked->probabilities(values); })}};
    if (digit) result["digit"] = values;
    answer(response, result);
  }

  /// Nesting is no part of any request.
  static bool limit_depth(int depth, json::parse_event_t, json&) {
    if (depth > 8) refuse(400, "the body is no JSON of the form {}", right_body);
    return true;
  }

  static std::vector<float> pixels_of(const json& body, std::int64_t count, const char* whose) {
    const auto found = body.find("pixels");
    if (found == body.end() || !found->is_array()) {
      refuse(400, "there is no list of \"pixels\"; the body must be {}", right_body);
    }
    if (found->size() != static_cast<std::size_t>(count)) {
      refuse(400, "there are {} pixels; {} has {}", found->size(), whose, count);
    }
    std::vector<float> values;
    for (const json& number : *found) {
      // What is too large for a double is not finite.
      const double value = number.is_number() ? number.get<double>() : -1;
      if (!(value >= 0 && value <= 255)) {
        refuse(400, "pixel {} is {}; pixels are numbers from 0 to 255", values.size(),
               number.is_number() ? number.dump() : number.type_name());
      }
      values.push_back(static_cast<float>(value));
    }
    return values;
  }

  std::vector<float> digit_of(const json& body) const {
    if (!asked->takes_digits()) refuse(400, "the model does not take digits, [28,28,1]");
    const auto length = [&](const char* name) {
      const auto found = body.find(name);
      const bool is_right = found != body.end() && found->is_number_unsigned() && *found >= 1 &&
                            *found <= largest_side;
      if (!is_right) refuse(400, "\"{}\" must be a whole number, 1 to {}", name, largest_side);
      return found->get<std::int64_t>();
    };
    const std::int64_t height = length("height"), width = length("width");
    const std::vector<float> values = pixels_of(body, height * width, "a picture of that size");
    Tensor picture(Type{DType::u8, {height, width}});
    std::ranges::transform(values, picture.data<std::uint8_t>().begin(),
                           [](float v) { return static_cast<std::uint8_t>(std::lround(v)); });
    return to_floats(as_mnist_digit(picture));
  }

  // History. All that hold the mutex.

  void remember() {
    Ordered done = Ordered::array();
    for (const auto& [epoch, logs] : epochs) {
      done.push_back({{"epoch", epoch + 1}, {"logs", logs}});
    }
    const Ordered all{
        {"epochs", done}, {"now", now}, {"training", training}, {"drawing", drawings}};
    history = all.dump(-1, ' ', false, json::error_handler_t::replace);
    etag = fmt::format("\"{}-{}\"", tag, ++version);
  }

  // Listening.

  std::string url() const {
    const bool v6 = options.host.find(':') != std::string::npos;
    const std::string host = v6 ? "[" + options.host + "]" : options.host;
    return fmt::format("http://{}:{}/", host, port.load());
  }

  void route() {
    http = std::make_unique<Listener>();
    http->new_task_queue = [] { return new httplib::ThreadPool(threads); };
    http->set_payload_max_length(options.body_limit);
    http->set_keep_alive_max_count(1);
    http->set_keep_alive_timeout(2);
    http->set_read_timeout(2);
    http->set_write_timeout(5);
    http->set_tcp_nodelay(true);
    // httplib's own would let two servers share a port, each answering some of the clients.
    http->set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    http->set_default_headers({{"X-Content-Type-Options", "nosniff"},
                               {"Referrer-Policy", "no-referrer"},
                               {"Cross-Origin-Resource-Policy", "same-origin"},
                               {"Cache-Control", "no-cache"}});
    // Before a body is read.
    http->set_pre_routing_handler([this](const Request& request, Response& response) {
      try {
        expect_own_host(request);
        expect_method(request, response);
        expect_plain_body(request);
        return httplib::Server::HandlerResponse::Unhandled;
      } catch (const Refusal& refusal) {
        answer_refusal(response, refusal.status, refusal.what());
        return httplib::Server::HandlerResponse::Handled;
      }
    });
    http->set_exception_handler([](const Request&, Response& response, std::exception_ptr error) {
      try {
        std::rethrow_exception(error);
      } catch (const Refusal& refusal) {
        answer_refusal(response, refusal.status, refusal.what());
      } catch (const std::exception& other) {
        answer_refusal(response, 500, other.what());
      }
    });
    http->set_error_handler([this](const Request&, Response& response) {
      if (!response.body.empty()) return;
      if (response.status == 413) {
        answer_refusal(response, 413,
                       fmt::format("a body has at most {} bytes", options.body_limit));
      } else {
        answer_refusal(response, response.status, "this is no request that can be answered");
      }
    });
    using R = const Request&;
    http->Get("/", [this](R, Response& response) { answer_page(response); });
    http->Get("/model.json", [this](R, Response& response) { answer_model(response); });
    http->Get("/history.json", [this](R r, Response& response) { answer_history(r, response); });
    http->Get("/graph.svg", [this](R, Response& response) { answer_drawing(response); });
    http->Get("/favicon.ico", [](R, Response& response) { response.status = 204; });
    http->Post("/predict", [this](R r, Response& response) { answer_prediction(r, response); });
  }

  void start() {
    if (listening.joinable()) fail<Error>("serve: {} is served already", url());
    route();
    const bool any = options.port == 0;
    const int bound = any ? http->bind_to_any_port(options.host)
                          : (http->bind_to_port(options.host, options.port) ? options.port : -1);
    if (bound <= 0) {
      fail<IoError>("serve: cannot listen at {}, port {}: it is taken, or not this machine's",
                    options.host, options.port);
    }
    port = bound;
    http->lengthen_queue();
    if (asked) worker.emplace();
    listening = std::thread([this] { http->listen_after_bind(); });
    while (!http->is_running()) std::this_thread::yield();
  }

  void stop() {
    if (!listening.joinable()) return;
    http->stop();
    listening.join();
    worker.reset();
    http.reset();
  }

  ServerOptions options;
  std::optional<Asked> asked;
  std::optional<Worker> worker;
  std::unique_ptr<Listener> http;
  std::thread listening;
  std::atomic<int> port = 0;

  std::mutex mutex;  // of what follows
  std::map<int, Ordered> epochs;
  Ordered now = nullptr;
  bool training = false;
  int drawings = 0;  // how often it changed; 0: there is none
  std::string drawing, history, tag, etag;
  std::uint64_t version = 0;
};

Server::Server(ServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Server::Server(nn::Model model, ServerOptions options) : Server(std::move(options)) {
  impl_->asked.emplace(std::move(model), impl_->options);
}

Server::~Server() { stop(); }

void Server::start() { impl_->start(); }
void Server::stop() { impl_->stop(); }
int Server::port() const { return impl_->port; }
std::string Server::url() const { return impl_->url(); }

void Server::publish(int epoch, const nn::Logs& logs) {
  const std::lock_guard lock(impl_->mutex);
  impl_->epochs[epoch] = numbers(logs);
  impl_->now = nullptr;
  impl_->training = true;
  impl_->remember();
}

void Server::progress(int epoch, std::int64_t batch, const nn::Logs& logs) {
  const std::lock_guard lock(impl_->mutex);
  impl_->now = {{"epoch", epoch + 1}, {"batch", batch + 1}, {"logs", numbers(logs)}};
  impl_->training = true;
  impl_->remember();
}

void Server::finish() {
  const std::lock_guard lock(impl_->mutex);
  impl_->training = false;
  impl_->now = nullptr;
  impl_->remember();
}

void Server::set_drawing(std::string svg) {
  const std::lock_guard lock(impl_->mutex);
  impl_->drawing = std::move(svg);
  impl_->drawings = impl_->drawing.empty() ? 0 : impl_->drawings + 1;
  impl_->remember();
}

nn::Callback live(Server& server) {
  using Clock = std::chrono::steady_clock;
  constexpr static std::chrono::milliseconds pause(250);
  struct State {
    int epoch = 0;
    bool has_drawing = false;
    Clock::time_point next{};
  };
  const auto state = std::make_shared<State>();
  nn::Callback callback;
  callback.on_train_begin = [&server, state](nn::Model& model) {
    if (state->has_drawing) return;
    server.set_drawing(svg_of(model));
    state->has_drawing = true;
  };
  callback.on_epoch_begin = [state](nn::Model&, int epoch) { state->epoch = epoch; };
  callback.on_train_batch_end = [&server, state](nn::Model&, std::int64_t batch, nn::Logs& logs) {
    if (Clock::now() < state->next) return;
    server.progress(state->epoch, batch, logs);
    state->next = Clock::now() + pause;
  };
  callback.on_epoch_end = [&server](nn::Model&, int epoch, nn::Logs& logs) {
    server.publish(epoch, logs);
  };
  callback.on_train_end = [&server](nn::Model&, nn::Logs&) { server.finish(); };
  return callback;
}

std::string svg_of(nn::Model& model) {
  std::string folder = (fs::temp_directory_path() / "weft-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return "";
  std::string svg;
  try {
    const fs::path file = fs::path(folder) / "graph.svg";
    model.draw(file);
    std::ifstream in(file, std::ios::binary);
    svg.assign(std::istreambuf_iterator<char>(in), {});
  } catch (const IoError&) {  // no dot
  }
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return svg;
}

}  // namespace weft
