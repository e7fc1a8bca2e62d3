// A unix or tcp socket, as server or client, or one inherited as a descriptor.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "main-loop/char_backends.h"
#include "main-loop/char_stream.h"
#include "main-loop/socket_address.h"

namespace hv {
namespace {

struct SocketOptions {
  std::optional<SocketAddress> address;  // not for an inherited descriptor
  bool nodelay = false;
  int64_t reconnect_ns = 0;  // client: 0 never
};

void remove_path(const SocketOptions& options) {
  if (options.address && !options.address->is_tcp()) unlink(options.address->path().c_str());
}

// What the socket does while there is no peer: a server listens (until the process ends, one peer
// at a time), a client with reconnect tries again, one without stays closed.
//
//   server: listening -> open -> listening
//   client: connecting -> open -> pause -> connecting; a failed attempt leads to pause
class SocketChar final : public CharStream {
 public:
  SocketChar(const CharContext& context, SocketOptions options)
      : CharStream(context.loop, context.escapes), options_(std::move(options)) {}
  ~SocketChar() override;

  // Any thread. `listener` for a server, `peer` if there is one already.
  void start(UniqueFd listener, UniqueFd peer);

 private:
  void open_peer(UniqueFd peer);
  void on_end(int error) override;
  void await_peer();
  void accept_peer();
  void connect_next();
  void finish_connect();
  void pause();

  const SocketOptions options_;
  UniqueFd listener_;
  std::unique_ptr<FdWatch> listener_watch_;
  size_t next_address_ = 0;  // which of the name's addresses to try next
  UniqueFd connecting_;
  std::unique_ptr<FdWatch> connecting_watch_;
  std::unique_ptr<Timer> timer_;
};

SocketChar::~SocketChar() {
  stop([this] {
    timer_.reset();
    connecting_watch_.reset();
    listener_watch_.reset();
  });
  if (listener_.valid()) remove_path(options_);
}

void SocketChar::start(UniqueFd listener, UniqueFd peer) {
  loop().run_on_loop([&] {
    listener_ = std::move(listener);
    if (listener_.valid())
      listener_watch_ = loop().watch_fd(listener_.get(), 0, [this](uint32_t) { accept_peer(); });
    if (options_.reconnect_ns > 0) timer_ = loop().make_timer([this] { await_peer(); });
    if (peer.valid())
      open_peer(std::move(peer));
    else
      await_peer();
  });
}

void SocketChar::open_peer(UniqueFd peer) {
  if (options_.nodelay) {
    const int one = 1;
    setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  if (listener_watch_) listener_watch_->set_events(0);
  open_stream(std::move(peer));
}

void SocketChar::on_end(int error) {
  CharStream::on_end(error);
  if (listener_.valid())
    await_peer();
  else
    pause();
}

void SocketChar::await_peer() {
  if (listener_watch_) {
    listener_watch_->set_events(EPOLLIN);
  } else if (timer_) {
    next_address_ = 0;
    connect_next();
  }
}

void SocketChar::accept_peer() {
  UniqueFd peer(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (peer.valid()) open_peer(std::move(peer));
}

void SocketChar::connect_next() {
  while (next_address_ < options_.address->count()) {
    connecting_ = options_.address->start_connect(next_address_++);
    if (!connecting_.valid()) continue;
    connecting_watch_ =
        loop().watch_fd(connecting_.get(), EPOLLOUT, [this](uint32_t) { finish_connect(); });
    return;
  }
  pause();
}

void SocketChar::finish_connect() {
  connecting_watch_.reset();
  UniqueFd peer = std::move(connecting_);
  if (connect_error(peer.get()) == 0)
    open_peer(std::move(peer));
  else
    connect_next();
}

void SocketChar::pause() {
  if (timer_) timer_->arm_in(options_.reconnect_ns);
}

Result<uint16_t> take_port(KeyValues& options) {
  const std::string text = options.take("port").value_or("");
  if (text.empty()) return fail("port= is missing");
  const auto port = parse_number(text);
  if (!port || *port > UINT16_MAX) return fail("port={}: it must be a number up to 65535", text);
  return static_cast<uint16_t>(*port);
}

Result<std::optional<SocketAddress>> take_address(KeyValues& options, bool server) {
  const auto path = options.take("path");
  const auto host = options.take("host");
  const bool has_port = options.get("port").has_value();
  const bool has_fd = options.get("fd").has_value();
  if (int{path.has_value()} + int{host.has_value() || has_port} + int{has_fd} != 1)
    return fail("one of path=, host= with port=, and fd= says what to connect");
  if (has_fd) return std::nullopt;
  if (path) {
    if (path->empty()) return fail("path= is empty");
    return SocketAddress::unix_path(*path);
  }
  HV_TRY_ASSIGN(const uint16_t port, take_port(options));
  return SocketAddress::tcp(host.value_or(""), port, server);
}

// fd=N: a connected or, with server=on, a listening stream socket that the parent left open.
Result<UniqueFd> take_inherited(KeyValues& options, bool server) {
  const std::string text = options.take("fd").value_or("");
  const auto number = parse_number(text);
  if (!number || *number > INT32_MAX) return fail("fd={}: it must be a number", text);
  const int fd = static_cast<int>(*number);
  struct stat info{};
  if (fstat(fd, &info) != 0) return fail_errno(errno, "fd={}", fd);
  // Our own descriptors close on exec, and so does one that an earlier option has taken.
  if (fcntl(fd, F_GETFD) & FD_CLOEXEC)
    return fail("fd={}: it was not handed to this process, or something else uses it already", fd);
  if (!S_ISSOCK(info.st_mode)) return fail("fd={}: it must be a socket", fd);
  int listening = 0;
  socklen_t length = sizeof listening;
  getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
  if (server != (listening != 0))
    return fail("fd={}: the socket is {}listening, so server={} is needed", fd,
                listening ? "" : "not ", listening ? "on" : "off");
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return UniqueFd(fd);
}

Result<UniqueFd> wait_for_peer(const UniqueFd& listener, std::string text) {
  const size_t port_at = text.rfind(':');
  if (text.starts_with("tcp:"))
    text = text.substr(0, port_at + 1) + std::to_string(local_port(listener.get()));
  std::fprintf(stderr, "hartvisor: info: waiting for connection on: disconnected:%s,server=on\n",
               text.c_str());
  for (;;) {
    HV_TRY(wait_ready(listener.get(), POLLIN));
    UniqueFd peer(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (peer.valid()) return peer;
  }
}

Result<UniqueFd> connect_now(const SocketAddress& address) {
  int error = 0;
  for (size_t i = 0; i < address.count(); i++) {
    UniqueFd peer = address.start_connect(i);
    error = errno;
    if (!peer.valid()) continue;
    HV_TRY(wait_ready(peer.get(), POLLOUT));
    error = connect_error(peer.get());
    if (error == 0) return peer;
  }
  return fail_errno(error, "cannot connect to {}", address.text());
}

// Seconds or milliseconds; 0 is never.
Result<int64_t> take_reconnect_ns(KeyValues& options) {
  HV_TRY_ASSIGN(const auto seconds, options.take_number("reconnect"));
  HV_TRY_ASSIGN(const auto ms, options.take_number("reconnect-ms"));
  if (seconds && ms) return fail("reconnect and reconnect-ms are two ways to say one thing");
  const uint64_t in_ms = ms ? *ms : seconds.value_or(0) * 1000;
  if (seconds.value_or(0) > UINT32_MAX || in_ms > uint64_t{UINT32_MAX} * 1000)
    return fail("reconnect={}: that is too long", seconds ? *seconds : *ms);
  return static_cast<int64_t>(in_ms) * 1'000'000;
}

}  // namespace

CharResult create_socket(const CharContext& context, KeyValues& options) {
  HV_TRY_ASSIGN(const auto server_given, options.take_bool("server"));
  HV_TRY_ASSIGN(const auto wait, options.take_bool("wait"));
  HV_TRY_ASSIGN(const auto nodelay, options.take_bool("nodelay"));
  SocketOptions settings;
  HV_TRY_ASSIGN(settings.reconnect_ns, take_reconnect_ns(options));
  const bool server = server_given.value_or(false);
  if (wait && !server) return fail("wait is for server=on");
  if (settings.reconnect_ns > 0 && server) return fail("reconnect is for server=off");
  HV_TRY_ASSIGN(settings.address, take_address(options, server));
  if (settings.reconnect_ns > 0 && !settings.address)
    return fail("reconnect needs path= or host=, not fd=");
  settings.nodelay = nodelay.value_or(false);
  if (nodelay && settings.address && !settings.address->is_tcp()) return fail("nodelay is for tcp");

  UniqueFd listener;
  UniqueFd peer;
  if (!settings.address) {
    HV_TRY_ASSIGN((server ? listener : peer), take_inherited(options, server));
  } else if (server) {
    HV_TRY_ASSIGN(listener, settings.address->listen());
  } else if (settings.reconnect_ns == 0) {
    HV_TRY_ASSIGN(peer, connect_now(*settings.address));
  }
  if (server && wait.value_or(true)) {
    auto waited =
        wait_for_peer(listener, settings.address ? settings.address->text() : std::string("fd"));
    if (!waited) {
      remove_path(settings);
      return std::unexpected(waited.error());
    }
    peer = std::move(*waited);
  }
  auto backend = std::make_unique<SocketChar>(context, std::move(settings));
  backend->start(std::move(listener), std::move(peer));
  return backend;
}

}  // namespace hv
