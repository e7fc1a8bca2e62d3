// Harts on host threads: start, stop, sleep, requests from other threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "cpu/engine.h"
#include "cpu/hart.h"
#include "io/hart_port.h"
#include "io/result.h"

namespace hv {

// SBI HSM states as the specification numbers them.
enum class HsmState : uint8_t {
  kStarted = 0,
  kStopped = 1,
  kStartPending = 2,
  kStopPending = 3,
  kSuspended = 4
};

// A remote fence: what the targets drop before they run on.
struct RemoteFence {
  bool instruction = false;       // fence.i
  bool code = false;              // Engine::release_code(); comes alone
  bool translation = false;       // sfence.vma with the fields below
  std::optional<uint64_t> start;  // nullopt: all addresses
  uint64_t size = 0;
  std::optional<uint64_t> asid;
};

// One hart with its thread ("hart-N"), engine and mailbox.
class Vcpu : public HartPort {
 public:
  virtual ~Vcpu() = default;
  virtual Hart& hart() = 0;      // hart thread, or any thread while the world is stopped
  virtual Engine& engine() = 0;  // likewise

  // Queues fn for the hart's thread, runs it between two blocks (or at once when the hart sleeps,
  // is stopped or parked). Any thread.
  virtual void run_on(std::function<void(Hart&)> fn) = 0;
  // As run_on and waits; from a hart thread it serves the caller's own mailbox meanwhile, so two
  // harts may wait for each other.
  virtual void run_on_and_wait(const std::function<void(Hart&)>& fn) = 0;

  // SBI HSM. start(): any thread; false unless stopped. The hart begins in S-mode (or the mode the
  // machine's firmware policy set by set_start_hook) at `address` with a0 = hart id, a1 = opaque.
  virtual bool hsm_start(uint64_t address, uint64_t opaque) = 0;
  virtual void hsm_stop_self() = 0;  // hart thread: stops after this instruction
  virtual HsmState hsm_state() const = 0;
  // Non-retentive SBI suspend etc. are built from hsm_stop_self and hsm_start by the caller;
  // retentive suspend is a WFI.

  virtual int thread_id() const = 0;  // host tid
  virtual bool is_sleeping() const = 0;
};

// All harts of a machine. Main thread unless stated.
class VcpuSet {
 public:
  struct Config {
    unsigned count = 1;
    const CpuConfig* cpu = nullptr;
    GuestMemory* memory = nullptr;
    const MmioMap* mmio = nullptr;
    GuestClock* clock = nullptr;
    // nullptr: make_interpreter.
    std::function<std::unique_ptr<Engine>(Hart&)> make_engine = nullptr;
  };
  static Result<std::unique_ptr<VcpuSet>> create(const Config& config);
  virtual ~VcpuSet() = default;  // stops and joins all threads

  virtual unsigned count() const = 0;
  virtual Vcpu& at(unsigned index) = 0;

  // How reset leaves each hart: called with the world stopped, after reset_hart(). Sets pc, a0, a1,
  // privilege; returns whether the hart runs (true) or waits for HSM start (false).
  virtual void set_reset_hook(std::function<bool(Hart&)> hook) = 0;
  // Runs on the hart's thread at HSM start before its first instruction, to set S-mode and what
  // firmware would have set.
  virtual void set_start_hook(
      std::function<void(Hart&, uint64_t address, uint64_t opaque)> hook) = 0;
  virtual void set_environment_calls(EnvironmentCalls* calls) = 0;

  // Stop the world: returns when every hart is parked at a block boundary. Idempotent.
  virtual void pause_all() = 0;
  virtual void resume_all() = 0;
  // World stopped: architectural reset of all harts.
  virtual void reset_all() = 0;

  // Any hart thread: the fence has taken effect on every hart of the mask when this returns; the
  // caller's own mailbox is served while it waits. hart ids >= count() must have been refused.
  virtual void remote_fence(Hart& caller, const std::vector<unsigned>& targets,
                            const RemoteFence& fence) = 0;
};

}  // namespace hv
