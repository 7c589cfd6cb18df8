#include "tools/server/refusals.hpp"

#include <algorithm>
#include <charconv>

namespace weft {
namespace {

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

/// Names of hosts and media types have no case.
bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t";
  const auto first = text.find_first_not_of(blanks);
  if (first == text.npos) return "";
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool are_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

/// A token of HTTP, which has no blanks: "Host :" is not "Host:", and may be for somebody else.
bool is_header_name(std::string_view name) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [&](char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || are_digits({&c, 1}) ||
           marks.find(c) != marks.npos;
  });
}

/// The value of a header that may be there once; "" if it is not there.
std::string single(const httplib::Request& request, const char* name) {
  if (request.get_header_value_count(name) > 1) {
    refuse(400, "there is more than one {} header", name);
  }
  return std::string(trimmed(request.get_header_value(name)));
}

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
  if (same(name, "localhost") || name == "127.0.0.1" || name == "[::1]") return true;
  if (same(name, host) || same(name, fmt::format("[{}]", host))) return true;
  // Another site's name may be made to lead here, an address not.
  const bool is_anywhere = host == "0.0.0.0" || host == "::";
  return is_anywhere && is_address(name);
}

}  // namespace

void expect_clear_head(const httplib::Request& request) {
  for (const auto& [name, value] : request.headers) {
    if (!is_header_name(name)) refuse(400, "\"{}\" is no name of a header", name);
  }
  const std::string length = single(request, "Content-Length");
  const std::string encoding = single(request, "Transfer-Encoding");
  const bool has_length = request.has_header("Content-Length");
  if (has_length && request.has_header("Transfer-Encoding")) {
    refuse(400, "a body has either Content-Length or Transfer-Encoding, not both");
  }
  if (has_length && !are_digits(length)) {
    refuse(400, "Content-Length is \"{}\"; it must be a number of bytes", length);
  }
}

void expect_own_host(const httplib::Request& request, std::string_view host, std::string_view url) {
  if (request.get_header_value_count("Host") != 1) refuse(400, "there must be one Host header");
  const std::string asked = single(request, "Host");
  if (!is_own(without_port(asked), host)) {
    refuse(403, "\"{}\" is not this server's name; it is {}", asked, url);
  }
}

void expect_plain_body(const httplib::Request& request, std::size_t limit) {
  const bool is_endless = request.method == "POST" && !request.has_header("Content-Length");
  if (is_endless || request.has_header("Transfer-Encoding")) {
    refuse(411, "the length of the body must be given by Content-Length");
  }
  if (const std::string length = single(request, "Content-Length"); !length.empty()) {
    std::size_t bytes = 0;
    const auto read = std::from_chars(length.data(), length.data() + length.size(), bytes);
    if (read.ec != std::errc() || bytes > limit) {
      refuse(413, "the body has {} bytes; it may have at most {} bytes", length, limit);
    }
  }
  if (request.has_header("Content-Encoding")) refuse(415, "the body must not be compressed");
}

void expect_own_page(const httplib::Request& request) {
  const std::string origin = single(request, "Origin");
  if (request.has_header("Origin") && !same(origin, "http://" + single(request, "Host"))) {
    refuse(403, "pages of {} may not ask here", origin);
  }
  const std::string type = single(request, "Content-Type");
  if (!same(trimmed(std::string_view(type).substr(0, type.find(';'))), "application/json")) {
    refuse(415, "the body must be application/json, not \"{}\"", type);
  }
}

}  // namespace weft
