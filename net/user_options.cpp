#include "net/user_options.h"

#include <arpa/inet.h>

#include <algorithm>

namespace hv {

namespace {

constexpr std::string_view kKnown =
    "net, host, dhcpstart, dns, restrict, hostname, ipv4, ipv6, ipv6-net, ipv6-prefix, "
    "ipv6-prefixlen, ipv6-host, ipv6-dns, dnssearch, domainname, tftp, bootfile, "
    "tftp-server-name, hostfwd, guestfwd";

std::optional<in_addr> parse_ipv4(const std::string& text) {
  in_addr address{};
  if (inet_pton(AF_INET, text.c_str(), &address) != 1) return std::nullopt;
  return address;
}

in_addr from_host_order(uint32_t value) {
  return {htonl(value)};
}

// KEY and, from JSON, KEY.N and KEY.N.str.
std::vector<std::string> take_list(KeyValues& options, std::string_view key) {
  std::vector<std::string> values;
  std::vector<std::string> keys;
  for (const auto& [name, value] : options.items()) {
    if (name != key && !name.starts_with(std::string(key) + ".")) continue;
    values.push_back(value);
    keys.push_back(name);
  }
  for (const std::string& name : keys) options.take(name);
  return values;
}

Result<> take_ipv4(KeyValues& options, std::string_view key, in_addr& address) {
  const auto text = options.take(key);
  if (!text) return {};
  const auto parsed = parse_ipv4(*text);
  if (!parsed) return fail("{}={}: it is not an IPv4 address", key, *text);
  address = *parsed;
  return {};
}

Result<> take_ipv6(KeyValues& options, std::string_view key, in6_addr& address) {
  const auto text = options.take(key);
  if (text && inet_pton(AF_INET6, text->c_str(), &address) != 1)
    return fail("{}={}: it is not an IPv6 address", key, *text);
  return {};
}

// "ADDRESS", "ADDRESS/BITS" or "ADDRESS/MASK"; without a mask that of the address's class.
Result<> set_network(UserNetOptions& result, const std::string& text) {
  const size_t slash = text.find('/');
  const auto address = parse_ipv4(text.substr(0, slash));
  if (!address) return fail("net={}: it is not an IPv4 network such as 10.0.2.0/24", text);
  uint32_t mask = 0;
  const uint32_t first = ntohl(address->s_addr);
  if (slash == std::string::npos) {
    mask = !(first & 0x8000'0000)                ? 0xff00'0000
           : (first & 0xc000'0000) < 0xc000'0000 ? 0xffff'0000
                                                 : 0xffff'ff00;
  } else if (const auto bits = parse_number(text.substr(slash + 1))) {
    if (*bits < 4 || *bits > 30) return fail("net={}: the prefix has 4 to 30 bits", text);
    mask = ~0u << (32 - *bits);
  } else if (const auto given = parse_ipv4(text.substr(slash + 1))) {
    mask = ntohl(given->s_addr);
  } else {
    return fail("net={}: the mask is neither a number of bits nor an address", text);
  }
  const uint32_t network = first & mask;
  result.network = from_host_order(network);
  result.mask = from_host_order(mask);
  result.host = from_host_order(network | (0x0202 & ~mask));
  result.dns = from_host_order(network | (0x0203 & ~mask));
  result.dhcp_start = from_host_order(network | (0x020f & ~mask));
  return {};
}

Result<> take_addresses4(KeyValues& options, UserNetOptions& result) {
  HV_TRY(set_network(result, options.take("net").value_or("10.0.2.0/24")));
  HV_TRY(take_ipv4(options, "host", result.host));
  HV_TRY(take_ipv4(options, "dns", result.dns));
  HV_TRY(take_ipv4(options, "dhcpstart", result.dhcp_start));
  for (const auto& [key, address] :
       {std::pair{"host", result.host}, {"dns", result.dns}, {"dhcpstart", result.dhcp_start}})
    if ((address.s_addr & result.mask.s_addr) != result.network.s_addr)
      return fail("{}={}: it lies outside the network of net=", key, inet_ntoa(address));
  if (result.host.s_addr == result.dns.s_addr || result.dhcp_start.s_addr == result.host.s_addr ||
      result.dhcp_start.s_addr == result.dns.s_addr)
    return fail("host, dns and dhcpstart must be three different addresses");
  return {};
}

Result<> take_addresses6(KeyValues& options, UserNetOptions& result) {
  std::string prefix = options.take("ipv6-prefix").value_or("fec0::");
  std::string length = options.take("ipv6-prefixlen").value_or("64");
  if (const auto net = options.take("ipv6-net")) {
    const size_t slash = net->find('/');
    prefix = net->substr(0, slash);
    if (slash != std::string::npos) length = net->substr(slash + 1);
  }
  if (inet_pton(AF_INET6, prefix.c_str(), &result.prefix6) != 1)
    return fail("ipv6-net={}: it is not an IPv6 network such as fec0::/64", prefix);
  const auto bits = parse_number(length);
  if (!bits || *bits > 126) return fail("ipv6-prefixlen={}: it has 0 to 126 bits", length);
  result.prefix_length = static_cast<uint8_t>(*bits);
  result.host6 = result.dns6 = result.prefix6;
  result.host6.s6_addr[15] |= 2;
  result.dns6.s6_addr[15] |= 3;
  HV_TRY(take_ipv6(options, "ipv6-host", result.host6));
  HV_TRY(take_ipv6(options, "ipv6-dns", result.dns6));
  for (const auto& [key, address] :
       {std::pair{"ipv6-host", &result.host6}, {"ipv6-dns", &result.dns6}})
    for (unsigned bit = 0; bit < result.prefix_length; ++bit)
      if ((address->s6_addr[bit / 8] ^ result.prefix6.s6_addr[bit / 8]) & (0x80 >> bit % 8))
        return fail("{}: it lies outside the network of ipv6-net", key);
  if (IN6_ARE_ADDR_EQUAL(&result.host6, &result.dns6))
    return fail("ipv6-host and ipv6-dns must be different addresses");
  return {};
}

std::optional<uint16_t> parse_port(std::string_view text) {
  const auto port = parse_number(text);
  if (!port || *port > UINT16_MAX) return std::nullopt;
  return static_cast<uint16_t>(*port);
}

// Takes what stands before `separator` off the front of `text`.
std::optional<std::string> take_word(std::string_view& text, char separator) {
  const size_t at = text.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  std::string word(text.substr(0, at));
  text.remove_prefix(at + 1);
  return word;
}

Result<UserNetOptions::HostForward> parse_host_forward(const std::string& text) {
  UserNetOptions::HostForward forward{.text = text};
  std::string_view rest = text;
  const auto bad = [&](std::string_view why) {
    return fail(
        "hostfwd={}: {}; the form is [tcp|udp]:[HOSTADDRESS]:HOSTPORT-[GUESTADDRESS]:GUESTPORT",
        text, why);
  };
  const auto protocol = take_word(rest, ':');
  if (!protocol || (!protocol->empty() && *protocol != "tcp" && *protocol != "udp"))
    return bad("the protocol is tcp or udp");
  forward.udp = *protocol == "udp";
  const auto host_address = take_word(rest, ':');
  if (!host_address) return bad("the host's address is missing");
  if (!host_address->empty()) {
    const auto address = parse_ipv4(*host_address);
    if (!address) return bad("the host's address is not an IPv4 address");
    forward.host_address = *address;
  }
  const auto host_port = take_word(rest, '-');
  const auto port = host_port ? parse_port(*host_port) : std::nullopt;
  if (!port) return bad("the host's port is a number up to 65535");
  forward.host_port = *port;
  const auto guest_address = take_word(rest, ':');
  if (!guest_address) return bad("the guest's address is missing");
  if (!guest_address->empty()) {
    const auto address = parse_ipv4(*guest_address);
    if (!address) return bad("the guest's address is not an IPv4 address");
    forward.guest_address = *address;
  }
  const auto guest_port = parse_port(rest);
  if (!guest_port || *guest_port == 0) return bad("the guest's port is a number up to 65535");
  forward.guest_port = *guest_port;
  return forward;
}

Result<UserNetOptions::GuestForward> parse_guest_forward(const std::string& text) {
  UserNetOptions::GuestForward forward{.text = text};
  std::string_view rest = text;
  const auto bad = [&](std::string_view why) {
    return fail("guestfwd={}: {}; the form is [tcp]:ADDRESS:PORT-cmd:COMMAND or ...-CHARDEV", text,
                why);
  };
  const auto protocol = take_word(rest, ':');
  if (!protocol || (!protocol->empty() && *protocol != "tcp")) return bad("the protocol is tcp");
  const auto address = take_word(rest, ':');
  const auto parsed = address ? parse_ipv4(*address) : std::nullopt;
  if (!parsed) return bad("the address is not an IPv4 address");
  forward.address = *parsed;
  const auto port_text = take_word(rest, '-');
  const auto port = port_text ? parse_port(*port_text) : std::nullopt;
  if (!port || *port == 0) return bad("the port is a number from 1 to 65535");
  forward.port = *port;
  const auto target = find_guest_forward_target(text);
  if (!target || (!target->is_command && !target->is_chardev_id))
    return bad("the connection goes nowhere");
  const std::string to = text.substr(target->begin);
  (target->is_command ? forward.command : forward.chardev) = to.substr(to.find(':') + 1);
  return forward;
}

Result<> take_families(KeyValues& options, UserNetOptions& result) {
  HV_TRY_ASSIGN(const auto ipv4, options.take_bool("ipv4"));
  HV_TRY_ASSIGN(const auto ipv6, options.take_bool("ipv6"));
  // One family asked for alone is the only one, as in QEMU.
  result.ipv4 = ipv4.value_or(!ipv6.value_or(false));
  result.ipv6 = ipv6.value_or(!ipv4.value_or(false));
  if (!result.ipv4 && !result.ipv6) return fail("ipv4=off and ipv6=off leave nothing");
  return {};
}

}  // namespace

std::optional<GuestForwardTarget> find_guest_forward_target(const std::string& text) {
  size_t at = 0;
  for (int colons = 0; colons < 2; ++colons) {
    at = text.find(':', at);
    if (at == std::string::npos) return std::nullopt;
    ++at;
  }
  at = text.find('-', at);
  if (at == std::string::npos || at + 1 == text.size()) return std::nullopt;
  const std::string_view to = std::string_view(text).substr(at + 1);
  return GuestForwardTarget{at + 1, to.starts_with("cmd:") && to.size() > 4,
                            to.starts_with("chardev:") && to.size() > 8};
}

Result<UserNetOptions> take_user_options(KeyValues& options) {
  UserNetOptions result;
  for (const std::string_view key : {"smb", "smbserver"})
    if (options.get(key))
      return fail(
          "{}=: not supported (there is no SMB server; use tftp= or a "
          "server on the host)",
          key);
  HV_TRY(take_families(options, result));
  HV_TRY_ASSIGN(const auto restricted, options.take_bool("restrict"));
  result.restricted = restricted.value_or(false);
  HV_TRY(take_addresses4(options, result));
  HV_TRY(take_addresses6(options, result));
  for (const auto& [key, text] : {std::pair{"hostname", &result.hostname},
                                  {"domainname", &result.domainname},
                                  {"tftp", &result.tftp},
                                  {"bootfile", &result.bootfile},
                                  {"tftp-server-name", &result.tftp_server_name}}) {
    *text = options.take(key).value_or("");
    if (std::string_view(key) != "tftp" && text->size() > 255)
      return fail("{}=: it has at most 255 characters", key);
  }
  result.dns_search = take_list(options, "dnssearch");
  for (const std::string& text : take_list(options, "hostfwd")) {
    HV_TRY_ASSIGN(auto forward, parse_host_forward(text));
    result.host_forwards.push_back(std::move(forward));
  }
  for (const std::string& text : take_list(options, "guestfwd")) {
    HV_TRY_ASSIGN(auto forward, parse_guest_forward(text));
    result.guest_forwards.push_back(std::move(forward));
  }
  HV_TRY(options.expect_empty(kKnown));
  return result;
}

}  // namespace hv
