// From the text of one QMP request to its reply.
#pragma once

#include <string_view>

#include "monitor/qmp_command.h"

namespace hv {

// Parses, checks and runs one request and gives the reply to send ({"return": ...} or
// {"error": ...}, with the request's id). Main thread.
Json qmp_dispatch(MonitorContext& context, bool& negotiated, std::string_view request);

// {"error": {"class": ..., "desc": ...}}
Json qmp_error_reply(const QmpError& error);

}  // namespace hv
