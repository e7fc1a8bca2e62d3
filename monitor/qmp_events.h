// The machine's changes as QMP events.
#pragma once

#include "hw/machine/vm.h"
#include "monitor/json.h"

namespace hv {

// {"timestamp": {now}, "event": NAME, "data": DATA}; "data" is left out when it is null.
Json qmp_event(std::string_view name, const Json& data = nullptr);

// The data of SHUTDOWN and RESET: {"guest": ..., "reason": ...}.
Json shutdown_data(ShutdownCause cause);
Json reset_data(bool by_guest);
// Of BLOCK_IO_ERROR.
Json disk_error_data(const DiskError& error);

}  // namespace hv
