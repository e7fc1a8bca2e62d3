// The options of -netdev user, checked and with their defaults filled in.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/key_values.h"
#include "io/result.h"

namespace hv {

// Addresses are in network order, ports in the host's.
struct UserNetOptions {
  struct HostForward {
    std::string text;  // as given, for messages
    bool udp = false;
    in_addr host_address{};   // 0: all
    uint16_t host_port = 0;   // 0: any free one
    in_addr guest_address{};  // 0: the first that DHCP gives
    uint16_t guest_port = 0;
  };
  struct GuestForward {
    std::string text;
    in_addr address{};
    uint16_t port = 0;
    std::string command;  // run for each connection; or
    std::string chardev;  // id of where the one connection goes
  };

  bool ipv4 = true, ipv6 = true;
  bool restricted = false;
  in_addr network{}, mask{}, host{}, dhcp_start{}, dns{};
  in6_addr prefix6{}, host6{}, dns6{};
  uint8_t prefix_length = 64;
  std::string hostname, domainname, tftp, bootfile, tftp_server_name;
  std::vector<std::string> dns_search;
  std::vector<HostForward> host_forwards;
  std::vector<GuestForward> guest_forwards;
};

// Takes all keys but `type` and `id`. Fails with one line that names the key. Any thread.
Result<UserNetOptions> take_user_options(KeyValues& options);

// The parts of "[tcp]:ADDRESS:PORT-DEV": what DEV is, for who makes a chardev of it.
struct GuestForwardTarget {
  size_t begin;  // of DEV in the text
  bool is_command;
  bool is_chardev_id;
};
std::optional<GuestForwardTarget> find_guest_forward_target(const std::string& text);

}  // namespace hv
