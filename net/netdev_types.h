// What net/netdev.cpp chooses from. Each takes all keys but `type` and `id`; its messages begin
// with a key. Main thread.
#pragma once

#include "net/netdev.h"

namespace hv {

using EndpointResult = Result<std::unique_ptr<NetEndpoint>>;

EndpointResult create_user_net(const NetdevContext& context, KeyValues& options);
EndpointResult create_tap(const NetdevContext& context, KeyValues& options);
EndpointResult create_socket_net(const NetdevContext& context, KeyValues& options);
EndpointResult create_stream_net(const NetdevContext& context, KeyValues& options);
EndpointResult create_dgram_net(const NetdevContext& context, KeyValues& options);

}  // namespace hv
