// A unix or tcp socket, as server or client, or one inherited as a descriptor.
#include <poll.h>
#include <sys/socket.h>

#include <cstdio>
#include <optional>

#include "main-loop/char_backends.h"
#include "main-loop/char_stream.h"
#include "main-loop/socket_address.h"
#include "main-loop/socket_peers.h"

namespace hv {
namespace {

class SocketChar final : public CharStream {
 public:
  SocketChar(const CharContext& context, SocketPeers::Options peers)
      : CharStream(context.loop, context.escapes), peers_(std::move(peers)) {
    loop().run_on_loop(
        [this] { peers_.attach(loop(), [this](UniqueFd peer) { open_stream(std::move(peer)); }); });
  }
  ~SocketChar() override {
    stop([this] { peers_.detach(); });
  }

 private:
  void on_end(int error) override {
    CharStream::on_end(error);
    peers_.lost();
  }

  SocketPeers peers_;
};

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

}  // namespace

CharResult create_socket(const CharContext& context, KeyValues& options) {
  HV_TRY_ASSIGN(const auto server_given, options.take_bool("server"));
  HV_TRY_ASSIGN(const auto wait, options.take_bool("wait"));
  HV_TRY_ASSIGN(const auto nodelay, options.take_bool("nodelay"));
  SocketPeers::Options peers;
  HV_TRY_ASSIGN(peers.reconnect_ns, take_reconnect_ns(options));
  const bool server = server_given.value_or(false);
  if (wait && !server) return fail("wait is for server=on");
  if (peers.reconnect_ns > 0 && server) return fail("reconnect is for server=off");
  HV_TRY_ASSIGN(peers.address, take_address(options, server));
  if (peers.reconnect_ns > 0 && !peers.address)
    return fail("reconnect needs path= or host=, not fd=");
  peers.nodelay = nodelay.value_or(false);
  if (nodelay && peers.address && !peers.address->is_tcp()) return fail("nodelay is for tcp");

  if (!peers.address) {
    HV_TRY_ASSIGN(auto socket, adopt_socket("fd", options.take("fd").value_or("")));
    HV_TRY(check_listening("fd", socket, server));
    (server ? peers.listener : peers.first) = std::move(socket);
  } else if (server) {
    HV_TRY_ASSIGN(peers.listener, peers.address->listen());
  } else if (peers.reconnect_ns == 0) {
    HV_TRY_ASSIGN(peers.first, peers.address->connect());
  }
  if (server && wait.value_or(true)) {
    const std::string where = peers.address ? peers.address->text() : std::string("fd");
    auto waited = wait_for_peer(peers.listener, where);
    if (!waited) {
      const SocketPeers unused(std::move(peers));  // removes the socket file
      return std::unexpected(waited.error());
    }
    peers.first = std::move(*waited);
  }
  return std::make_unique<SocketChar>(context, std::move(peers));
}

}  // namespace hv
