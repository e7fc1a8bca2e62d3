// -netdev socket, stream and dgram: from keys to sockets.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "net/dgram_endpoint.h"
#include "net/netdev_types.h"
#include "net/stream_endpoint.h"

namespace hv {

namespace {

// The addresses of the host's that "HOST:PORT" names, for datagrams.
struct InetAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  bool multicast() const {
    return family() == AF_INET &&
           IN_MULTICAST(ntohl(reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr.s_addr));
  }
};

Result<uint16_t> parse_port(std::string_view text) {
  const auto port = parse_number(text);
  if (!port || *port > UINT16_MAX) return fail("port {}: it is a number up to 65535", text);
  return static_cast<uint16_t>(*port);
}

Result<InetAddress> resolve(const std::string& host, const std::string& port, int family) {
  HV_TRY(parse_port(port));
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICSERV | (host.empty() ? AI_PASSIVE : 0);
  addrinfo* list = nullptr;
  const int error = getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &list);
  if (error != 0) return fail("{}: {}", host, gai_strerror(error));
  InetAddress address;
  std::memcpy(&address.storage, list->ai_addr, list->ai_addrlen);
  address.length = list->ai_addrlen;
  freeaddrinfo(list);
  return address;
}

Result<std::pair<std::string, std::string>> split_host_port(std::string_view key,
                                                            const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return fail("{}={}: the form is HOST:PORT", key, text);
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return std::pair{std::move(host), text.substr(colon + 1)};
}

Result<UniqueFd> adopt_net_socket(std::string_view key, const std::string& text, int& type) {
  HV_TRY_ASSIGN(UniqueFd fd, adopt_socket(key, text));
  socklen_t length = sizeof type;
  if (getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &length) != 0)
    return fail_errno(errno, "{}={}", key, text);
  if (type != SOCK_STREAM && type != SOCK_DGRAM)
    return fail("{}={}: it is neither a stream nor a datagram socket", key, text);
  return fd;
}

// --- streams

EndpointResult make_stream(std::string name, SocketAddress address, bool server,
                           int64_t reconnect_ns) {
  SocketPeers::Options peers{.reconnect_ns = reconnect_ns, .nodelay = true};
  if (server) {
    HV_TRY_ASSIGN(peers.listener, address.listen());
  } else {
    auto peer = address.connect();
    if (!peer && reconnect_ns == 0) return std::unexpected(peer.error());
    if (peer) peers.first = std::move(*peer);
  }
  peers.address = std::move(address);
  return std::make_unique<StreamEndpoint>(std::move(name), std::move(peers));
}

EndpointResult adopt_stream(std::string name, std::string_view key, UniqueFd fd, bool server) {
  HV_TRY(check_listening(key, fd, server));
  SocketPeers::Options peers{.nodelay = true};
  (server ? peers.listener : peers.first) = std::move(fd);
  return std::make_unique<StreamEndpoint>(std::move(name), std::move(peers));
}

// --- datagrams

Result<UniqueFd> datagram_socket(int family) {
  UniqueFd fd(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno(errno, "cannot create a socket");
  return fd;
}

EndpointResult make_multicast(const InetAddress& group, const std::string& local) {
  ip_mreq membership{};
  membership.imr_multiaddr = reinterpret_cast<const sockaddr_in*>(&group.storage)->sin_addr;
  if (!local.empty() && inet_pton(AF_INET, local.c_str(), &membership.imr_interface) != 1)
    return fail("local address {}: it is not an IPv4 address", local);
  DgramEndpoint::Options options;
  HV_TRY_ASSIGN(options.socket, datagram_socket(AF_INET));
  const int fd = options.socket.get();
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, group.get(), group.length) != 0)
    return fail_errno(errno, "cannot use the multicast address");
  if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership) != 0)
    return fail_errno(errno, "cannot join the multicast group");
  setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &one, sizeof one);  // guests on this host
  if (!local.empty())
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &membership.imr_interface,
               sizeof membership.imr_interface);
  options.to = group.storage;
  options.to_length = group.length;
  return std::make_unique<DgramEndpoint>(std::move(options));
}

EndpointResult make_udp(const InetAddress& local, const InetAddress& remote) {
  DgramEndpoint::Options options;
  HV_TRY_ASSIGN(options.socket, datagram_socket(remote.family()));
  const int one = 1;
  setsockopt(options.socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(options.socket.get(), local.get(), local.length) != 0)
    return fail_errno(errno, "cannot use the local address");
  options.to = remote.storage;
  options.to_length = remote.length;
  return std::make_unique<DgramEndpoint>(std::move(options));
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return fail("path={}: a socket's path has 1 to {} bytes", path, sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

EndpointResult make_unix_dgram(const std::string& local, const std::string& remote) {
  HV_TRY_ASSIGN(const sockaddr_un own, unix_address(local));
  HV_TRY_ASSIGN(const sockaddr_un other, unix_address(remote));
  DgramEndpoint::Options options{.remove_path = local};
  HV_TRY_ASSIGN(options.socket, datagram_socket(AF_UNIX));
  unlink(local.c_str());  // QEMU does, too: nobody can tell a dead one from one in use
  if (bind(options.socket.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0)
    return fail_errno(errno, "local.path={}", local);
  std::memcpy(&options.to, &other, sizeof other);
  options.to_length = sizeof other;
  return std::make_unique<DgramEndpoint>(std::move(options));
}

std::string option_name(std::string_view type) {
  return fmt::format("-netdev {}", type);
}

}  // namespace

EndpointResult create_stream_net(const NetdevContext&, KeyValues& options) {
  HV_TRY_ASSIGN(const auto server_given, options.take_bool("server"));
  const bool server = server_given.value_or(false);
  HV_TRY_ASSIGN(const int64_t reconnect_ns, take_reconnect_ns(options));
  if (server && reconnect_ns > 0) return fail("reconnect is for server=off");
  const std::string type = options.take("addr.type").value_or("");
  const auto take = [&](std::string_view key) { return options.take(key).value_or(""); };
  if (type == "unix") {
    const std::string path = take("addr.path");
    HV_TRY(options.expect_empty("server, reconnect-ms, addr.type, addr.path"));
    HV_TRY_ASSIGN(auto address, SocketAddress::unix_path(path));
    return make_stream(option_name("stream"), std::move(address), server, reconnect_ns);
  }
  if (type == "inet") {
    const std::string host = take("addr.host"), port_text = take("addr.port");
    HV_TRY(options.expect_empty("server, reconnect-ms, addr.type, addr.host, addr.port"));
    HV_TRY_ASSIGN(const uint16_t port, parse_port(port_text));
    HV_TRY_ASSIGN(auto address, SocketAddress::tcp(host, port, server));
    return make_stream(option_name("stream"), std::move(address), server, reconnect_ns);
  }
  if (type == "fd") {
    if (reconnect_ns > 0) return fail("reconnect needs addr.type=unix or inet");
    int socket_type = 0;
    HV_TRY_ASSIGN(auto fd, adopt_net_socket("addr.str", take("addr.str"), socket_type));
    HV_TRY(options.expect_empty("server, addr.type, addr.str"));
    if (socket_type != SOCK_STREAM) return fail("addr.str: it is not a stream socket");
    return adopt_stream(option_name("stream"), "addr.str", std::move(fd), server);
  }
  return fail("addr.type={}: use unix, inet or fd", type);
}

EndpointResult create_dgram_net(const NetdevContext&, KeyValues& options) {
  const auto take = [&](std::string_view key) { return options.take(key).value_or(""); };
  const std::string local = take("local.type"), remote = take("remote.type");
  if (local == "fd" && remote.empty()) {
    int type = 0;
    HV_TRY_ASSIGN(auto fd, adopt_net_socket("local.str", take("local.str"), type));
    HV_TRY(options.expect_empty("local.type, local.str"));
    if (type != SOCK_DGRAM) return fail("local.str: it is not a datagram socket");
    return std::make_unique<DgramEndpoint>(DgramEndpoint::Options{.socket = std::move(fd)});
  }
  if (local == "unix" && remote == "unix") {
    const std::string own = take("local.path"), other = take("remote.path");
    HV_TRY(options.expect_empty("local.type, local.path, remote.type, remote.path"));
    return make_unix_dgram(own, other);
  }
  if (remote == "inet" && (local == "inet" || local.empty())) {
    const std::string host = take("remote.host"), port = take("remote.port");
    const std::string own_host = take("local.host"), own_port = take("local.port");
    HV_TRY(options.expect_empty(
        "local.type, local.host, local.port, remote.type, remote.host, remote.port"));
    HV_TRY_ASSIGN(const auto to, resolve(host, port, AF_UNSPEC));
    if (to.multicast()) return make_multicast(to, own_host);
    if (local.empty()) return fail("local.type= is missing: remote.host={} is not multicast", host);
    HV_TRY_ASSIGN(const auto own, resolve(own_host, own_port, to.family()));
    return make_udp(own, to);
  }
  return fail(
      "local.type={} with remote.type={}: use inet with inet, unix with unix, fd alone, or a "
      "multicast remote.type=inet alone",
      local, remote);
}

EndpointResult create_socket_net(const NetdevContext&, KeyValues& options) {
  const auto fd = options.take("fd"), listen = options.take("listen"),
             connect = options.take("connect"), mcast = options.take("mcast"),
             udp = options.take("udp"), local = options.take("localaddr");
  HV_TRY(options.expect_empty("fd, listen, connect, mcast, udp, localaddr"));
  const std::optional<std::string>* ways[] = {&fd, &listen, &connect, &mcast, &udp};
  if (std::ranges::count_if(ways, [](const auto* way) { return way->has_value(); }) != 1)
    return fail("one of fd=, listen=, connect=, mcast= and udp= says what to connect");
  if (local && !mcast && !udp) return fail("localaddr is for mcast and udp");
  if (fd) {
    int type = 0;
    HV_TRY_ASSIGN(auto socket, adopt_net_socket("fd", *fd, type));
    if (type == SOCK_STREAM)
      return adopt_stream(option_name("socket"), "fd", std::move(socket), false);
    return std::make_unique<DgramEndpoint>(DgramEndpoint::Options{.socket = std::move(socket)});
  }
  if (listen || connect) {
    const bool server = listen.has_value();
    HV_TRY_ASSIGN(const auto where,
                  split_host_port(server ? "listen" : "connect", server ? *listen : *connect));
    HV_TRY_ASSIGN(const uint16_t port, parse_port(where.second));
    HV_TRY_ASSIGN(auto address, SocketAddress::tcp(where.first, port, server));
    return make_stream(option_name("socket"), std::move(address), server, 0);
  }
  HV_TRY_ASSIGN(const auto where, split_host_port(mcast ? "mcast" : "udp", mcast ? *mcast : *udp));
  HV_TRY_ASSIGN(const auto to, resolve(where.first, where.second, mcast ? AF_INET : AF_UNSPEC));
  if (mcast) {
    if (!to.multicast()) return fail("mcast={}: it is not a multicast address", *mcast);
    return make_multicast(to, local.value_or(""));
  }
  if (!local) return fail("udp={}: localaddr=HOST:PORT is missing", *udp);
  HV_TRY_ASSIGN(const auto own_text, split_host_port("localaddr", *local));
  HV_TRY_ASSIGN(const auto own, resolve(own_text.first, own_text.second, to.family()));
  return make_udp(own, to);
}

}  // namespace hv
