#include "net/netdev.h"

#include <algorithm>

#include "net/loopback_endpoint.h"
#include "net/netdev_types.h"
#include "net/null_endpoint.h"

namespace hv {

namespace {

constexpr std::string_view kOption = "-netdev";

EndpointResult create_null(const NetdevContext&, KeyValues& options) {
  HV_TRY(options.expect_empty("nothing but id"));
  return std::make_unique<NullEndpoint>();
}

EndpointResult create_loopback(const NetdevContext&, KeyValues& options) {
  HV_TRY_ASSIGN(const auto queues, options.take_number("queues"));
  if (queues && (*queues < 1 || *queues > 64)) return fail("queues={}: use 1 to 64", *queues);
  HV_TRY(options.expect_empty("queues"));
  return std::make_unique<LoopbackEndpoint>(static_cast<unsigned>(queues.value_or(1)));
}

struct Type {
  std::string_view name;
  EndpointResult (*create)(const NetdevContext& context, KeyValues& options);
};
constexpr Type kTypes[] = {
    {"socket", create_socket_net}, {"stream", create_stream_net}, {"dgram", create_dgram_net},
    {"tap", create_tap},           {"user", create_user_net},     {"null", create_null},
    {"loopback", create_loopback},
};
constexpr std::string_view kAbsent[] = {"bridge",     "hubport",      "l2tpv3",       "vde",
                                        "vhost-user", "vhost-vdpa",   "af-xdp",       "netmap",
                                        "vmnet-host", "vmnet-shared", "vmnet-bridged"};

}  // namespace

EndpointResult create_netdev(KeyValues options, const NetdevContext& context) {
  const std::string name = options.take("type").value_or("");
  const std::string id = options.take("id").value_or("");
  const auto type = std::ranges::find(kTypes, name, &Type::name);
  if (type == std::end(kTypes)) {
    if (std::ranges::count(kAbsent, name))
      return fail("{} {}: not supported; '-netdev help' lists the types", kOption, name);
    return fail("{} {}: no such type; '-netdev help' lists them", kOption, name);
  }
  auto endpoint = type->create(context, options);
  if (endpoint) return endpoint;
  // Those of KeyValues begin with the option already.
  std::string_view message = endpoint.error().message;
  const std::string prefix = options.option() + ": ";
  if (message.starts_with(prefix)) message.remove_prefix(prefix.size());
  return fail("{} {},id={}: {}", kOption, name, id, message);
}

std::string netdev_help() {
  std::string text = "Available netdev backend types:\n";
  for (const Type& type : kTypes) text += fmt::format("{}\n", type.name);
  return text;
}

}  // namespace hv
