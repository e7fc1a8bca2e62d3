// The compiled code of a machine: made once, found by physical address, shared by all harts.
// See docs/JIT.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cpu/code_pages.h"
#include "cpu/engine.h"
#include "cpu/jit/code_memory.h"
#include "cpu/jit/compiler.h"
#include "cpu/jit/native.h"
#include "cpu/jit/trace.h"

namespace hv {

class Jit;

// A path to be compiled. `version` is what CodePages::watch() gave for its page before its bytes
// were read.
struct CompileRequest {
  Trace trace;
  std::vector<NativeTrace::Source> sources;
  uint64_t physical;
  uint32_t version;
};

// Code lies in regions of equal size, which are filled one after the other, round and round:
//
//   kFree -> kFilling -> kFull -> kDraining -> kFree
//
// When one begins to be filled, the next one, which holds the oldest code, begins to drain: its
// traces die, links to them are undone, and each hart is asked to let go of them
// (Engine::release_code). Its memory is used again once all have, or rest and will do so before
// they execute. Nobody waits for that: until then there is no room, and hot code stays with the
// interpreter for a while.
//
// Harts use it through their Jit (cpu/jit/jit.h).
class Translations {
 public:
  // nullptr: the host gives no memory for code.
  static std::shared_ptr<Translations> create(const GuestMemory& memory, CodePages& pages,
                                              const JitOptions& options);
  ~Translations();
  Translations(const Translations&) = delete;
  Translations& operator=(const Translations&) = delete;

  const JitCompiler& compiler() const { return *compiler_; }
  const JitOptions& options() const { return options_; }

  // Traces with a smaller NativeTrace::filling are draining, or gone already: a hart that rested
  // must not look at them any more.
  //
  // Counted up when they are dead, in no table, and no link leads to them: so a hart that has read
  // the number and then let go of what is below it (its blocks' code, its places, its returns) can
  // come by none of that again, and need not look before the number changes. Counted up before
  // harts are asked: so one that lets go because it was asked reads at least that number.
  uint64_t kept_from() const { return kept_from_.load(); }

  // --- Hart threads.
  void attach(Jit& jit, unsigned hart);
  void detach(Jit& jit);
  // Code for the path that begins there, in whatever state; nullptr: none. The hart may keep it
  // until it is asked to let go.
  NativeTrace* find(uint64_t physical);
  // Whether it is about to be compiled.
  bool queued(uint64_t physical) HV_EXCLUDES(queue_mutex_);
  // Makes a suspect trace ready if its bytes are those in memory; `version` as in CompileRequest,
  // from before this call. False: it is dead, or its page has just changed.
  bool revive(NativeTrace& trace, uint32_t version);
  // The code: at once or, when options().background, later, by find(). nullptr also when the page
  // has changed or there is no room.
  NativeTrace* compile(CompileRequest request);
  // Compiled code goes from the link straight to `to`, in the same page, from now on.
  void connect(NativeLink& link, NativeTrace& to);

 private:
  enum class RegionState : uint8_t { kFree, kFilling, kFull, kDraining };
  struct Ticket {
    unsigned hart;
    uint64_t ticket;
  };
  struct Region {
    RegionState state = RegionState::kFree;
    size_t used = 0;
    uint64_t filling = 0;  // counts regions as they begin to be filled
    std::vector<std::unique_ptr<NativeTrace>> traces;
    std::vector<Ticket> waits;
  };
  struct Attached {
    Jit* jit;
    unsigned hart;
  };

  Translations(const GuestMemory& memory, CodePages& pages, const JitOptions& options);
  NativeTrace* translate(const CompileRequest& request) HV_EXCLUDES(compile_mutex_);
  void announce(const std::string& name, std::span<const uint8_t> code) const;
  NativeTrace* add(const CompileRequest& request, std::unique_ptr<NativeTrace> native);
  // Offset of room for `size` bytes, kNoRoom if there is none now.
  size_t allocate(size_t size) HV_REQUIRES(pages_.mutex());
  bool next_region() HV_REQUIRES(pages_.mutex());
  void drain(Region& region) HV_REQUIRES(pages_.mutex());
  bool drained(Region& region) HV_REQUIRES(pages_.mutex());
  void isolate(NativeTrace& trace) HV_REQUIRES(pages_.mutex());
  void kill(NativeTrace& trace) HV_REQUIRES(pages_.mutex());
  // Under pages_.mutex(), which the analysis does not see through a std::function.
  void page_changed(uint64_t page) HV_NO_TSA;
  void work();

  static constexpr size_t kNoRoom = ~size_t{0};

  const GuestMemory& memory_;
  CodePages& pages_;
  const JitOptions options_;
  const std::unique_ptr<jit::CodeMemory> code_;
  std::unique_ptr<JitCompiler> compiler_;
  size_t region_size_ = 0;

  // Guarded by pages_.mutex().
  std::unordered_map<uint64_t, NativeTrace*> by_start_;
  std::unordered_map<uint64_t, std::vector<NativeTrace*>> by_page_;
  std::vector<Region> regions_;
  size_t current_ = 0;
  uint64_t fillings_ = 0;
  std::atomic<uint64_t> kept_from_{0};
  std::vector<Attached> attached_;

  // Held while a path is compiled, before pages_.mutex().
  Mutex compile_mutex_;

  // The thread and what waits for it.
  static constexpr size_t kMaxQueue = 256;
  Mutex queue_mutex_;
  std::vector<CompileRequest> queue_ HV_GUARDED_BY(queue_mutex_);
  std::unordered_set<uint64_t> queued_ HV_GUARDED_BY(queue_mutex_);
  std::atomic<uint32_t> queue_events_{0};
  std::atomic<bool> quit_{false};
  std::thread thread_;
};

}  // namespace hv
