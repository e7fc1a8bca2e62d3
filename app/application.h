// The whole program after the command line: sets up, runs, tears down.
#pragma once

#include "app/options.h"
#include "io/result.h"

namespace hv {

// Main thread. Gives the process's exit status, which is the guest's; fails with one line when
// something cannot be set up. With -daemonize it returns in the child only.
Result<int> run_application(Options options);

}  // namespace hv
