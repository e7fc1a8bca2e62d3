// The SBI's debug trigger extension over the calling hart's triggers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "cpu/hart.h"
#include "hw/machine/sbi_return.h"
#include "io/guest_memory.h"

namespace hv {

// One hart's part of it: SBI specification 3.0, chapter 19, all functions. trig_idx is the number
// of the hart's trigger; trig_state does not name it (have_hw_trig = 0, as in OpenSBI).
//
// A configuration is taken whole or not at all: what the triggers lack (cpu/triggers.h: match,
// chain, action, textra, modes of a hypervisor) is "not supported", a type that they lack "failed".
// Where the specification leaves room: shared memory may be set anew without disabling it; nothing
// is installed or updated unless all of the array can be; install takes as many as there are
// triggers, as OpenSBI does, though the table of errors would have it one less, which holds for
// update and read.
//
// Owned by the hart's thread.
class SbiDbtr {
 public:
  // Arguments in a0 to a2. The hart has triggers.
  SbiReturn call(Hart& hart, GuestMemory& memory, uint64_t function);
  // What firmware leaves: no trigger installed, no shared memory.
  void reset(Hart& hart);

 private:
  static constexpr size_t kCount = std::tuple_size_v<decltype(CsrState::triggers)>;

  // In shared memory.
  struct Entry {
    uint64_t state_or_index, tdata1, tdata2, tdata3;
  };
  using Entries = std::array<Entry, kCount>;
  struct Installed {
    bool mapped = false;
    uint64_t modes = 0;  // tdata1's bits as installed, which enable brings back
  };

  SbiReturn set_shared_memory(const GuestMemory& memory, uint64_t low, uint64_t high,
                              uint64_t flags);
  SbiReturn read(Hart& hart, GuestMemory& memory, uint64_t base, uint64_t count);
  SbiReturn install(Hart& hart, GuestMemory& memory, uint64_t count);
  SbiReturn update(Hart& hart, GuestMemory& memory, uint64_t count);
  SbiReturn uninstall(Hart& hart, uint64_t base, uint64_t mask);
  SbiReturn set_enabled(Hart& hart, uint64_t base, uint64_t mask, bool enabled);

  Entries load(const GuestMemory& memory, size_t count) const;
  void program(Hart& hart, size_t index, const Entry& entry);
  void clear(Hart& hart, size_t index);
  // The installed triggers that base and mask name, as bits; nullopt: one of them is none.
  std::optional<uint64_t> named(uint64_t base, uint64_t mask) const;

  std::array<Installed, kCount> installed_;
  std::optional<uint64_t> shared_memory_;
};

}  // namespace hv
