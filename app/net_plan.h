// From -netdev and -nic to networks with ids, and devices for -nic.
#pragma once

#include "app/options.h"
#include "io/result.h"

namespace hv {

// Fills options.netdevs; appends a network device to options.machine.devices for each -nic, after
// the -device ones; gives each network device without mac= an address of its own, counting up from
// QEMU's first; and makes chardevs of what guestfwd= leads to. Opens nothing.
Result<> plan_networks(Options& options);

}  // namespace hv
