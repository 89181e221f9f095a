// Load on an HTTP server: POST over HTTP/1.1 with connections that are kept; bodies as they are.

#include <netdb.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "load.h"

namespace {

// One connection; opened again when the server has closed it.
class Connection : public load::Caller {
 public:
  Connection(const load::Options& options, const std::vector<std::string>& requests)
      : options_(options), requests_(requests) {}
  ~Connection() override { shut(); }

  bool ask(size_t number) override {
    if (socket_ < 0 && !connect()) return false;
    if (!send_all(requests_[number % requests_.size()]) || !receive()) {
      shut();
      return false;
    }
    return status_ == 200;
  }

 private:
  bool connect() {
    auto colon = options_.address.rfind(':');
    std::string host = options_.address.substr(0, colon), port = options_.address.substr(colon + 1);
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found)) return false;
    socket_ = ::socket(found->ai_family, SOCK_STREAM, 0);
    int one = 1;
    timeval limit{static_cast<time_t>(options_.timeout), 0};
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    bool is_open = ::connect(socket_, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (!is_open) shut();
    return is_open;
  }

  void shut() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
    buffer_.clear();
  }

  bool send_all(const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      ssize_t count = send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return false;
      sent += count;
    }
    return true;
  }

  bool more() {
    char piece[65536];
    ssize_t count = recv(socket_, piece, sizeof piece, 0);
    if (count > 0) buffer_.append(piece, count);
    return count > 0;
  }

  // Take a line (without its end) from the buffer.
  bool line(std::string& found) {
    size_t end;
    while ((end = buffer_.find("\r\n")) == std::string::npos)
      if (!more()) return false;
    found = buffer_.substr(0, end);
    buffer_.erase(0, end + 2);
    return true;
  }

  bool skip(size_t count) {
    while (buffer_.size() < count)
      if (!more()) return false;
    body_.append(buffer_, 0, count);
    buffer_.erase(0, count);
    return true;
  }

  bool skip_chunks() {
    std::string text;
    while (line(text)) {
      size_t count = std::strtoul(text.c_str(), nullptr, 16);
      if (!skip(count) || !line(text)) return false;
      if (count == 0) return true;
    }
    return false;
  }

  bool receive() {
    std::string text;
    size_t length = 0;
    bool is_chunked = false, is_closing = false;
    body_.clear();
    if (!line(text) || text.size() < 12) return false;
    status_ = std::atoi(text.c_str() + 9);
    while (line(text) && !text.empty()) {
      if (!strncasecmp(text.c_str(), "content-length:", 15)) length = std::atol(text.c_str() + 15);
      if (!strncasecmp(text.c_str(), "transfer-encoding: chunked", 26)) is_chunked = true;
      if (!strncasecmp(text.c_str(), "connection: close", 17)) is_closing = true;
    }
    bool is_whole = is_chunked ? skip_chunks() : skip(length);
    if (status_ != 200) complain_once();
    if (is_closing) shut();
    return is_whole;
  }

  void complain_once() {
    static std::once_flag told;
    std::call_once(told, [&] {
      fprintf(stderr, "first error: %d %s\n", status_, body_.substr(0, 400).c_str());
    });
  }

  const load::Options& options_;
  const std::vector<std::string>& requests_;
  int socket_ = -1;
  int status_ = 0;
  std::string buffer_, body_;
};

class Http : public load::Transport {
 public:
  explicit Http(const load::Options& options) : options_(options) {
    std::string head = "POST " + options.method + " HTTP/1.1\r\nHost: " + options.address +
                       "\r\nContent-Type: " + options.type + "\r\n";
    for (const auto& header : options.headers) head += header + "\r\n";
    const auto& folder = options.frames.empty() ? options.requests : options.frames;
    for (const auto& body : load::read_folder(folder))
      requests_.push_back(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                          body);
  }
  std::unique_ptr<load::Caller> open(int) override {
    return std::make_unique<Connection>(options_, requests_);
  }

 private:
  const load::Options& options_;
  std::vector<std::string> requests_;
};

}  // namespace

int main(int argc, char** argv) {
  load::Options options = load::parse(argc, argv);
  Http transport(options);
  return load::run(options, transport);
}
