// Sleep, wake-ups, timers and run states of hart threads. A lost wake-up shows as a test that
// hangs.
#include <sched.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "tests/unit/cpu/scripted_harts.h"

using namespace hv;
using hv::test::Goal;
using hv::test::ScriptedHarts;

namespace {

constexpr uint64_t kTickPeriod = 5000;  // 0.5 ms

bool take_ssip(Hart& hart) {
  return hart.mip.fetch_and(~kMipSsip) & kMipSsip;
}

// After reset: software interrupts end WFI but do not trap.
bool listen(Hart& hart) {
  hart.csr.mie = kMipSsip;
  return true;
}

}  // namespace

TEST_CASE("VcpuSet refuses impossible numbers of harts") {
  for (unsigned count : {0u, 65u}) {
    auto set = VcpuSet::create({.count = count});
    REQUIRE_FALSE(set);
    CHECK(set.error().message.find("-smp " + std::to_string(count)) == 0);
  }
}

TEST_CASE("Hart threads carry their names and block signals") {
  ScriptedHarts harts(2, [](Hart&) { return true; });
  for (unsigned i = 0; i < 2; ++i) {
    const std::string task = "/proc/self/task/" + std::to_string(harts.set->at(i).thread_id());
    std::string name, line;
    std::getline(std::ifstream(task + "/comm"), name);
    CHECK(name == "hart-" + std::to_string(i));
    std::ifstream status(task + "/status");
    while (std::getline(status, line))
      if (line.starts_with("SigBlk:")) CHECK((std::stoull(line.substr(8), nullptr, 16) & 2) == 2);
  }
}

TEST_CASE("A token passed round by software interrupts is never lost") {
  constexpr unsigned kHarts = 4;
  Goal goal(20000);
  VcpuSet* set = nullptr;
  ScriptedHarts harts(kHarts, [&](Hart& hart) {
    if (!take_ssip(hart)) return true;
    if (!goal.add()) set->at((hart.id + 1) % kHarts).set_irq(HartIrq::kSupervisorSoftware, true);
    return true;
  });
  set = harts.set.get();
  set->set_reset_hook(listen);
  harts.start();
  set->at(0).set_irq(HartIrq::kSupervisorSoftware, true);
  goal.wait();
  CHECK(goal.reached());
}

TEST_CASE("Each interrupt wakes a hart that several threads signal") {
  constexpr uint32_t kRounds = 3000;
  std::atomic<uint32_t> served[2]{};
  ScriptedHarts harts(2, [&](Hart& hart) {
    if (!take_ssip(hart)) return true;
    served[hart.id].fetch_add(1);
    served[hart.id].notify_all();
    return true;
  });
  harts.set->set_reset_hook(listen);
  harts.start();
  auto signal = [&](unsigned id) {
    for (uint32_t i = 0; i < kRounds; ++i) {
      const uint32_t before = served[id].load();
      harts.set->at(id).set_irq(HartIrq::kSupervisorSoftware, true);
      while (served[id].load() == before) served[id].wait(before);
    }
  };
  std::thread other(signal, 1);
  signal(0);
  other.join();
  CHECK(served[0] >= kRounds);
  CHECK(served[1] >= kRounds);
}

namespace {

// Hart 0 passes each interrupt on to hart 1, while it is told to, and first waits while held.
struct Chain {
  Chain()
      : harts(2, [this](Hart& hart) {
          if (!take_ssip(hart)) return true;
          if (hart.id == 0) {
            while (held.load()) std::this_thread::yield();
            if (passes_on.load()) harts.set->at(1).set_irq(HartIrq::kSupervisorSoftware, true);
          }
          taken[hart.id].fetch_add(1);
          taken[hart.id].notify_all();
          return true;
        }) {
    harts.set->set_reset_hook(listen);
    harts.start();
  }
  void signal() {
    harts.set->at(0).set_irq(HartIrq::kSupervisorSoftware, true);
    ++signals;
    if (passes_on.load()) ++passed;
  }
  // Until both have taken what they were sent, and sleep.
  void settle() {
    wait_for(taken[0], signals);
    wait_for(taken[1], passed);
    while (!harts.set->at(0).is_sleeping() || !harts.set->at(1).is_sleeping())
      std::this_thread::yield();
  }
  void train() {
    for (int i = 0; i < 100; ++i) {
      signal();
      settle();
    }
  }
  static void wait_for(std::atomic<uint32_t>& counter, uint32_t count) {
    for (uint32_t now = counter.load(); now < count; now = counter.load()) counter.wait(now);
  }

  std::atomic<bool> passes_on{true}, held{false};
  std::atomic<uint32_t> taken[2]{};
  uint32_t signals = 0, passed = 0;
  ScriptedHarts harts;  // last: its threads use the rest
};

uint64_t voluntary_switches(int thread_id) {
  std::ifstream status("/proc/self/task/" + std::to_string(thread_id) + "/status");
  const std::string key = "voluntary_ctxt_switches:";
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return std::stoull(line.substr(key.size()));
  return 0;
}

}  // namespace

TEST_CASE("No interrupt is lost while the expected hart changes") {
  Chain chain;
  for (int i = 0; i < 3000; ++i) {
    chain.passes_on.store(i / 100 % 2 == 0);
    chain.signal();
    if (i % 3 == 0) chain.settle();
    Chain::wait_for(chain.taken[0], chain.signals);
    Chain::wait_for(chain.taken[1], chain.passed);
  }
  CHECK(chain.taken[0] == chain.signals);
  CHECK(chain.taken[1] == chain.passed);
}

TEST_CASE("An expected hart wakes before it is interrupted") {
  cpu_set_t allowed;
  REQUIRE(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  if (CPU_COUNT(&allowed) < 2) return;  // nobody is woken early then
  Chain chain;
  const int second = chain.harts.set->at(1).thread_id();
  const std::chrono::milliseconds moment(1);
  // A hart that says it sleeps may be on the way yet: one attempt proves nothing, nor does one
  // fail.
  constexpr int kWanted = 10;
  int woken = 0;
  for (int attempt = 0; attempt < 10 * kWanted && woken < kWanted; ++attempt) {
    chain.train();
    std::this_thread::sleep_for(2 * moment);
    const uint64_t before = voluntary_switches(second);
    chain.held.store(true);
    chain.signal();
    // It sleeps once more, for nothing has come.
    bool slept_again = false;
    for (int i = 0; i < 50 && !slept_again; ++i) {
      std::this_thread::sleep_for(moment);
      slept_again = voluntary_switches(second) > before;
    }
    woken += slept_again;
    CHECK(chain.taken[1] == chain.passed - 1);
    chain.held.store(false);
    chain.settle();
  }
  CHECK(woken == kWanted);
}

TEST_CASE("A hart that expects an interrupt serves others") {
  Chain chain;
  Vcpu& second = chain.harts.set->at(1);
  for (int i = 0; i < 20; ++i) {
    chain.train();
    chain.held.store(true);
    chain.signal();
    if (i % 2 == 0) {
      bool ran = false;
      second.run_on_and_wait([&](Hart&) { ran = true; });
      CHECK(ran);
      CHECK(chain.taken[1] == chain.passed - 1);
      chain.held.store(false);
    } else {
      std::thread release([&] { chain.held.store(false); });
      chain.harts.set->pause_all();
      release.join();
      chain.harts.set->resume_all();
    }
    chain.settle();
  }
  CHECK(chain.taken[1] == chain.passed);
}

TEST_CASE("Timer ticks reach a busy and a sleeping hart, none of them early") {
  const bool busy = GENERATE(false, true);
  Goal goal(4 * 40);
  std::atomic<bool> early{false};
  ScriptedHarts harts(4, [&](Hart& hart) {
    if (hart.mip.load() & kMipStip) {
      early = early || hart.clock->now() < hart.csr.stimecmp;
      goal.add();
      set_stimecmp(hart, hart.clock->now() + kTickPeriod);
    }
    return !busy;
  });
  harts.set->set_reset_hook([](Hart& hart) {
    hart.csr.menvcfg |= kEnvcfgStce;
    hart.csr.mie = kMipStip;
    hart.csr.stimecmp = kTickPeriod;
    return true;
  });
  harts.start();
  goal.wait();
  CHECK_FALSE(early);
}

TEST_CASE("mtimecmp set by another thread ends WFI") {
  Goal goal(50);
  VcpuSet* set = nullptr;
  ScriptedHarts harts(2, [&](Hart& hart) {
    if (!(hart.mip.load() & kMipMtip)) return true;
    set->at(hart.id).set_mtimecmp(~0ull);
    if (!goal.add()) set->at(hart.id ^ 1).set_mtimecmp(hart.clock->now() + 100);
    return false;  // not before the request has recomputed MTIP
  });
  set = harts.set.get();
  set->set_reset_hook([](Hart& hart) {
    hart.csr.mie = kMipMtip;
    return true;
  });
  harts.start();
  set->at(0).set_mtimecmp(0);
  goal.wait();
  CHECK(goal.reached());
}

TEST_CASE("Stop the world: nothing moves while paused, all goes on afterwards") {
  constexpr unsigned kHarts = 4;
  ScriptedHarts harts(kHarts, [](Hart& hart) {
    ++hart.instret;  // plain: the sanitizer watches who touches it
    if (take_ssip(hart)) hart.x[5] += 1;
    return hart.id % 2 == 1;  // odd ones sleep
  });
  harts.set->set_reset_hook(listen);
  harts.start();
  for (unsigned round = 0; round < 300; ++round) {
    harts.set->at(round % kHarts).set_irq(HartIrq::kSupervisorSoftware, true);
    harts.set->pause_all();
    harts.clock.pause();
    uint64_t before[kHarts];
    for (unsigned i = 0; i < kHarts; ++i) before[i] = harts.set->at(i).hart().instret;
    harts.set->pause_all();
    harts.set->at((round + 1) % kHarts).set_irq(HartIrq::kSupervisorSoftware, true);
    if (round % 16 == 0) std::this_thread::yield();
    for (unsigned i = 0; i < kHarts; ++i) REQUIRE(harts.set->at(i).hart().instret == before[i]);
    harts.clock.resume();
    harts.set->resume_all();
  }
  // Sleepers still wake.
  Goal goal(kHarts);
  for (unsigned i = 0; i < kHarts; ++i) harts.set->at(i).run_on([&](Hart&) { goal.add(); });
  goal.wait();
  CHECK(goal.reached());
}

TEST_CASE("Reset restarts running, sleeping and stopped harts as the hook says") {
  constexpr unsigned kHarts = 3;
  std::atomic<uint32_t> started[kHarts]{};
  VcpuSet* set = nullptr;
  ScriptedHarts harts(kHarts, [&](Hart& hart) {
    if (hart.x[10] == 0) {
      hart.x[10] = 1;
      started[hart.id].fetch_add(1);
      started[hart.id].notify_all();
    }
    if (hart.id == 2) set->at(2).hsm_stop_self();
    return hart.id == 1;
  });
  set = harts.set.get();
  bool run_all = true;
  set->set_reset_hook([&](Hart& hart) { return run_all || hart.id == 0; });
  harts.start();
  for (uint32_t round = 1; round <= 200; ++round) {
    for (auto& count : started)
      for (uint32_t now = count.load(); now < round; now = count.load()) count.wait(now);
    set->pause_all();
    set->reset_all();
    set->resume_all();
  }
  set->pause_all();
  run_all = false;
  set->reset_all();
  const uint32_t before[] = {started[0], started[1], started[2]};
  CHECK(set->at(0).hsm_state() == HsmState::kStarted);
  CHECK(set->at(1).hsm_state() == HsmState::kStopped);
  set->resume_all();
  for (uint32_t now = started[0]; now == before[0]; now = started[0]) started[0].wait(now);
  CHECK(started[1] == before[1]);
}

TEST_CASE("HSM: stop and start take turns, and a started hart cannot be started") {
  std::atomic<uint32_t> runs{0};
  VcpuSet* set = nullptr;
  ScriptedHarts harts(2, [&](Hart& hart) {
    if (hart.id == 0) return true;
    if (hart.priv != Priv::kSupervisor || hart.pc != 0x8000'0000 + hart.x[11] || hart.x[10] != 1)
      std::abort();
    runs.fetch_add(1);
    set->at(1).hsm_stop_self();
    runs.notify_all();
    return false;
  });
  set = harts.set.get();
  set->set_reset_hook([](Hart& hart) { return hart.id == 0; });
  harts.start();
  CHECK_FALSE(set->at(0).hsm_start(0, 0));
  for (uint32_t i = 0; i < 2000; ++i) {
    while (!set->at(1).hsm_start(0x8000'0000 + i, i)) std::this_thread::yield();
    while (runs.load() == i) runs.wait(i);
  }
  CHECK(runs == 2000);
}

TEST_CASE("Functions run on sleeping, stopped, parked and busy harts") {
  VcpuSet* set = nullptr;
  ScriptedHarts harts(3, [&](Hart& hart) {
    if (hart.id == 2) set->at(2).hsm_stop_self();
    return hart.id == 0;
  });
  set = harts.set.get();
  for (const bool running : {false, true}) {
    if (running) harts.start();
    for (unsigned i = 0; i < 3; ++i) {
      int tid = 0;
      set->at(i).run_on_and_wait([&](Hart& hart) {
        tid = gettid();
        hart.x[7] = 5;
      });
      CHECK(tid == set->at(i).thread_id());
    }
  }
}

TEST_CASE("Two harts that wait for each other both finish") {
  Goal goal(2000);
  VcpuSet* set = nullptr;
  std::atomic<uint64_t> calls{0};
  ScriptedHarts harts(2, [&](Hart& hart) {
    if (goal.reached()) return true;
    set->at(hart.id ^ 1).run_on_and_wait([&](Hart&) { calls.fetch_add(1); });
    goal.add();
    return false;
  });
  set = harts.set.get();
  harts.start();
  goal.wait();
  CHECK(calls >= 2000);
}

TEST_CASE("Harts that wait for each other do not hold up their end") {
  for (unsigned round = 0; round < 200; ++round) {
    Goal goal(20);
    VcpuSet* set = nullptr;
    ScriptedHarts harts(2, [&](Hart& hart) {
      set->at(hart.id ^ 1).run_on_and_wait([&](Hart&) { goal.add(); });
      return false;
    });
    set = harts.set.get();
    harts.start();
    goal.wait();
    CHECK(goal.reached());
  }
}

TEST_CASE("Remote fences have taken effect when they return") {
  constexpr unsigned kHarts = 4;
  // A hart knows the epoch of its last fence.i, and shows it while it is inside a block (0: it is
  // not). After a fence no hart may be in a block that began with an older epoch.
  std::atomic<uint64_t> epoch{1};
  std::atomic<uint64_t> shown[kHarts]{};
  uint64_t known[kHarts] = {1, 1, 1, 1};
  std::atomic<bool> stale{false};
  Goal goal(60000);
  VcpuSet* set = nullptr;
  ScriptedHarts harts(
      kHarts,
      [&](Hart& hart) {
        shown[hart.id].store(known[hart.id]);
        for (unsigned i = 0; i < 50; ++i) shown[hart.id].load();
        shown[hart.id].store(0);
        // Hart 3 sleeps much of the time, and is woken by mistake or by others' fences only.
        if (hart.id == 3 && ++hart.instret % 8) return true;
        if (goal.reached()) return true;
        const uint64_t mine = epoch.fetch_add(1) + 1;
        std::vector<unsigned> targets;
        for (unsigned i = 0; i < kHarts; ++i)
          if (i != hart.id) targets.push_back(i);
        set->remote_fence(hart, targets, {.instruction = true});
        for (unsigned target : targets) {
          const uint64_t seen = shown[target].load();
          if (seen != 0 && seen < mine) stale = true;
        }
        goal.add();
        return false;
      },
      [&](Hart& hart) { known[hart.id] = epoch.load(); });
  set = harts.set.get();
  set->set_reset_hook(listen);
  harts.start();
  while (!goal.reached()) {
    // Stopping the world meanwhile must neither hang nor be hung by harts that wait for others.
    set->pause_all();
    set->resume_all();
    set->at(3).set_irq(HartIrq::kSupervisorSoftware, true);
    std::this_thread::yield();
  }
  CHECK_FALSE(stale);
}

TEST_CASE("A remote fence ends though nothing but its targets can wake the caller") {
  constexpr unsigned kHarts = 3;
  // Blocks of any length up to a few times what the caller spins before it sleeps.
  constexpr unsigned kLongestBlock = 4000;
  Goal goal(5000);
  VcpuSet* set = nullptr;
  ScriptedHarts harts(kHarts, [&](Hart& hart) {
    if (goal.reached()) return true;
    if (hart.id == 0) {
      set->remote_fence(hart, {1, 2}, {.instruction = true});
      goal.add();
      return false;
    }
    hart.x[5] = hart.x[5] * 6364136223846793005 + 1442695040888963407 + hart.id;
    for (uint64_t i = hart.x[5] >> 33; i % kLongestBlock; --i) __builtin_ia32_pause();
    std::this_thread::yield();
    return false;
  });
  set = harts.set.get();
  harts.start();
  goal.wait();
  CHECK(goal.reached());
}

TEST_CASE("A fence for a resting hart is applied before it runs again") {
  std::atomic<uint32_t> fences{0};
  Goal woken(1), done(1);
  VcpuSet* set = nullptr;
  uint32_t fences_at_wake = 0;
  ScriptedHarts harts(
      2,
      [&](Hart& hart) {
        if (hart.id == 1) {
          if (take_ssip(hart)) {
            fences_at_wake = fences.load();
            woken.add();
          }
          return true;
        }
        if (set->at(1).is_sleeping() && !done.reached()) {
          for (int i = 0; i < 20; ++i) set->remote_fence(hart, {1}, {.instruction = true});
          done.add();
        }
        return done.reached();
      },
      [&](Hart&) { fences.fetch_add(1); });
  set = harts.set.get();
  set->set_reset_hook(listen);
  harts.start();
  done.wait();
  set->at(1).set_irq(HartIrq::kSupervisorSoftware, true);
  woken.wait();
  CHECK(fences_at_wake >= 1);
}
