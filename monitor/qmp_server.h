// The QMP monitor: -qmp and -mon mode=control.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "hw/machine/vm.h"
#include "io/key_values.h"
#include "main-loop/event_loop.h"

namespace hv {

// A control socket in QEMU's wire format (docs: QMP specification). Sessions and commands run on
// the main loop. One client at a time per socket; the next is accepted when it leaves.
class QmpServer : public VmObserver {
 public:
  // `value` as -qmp takes it: unix:PATH[,server=on][,wait=off],
  // tcp:HOST:PORT[,server=on][,wait=off], stdio. With server=on and wait=on (the default) create()
  // returns after the first client has connected, as QEMU does.
  static Result<std::unique_ptr<QmpServer>> create(EventLoop& main_loop, Vm& vm,
                                                   const std::string& value);
  virtual ~QmpServer() = default;
};

}  // namespace hv
