// A device of the machine: life cycle, properties, and what it is given.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "block/disk.h"
#include "fs9p/local_fs.h"
#include "io/char_backend.h"
#include "io/guest_memory.h"
#include "io/irq_line.h"
#include "io/key_values.h"
#include "io/mmio_map.h"
#include "io/property.h"
#include "io/result.h"
#include "main-loop/event_loop.h"
#include "net/endpoint.h"

namespace hv {

// Writes the device's own device-tree node. Implemented over libfdt by hw/machine.
class FdtNode {
 public:
  virtual ~FdtNode() = default;
  virtual void prop_u32(std::string_view name, uint32_t value) = 0;
  virtual void prop_u64(std::string_view name, uint64_t value) = 0;
  virtual void prop_cells(std::string_view name, const std::vector<uint32_t>& cells) = 0;
  virtual void prop_string(std::string_view name, std::string_view value) = 0;
  virtual void prop_strings(std::string_view name, const std::vector<std::string>& values) = 0;
  virtual void prop_empty(std::string_view name) = 0;
  virtual void prop_bytes(std::string_view name, const void* data, size_t size) = 0;
};

// Life cycle, main thread: create, [reset, run, quiesce]*, destroy. Harts are stopped in reset()
// and in the destructor.
class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view type_name() const = 0;
  // Back to power-on state; nothing of the device is in flight (quiesce() came before).
  virtual void reset() = 0;
  // Main thread, harts stopped: when it returns no request is in flight and the device's loop does
  // not touch the guest until resume().
  virtual void quiesce() {}
  virtual void resume() {}
};

// Back ends that options refer to by id. Main thread.
class Backends {
 public:
  // Takes the drive for one device; fails when the id is unknown or already in use.
  virtual Result<std::unique_ptr<Disk>> claim_drive(const std::string& id) = 0;
  // -fsdev, likewise.
  virtual Result<std::unique_ptr<LocalFs>> claim_fsdev(const std::string& id) {
    return fail("fsdev={}: there is no such -fsdev", id);
  }
  // Takes the -netdev for one device; likewise.
  virtual Result<std::unique_ptr<NetEndpoint>> claim_netdev(const std::string& id) {
    return fail("netdev={}: there is no such -netdev", id);
  }
  virtual Result<CharBackend*> claim_chardev(const std::string& id) = 0;
  // Loop of -object iothread,id=ID; "" is the default IO thread.
  virtual Result<EventLoop*> io_loop(const std::string& iothread_id) = 0;
  // -object rng-random/rng-builtin: file name to read entropy from; fails when unknown.
  virtual Result<std::string> rng_source(const std::string& object_id) = 0;

 protected:
  ~Backends() = default;
};

}  // namespace hv
