#include "cpu/jit/translations.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "cpu/jit/code_listener.h"
#include "cpu/jit/jit.h"
#include "cpu/jit/link_order.h"
#include "cpu/jit/trace_log.h"
#include "cpu/tlb.h"
#include "io/futex.h"

namespace hv {
namespace {

constexpr size_t kHostPage = 4096;

// Sixteen, unless they would be too small for long paths.
size_t region_size_for(size_t bytes) {
  constexpr size_t kSmall = size_t{64} << 10, kRegions = 16;
  const size_t regions = std::clamp<size_t>(bytes / kSmall, 2, kRegions);
  return std::max(bytes / regions / kHostPage, size_t{1}) * kHostPage;
}

}  // namespace

std::shared_ptr<Translations> Translations::create(const GuestMemory& memory, CodePages& pages,
                                                   const JitOptions& options) {
  std::shared_ptr<Translations> made(new Translations(memory, pages, options));
  if (!made->code_) return nullptr;
  if (options.background) made->thread_ = std::thread([t = made.get()] { t->work(); });
  return made;
}

Translations::Translations(const GuestMemory& memory, CodePages& pages, const JitOptions& options)
    : memory_(memory),
      pages_(pages),
      options_(options),
      code_(jit::CodeMemory::create(JitCompiler::kStubBytes +
                                    std::max(options.code_bytes, 2 * kHostPage))) {
  if (!code_) return;
  compiler_ = std::make_unique<JitCompiler>(memory, *code_);
  for (const JitCompiler::Stub& stub : compiler_->stubs()) announce(stub.name, stub.code);
  const size_t room = code_->size() - JitCompiler::kStubBytes;
  region_size_ = region_size_for(room);
  regions_.resize(room / region_size_);
  regions_[0].state = RegionState::kFilling;
  MutexLock lock(pages_.mutex());
  pages_.on_change(this, [this](uint64_t page) { page_changed(page); });
}

Translations::~Translations() {
  quit_.store(true);
  queue_events_.fetch_add(1);
  futex_wake_all(queue_events_);
  if (thread_.joinable()) thread_.join();
  MutexLock lock(pages_.mutex());
  pages_.forget_on_change(this);
}

void Translations::attach(Jit& jit, unsigned hart) {
  MutexLock lock(pages_.mutex());
  attached_.push_back({&jit, hart});
}

void Translations::detach(Jit& jit) {
  MutexLock lock(pages_.mutex());
  std::erase_if(attached_, [&](const Attached& a) { return a.jit == &jit; });
}

bool Translations::queued(uint64_t physical) {
  if (!options_.background) return false;
  MutexLock lock(queue_mutex_);
  return queued_.contains(physical);
}

NativeTrace* Translations::find(uint64_t physical) {
  MutexLock lock(pages_.mutex());
  const auto found = by_start_.find(physical);
  return found == by_start_.end() ? nullptr : found->second;
}

bool Translations::revive(NativeTrace& trace, uint32_t version) {
  std::vector<uint8_t> now;
  bool same = true;
  for (const NativeTrace::Source& source : trace.sources) {
    now.resize(source.bytes.size());
    copy_from_guest(now.data(), memory_.host(source.physical, now.size()), now.size());
    same = same && now == source.bytes;
  }
  MutexLock lock(pages_.mutex());
  if (trace.dead() || !pages_.current(trace.physical & kPageMask, version)) return false;
  if (!same) {
    kill(trace);
    return false;
  }
  trace.state.store(NativeTrace::State::kReady, std::memory_order_release);
  return true;
}

void Translations::connect(NativeLink& link, NativeTrace& to) {
  if ((link.from->physical ^ to.physical) & kPageMask) return;
  MutexLock lock(pages_.mutex());
  if (!to.ready() || link.from->dead() || link.to) return;
  to.inbound.push_back(&link);
  link.to = &to;
  link_is_set();
  link.code.store(to.code, std::memory_order_release);
}

// --- compiling

NativeTrace* Translations::compile(CompileRequest request) {
  if (!options_.background) return translate(request);
  {
    MutexLock lock(queue_mutex_);
    if (queue_.size() >= kMaxQueue || !queued_.insert(request.physical).second) return nullptr;
    queue_.push_back(std::move(request));
  }
  queue_events_.fetch_add(1);
  futex_wake_all(queue_events_);
  return nullptr;
}

void Translations::work() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  pthread_setname_np(pthread_self(), "compiler");
  while (!quit_.load()) {
    const uint32_t events = queue_events_.load();
    std::vector<CompileRequest> batch;
    {
      MutexLock lock(queue_mutex_);
      batch.swap(queue_);
    }
    if (batch.empty()) {
      futex_wait(queue_events_, events);
      continue;
    }
    for (const CompileRequest& request : batch) {
      if (quit_.load()) return;
      translate(request);
      MutexLock lock(queue_mutex_);
      queued_.erase(request.physical);
    }
  }
}

NativeTrace* Translations::translate(const CompileRequest& request) {
  MutexLock compiling(compile_mutex_);
  auto native = std::make_unique<NativeTrace>();
  native->physical = request.physical;
  native->sources = request.sources;
  size_t offset = kNoRoom;
  const std::vector<uint8_t> code =
      compiler_->compile(request.trace, *native, [&](size_t size) -> const void* {
        MutexLock lock(pages_.mutex());
        offset = allocate(size);
        return offset == kNoRoom ? nullptr : code_->address(offset);
      });
  if (code.empty()) return nullptr;
  code_->write(offset, code.data(), code.size());
  announce(code_name(request.trace), {code_->address(offset), code.size()});
  return add(request, std::move(native));
}

void Translations::announce(const std::string& name, std::span<const uint8_t> code) const {
  for (const auto& listener : options_.listeners) listener->code_made(name, code.data(), code);
}

NativeTrace* Translations::add(const CompileRequest& request, std::unique_ptr<NativeTrace> native) {
  MutexLock lock(pages_.mutex());
  if (!pages_.current(request.physical & kPageMask, request.version)) return nullptr;
  NativeTrace*& known = by_start_[request.physical];
  if (known) return known;
  known = native.get();
  by_page_[request.physical & kPageMask].push_back(known);
  native->state.store(NativeTrace::State::kReady, std::memory_order_release);
  native->filling = regions_[current_].filling;
  regions_[current_].traces.push_back(std::move(native));
  return known;
}

// --- memory

size_t Translations::allocate(size_t size) {
  constexpr size_t kAlign = 16;
  if (size > region_size_) return kNoRoom;
  if (regions_[current_].used + size > region_size_ && !next_region()) return kNoRoom;
  Region& region = regions_[current_];
  const size_t offset = JitCompiler::kStubBytes + current_ * region_size_ + region.used;
  region.used = std::min((region.used + size + kAlign - 1) / kAlign * kAlign, region_size_);
  return offset;
}

bool Translations::next_region() {
  const size_t next = (current_ + 1) % regions_.size();
  if (!drained(regions_[next])) return false;
  regions_[current_].state = RegionState::kFull;
  regions_[next].state = RegionState::kFilling;
  regions_[next].filling = ++fillings_;
  current_ = next;
  Region& oldest = regions_[(next + 1) % regions_.size()];
  if (oldest.state == RegionState::kFull) drain(oldest);
  return true;
}

void Translations::drain(Region& region) {
  region.state = RegionState::kDraining;
  for (auto& trace : region.traces)
    if (!trace->dead()) kill(*trace);
  kept_from_.store(region.filling + 1);
  for (const Attached& a : attached_) {
    if (pages_.has_harts())
      region.waits.push_back({a.hart, pages_.post(a.hart)});
    else
      a.jit->release();
  }
}

bool Translations::drained(Region& region) {
  if (region.state == RegionState::kFree) return true;
  while (!region.waits.empty() &&
         pages_.settled(region.waits.back().hart, region.waits.back().ticket))
    region.waits.pop_back();
  if (!region.waits.empty()) return false;
  region.traces.clear();
  region.used = 0;
  region.state = RegionState::kFree;
  return true;
}

// No link leads here any more.
void Translations::isolate(NativeTrace& trace) {
  for (NativeLink* link : trace.inbound) {
    link->to = nullptr;
    link->code.store(compiler_->unlinked(), std::memory_order_release);
  }
  trace.inbound.clear();
}

// In no table from here on; its own links no longer count as anybody's way in.
void Translations::kill(NativeTrace& trace) {
  trace.state.store(NativeTrace::State::kDead, std::memory_order_release);
  isolate(trace);
  trace.links.each([this](NativeLink& link) {
    if (!link.to) return;
    std::erase(link.to->inbound, &link);
    link.to = nullptr;
    link.code.store(compiler_->unlinked(), std::memory_order_release);
  });
  by_start_.erase(trace.physical);
  const auto page = by_page_.find(trace.physical & kPageMask);
  std::erase(page->second, &trace);
  if (page->second.empty()) by_page_.erase(page);
}

void Translations::page_changed(uint64_t page) {
  const auto found = by_page_.find(page);
  if (found == by_page_.end()) return;
  for (NativeTrace* trace : found->second) {
    trace->state.store(NativeTrace::State::kSuspect, std::memory_order_release);
    isolate(*trace);
  }
}

}  // namespace hv
