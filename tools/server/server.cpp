#include "tools/server/server.hpp"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>
#include <thread>
#include <utility>

#include "graph/error.hpp"
#include "runtime/signals.hpp"
#include "tools/server/asked_model.hpp"
#include "tools/server/listener.hpp"
#include "tools/server/refusals.hpp"
#include "tools/server/training_record.hpp"

namespace weft {

extern const std::string_view page;  // page.html

namespace {

using nlohmann::json;
using Request = httplib::Request;
using Response = httplib::Response;
using Handled = httplib::Server::HandlerResponse;

void answer(Response& response, const json& body) {
  // Names that are no UTF-8 must not end the program.
  response.set_content(body.dump(-1, ' ', false, json::error_handler_t::replace),
                       "application/json");
}

void answer_refusal(Response& response, int status, std::string_view what) {
  response.status = status;
  answer(response, {{"error", what}});
}

void answer_page(Response& response) {
  std::random_device random;
  const std::string nonce =
      fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
  std::string text(page);
  constexpr std::string_view mark = "NONCE";
  for (auto at = text.find(mark); at != text.npos; at = text.find(mark, at)) {
    text.replace(at, mark.size(), nonce);
  }
  response.set_header("Content-Security-Policy",
                      fmt::format("default-src 'none'; style-src 'nonce-{0}'; script-src "
                                  "'nonce-{0}'; img-src 'self'; connect-src 'self'; base-uri "
                                  "'none'; form-action 'none'; frame-ancestors 'none'",
                                  nonce));
  response.set_content(text, "text/html; charset=utf-8");
}

}  // namespace

struct Server::Impl {
  explicit Impl(ServerOptions given) : options(std::move(given)) {}

  // What is answered.

  AskedModel& model() const {
    if (asked == nullptr) refuse(404, "no model is asked here: this page shows training");
    return *asked;
  }

  void answer_prediction(const Request& request, Response& response) const {
    AskedModel& model = this->model();
    expect_own_page(request);
    answer(response, model.answer(request.body));
  }

  void answer_history(const Request& request, Response& response) {
    const auto [etag, text] =
        record.answer(request.get_param_value("page"), request.get_header_value("If-None-Match"));
    response.set_header("ETag", etag);
    if (text.empty()) {
      response.status = 304;
    } else {
      response.set_content(text, "application/json");
    }
  }

  void answer_drawing(Response& response) const {
    const std::string svg = asked != nullptr ? asked->drawing() : record.drawing();
    if (svg.empty()) refuse(404, "there is no drawing: Graphviz' program dot makes it");
    response.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    response.set_content(svg, "image/svg+xml");
  }

  struct Route {
    const char* method;
    httplib::Server::Handler answer;
  };
  using R = const Request&;
  const std::map<std::string, Route> routes{
      {"/", {"GET", [](R, Response& to) { answer_page(to); }}},
      {"/model.json", {"GET", [this](R, Response& to) { answer(to, model().description()); }}},
      {"/predict", {"POST", [this](R request, Response& to) { answer_prediction(request, to); }}},
      {"/history.json", {"GET", [this](R request, Response& to) { answer_history(request, to); }}},
      {"/graph.svg", {"GET", [this](R, Response& to) { answer_drawing(to); }}},
      {"/favicon.ico", {"GET", [](R, Response& to) { to.status = 204; }}}};

  void expect_route(const Request& request, Response& response) const {
    const auto route = routes.find(request.path);
    if (route == routes.end()) refuse(404, "there is nothing at {}", request.path);
    const std::string right = route->second.method;
    if (request.method == right || (request.method == "HEAD" && right == "GET")) return;
    response.set_header("Allow", right == "GET" ? "GET, HEAD" : right);
    refuse(405, "{} takes {}, not {}", request.path, right, request.method);
  }

  // Listening.

  std::string url() const {
    const bool v6 = options.host.find(':') != std::string::npos;
    const std::string host = v6 ? "[" + options.host + "]" : options.host;
    return fmt::format("http://{}:{}/", host, port.load());
  }

  std::size_t body_limit() const {
    constexpr std::size_t least = 1 << 20, bytes_of_pixel = 8;
    if (asked == nullptr) return least;
    return std::max(least, bytes_of_pixel * static_cast<std::size_t>(asked->pixels()));
  }

  /// Does what stands before the body rule out an answer? The response then says so.
  bool is_refused(const Request& request, Response& response) const {
    try {
      expect_clear_head(request);
      expect_own_host(request, options.host, url());
      expect_route(request, response);
      expect_plain_body(request, body_limit());
      return false;
    } catch (const Refusal& refusal) {
      answer_refusal(response, refusal.status, refusal.what());
      return true;
    }
  }

  void set_answers() {
    http->set_default_headers({{"X-Content-Type-Options", "nosniff"},
                               {"Referrer-Policy", "no-referrer"},
                               {"Cross-Origin-Resource-Policy", "same-origin"},
                               {"Cache-Control", "no-cache"}});
    // Before a body is read, and before a client that waits for a "100 Continue" sends one.
    http->set_pre_routing_handler([this](const Request& request, Response& response) {
      return is_refused(request, response) ? Handled::Handled : Handled::Unhandled;
    });
    http->set_expect_100_continue_handler([this](const Request& request, Response& response) {
      return is_refused(request, response) ? response.status : 100;
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
    // What httplib refuses by itself.
    http->set_error_handler([this](const Request&, Response& response) {
      if (!response.body.empty()) return;
      const std::string what = response.status == 413
                                   ? fmt::format("a body has at most {} bytes", body_limit())
                                   : "this is no request that can be answered";
      answer_refusal(response, response.status, what);
    });
    for (const auto& [path, route] : routes) {
      if (route.method == std::string_view("POST")) {
        http->Post(path, route.answer);
      } else {
        http->Get(path, route.answer);
      }
    }
  }

  void start() {
    if (listening.joinable()) fail<Error>("serve: {} is served already", url());
    http = std::make_unique<Listener>();
    http->set_payload_max_length(body_limit());
    set_answers();
    // A system without /etc/hosts may not know the name.
    const std::string address = options.host == "localhost" ? "127.0.0.1" : options.host;
    const bool is_any = options.port == 0;
    const int bound = is_any ? http->bind_to_any_port(address)
                             : (http->bind_to_port(address, options.port) ? options.port : -1);
    if (bound <= 0) {
      fail<IoError>("serve: cannot listen at {}, port {}: it is taken, or not this machine's",
                    options.host, options.port);
    }
    port = bound;
    http->lengthen_queue();
    {
      const SignalsBlocked blocked;  // its threads inherit it
      listening = std::thread([this] { http->listen_after_bind(); });
    }
    while (!http->is_running()) std::this_thread::yield();  // stop() would not stop it before
  }

  void stop() {
    if (!listening.joinable()) return;
    record.wait_until_heard();
    http->stop();
    listening.join();
    http.reset();
  }

  const ServerOptions options;
  std::unique_ptr<AskedModel> asked;  // none: the page shows training
  TrainingRecord record;
  std::unique_ptr<Listener> http;
  std::thread listening;
  std::atomic<int> port = 0;
};

Server::Server(ServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Server::Server(nn::Model model, ServerOptions options) : Server(std::move(options)) {
  impl_->asked =
      std::make_unique<AskedModel>(std::move(model), impl_->options.scale, impl_->options.classes);
}

Server::~Server() { stop(); }

void Server::start() { impl_->start(); }
void Server::stop() { impl_->stop(); }
int Server::port() const { return impl_->port; }
std::string Server::url() const { return impl_->url(); }

void Server::publish(int epoch, const nn::Logs& logs) { impl_->record.publish(epoch, logs); }
void Server::progress(int epoch, std::int64_t batch, const nn::Logs& logs) {
  impl_->record.progress(epoch, batch, logs);
}
void Server::finish() { impl_->record.finish(); }
void Server::set_drawing(std::string svg) { impl_->record.set_drawing(std::move(svg)); }
bool Server::has_drawing() const { return !impl_->record.drawing().empty(); }

}  // namespace weft
