#include "tools/server/refusals.hpp"

namespace weft {
namespace {

/// Host without the port; "" if it is none.
std::string_view without_port(std::string_view host) {
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

bool is_own(std::string_view name, std::string_view host) {
  if (name == "localhost" || name == "127.0.0.1" || name == "[::1]") return true;
  if (name == host || name == fmt::format("[{}]", host)) return true;
  // Another site's name may be made to lead here, an address not.
  const bool is_anywhere = host == "0.0.0.0" || host == "::";
  return is_anywhere && is_address(name);
}

}  // namespace

void expect_own_host(const httplib::Request& request, std::string_view host, std::string_view url) {
  if (request.get_header_value_count("Host") != 1) refuse(400, "there must be one Host header");
  const std::string asked = request.get_header_value("Host");
  if (!is_own(without_port(asked), host)) {
    refuse(403, "\"{}\" is not this server's name; it is {}", asked, url);
  }
}

void expect_plain_body(const httplib::Request& request) {
  const bool is_endless = request.method == "POST" && !request.has_header("Content-Length");
  if (is_endless || request.has_header("Transfer-Encoding")) {
    refuse(411, "the length of the body must be given by Content-Length");
  }
  if (request.has_header("Content-Encoding")) refuse(415, "the body must not be compressed");
}

void expect_own_page(const httplib::Request& request) {
  const std::string origin = request.get_header_value("Origin");
  if (request.has_header("Origin") && origin != "http://" + request.get_header_value("Host")) {
    refuse(403, "pages of {} may not ask here", origin);
  }
  const std::string type = request.get_header_value("Content-Type");
  if (type.substr(0, type.find(';')) != "application/json") {
    refuse(415, "the body must be application/json, not \"{}\"", type);
  }
}

}  // namespace weft
