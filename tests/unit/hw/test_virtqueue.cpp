#include <catch2/catch.hpp>

#include <functional>
#include <utility>
#include <vector>

#include "guest_queue.h"
#include "hw/virtio/virtqueue.h"

using namespace hv;

namespace {

constexpr uint64_t kBase = 0x8000'0000;
constexpr uint64_t kSize = 1 << 20;
constexpr uint64_t kData = kBase + 0x20000;
constexpr uint64_t kTable = kBase + 0x40000;  // indirect tables

struct Fixture {
  std::unique_ptr<GuestMemory> memory = *GuestMemory::create(kBase, kSize);
  GuestQueue guest;
  VirtQueue queue;
  DescriptorChain chain;

  explicit Fixture(uint16_t size = 8, uint64_t features = kVirtioRingIndirectDesc)
      : guest(*memory, kBase, size) {
    REQUIRE(queue.start(*memory, guest.setup(), features));
  }
  void take_and_push(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      REQUIRE(queue.pop(chain));
      queue.push(chain.head, 1);
    }
  }
};

}  // namespace

TEST_CASE("A chain comes out as pointers into guest RAM, by direction and in order") {
  Fixture f;
  f.guest.set_chain(2, {{kData, 16, false}, {kData + 100, 7, false}, {kData + 512, 1024, true}});
  f.guest.submit(2);
  REQUIRE(f.queue.has_work());
  REQUIRE(f.queue.pop(f.chain));
  CHECK(f.chain.head == 2);
  REQUIRE(f.chain.readable.size() == 2);
  CHECK(f.chain.readable[0].iov_base == f.memory->data() + (kData - kBase));
  CHECK(f.chain.readable[0].iov_len == 16);
  CHECK(f.chain.readable[1].iov_base == f.memory->data() + (kData - kBase) + 100);
  CHECK(f.chain.readable[1].iov_len == 7);
  REQUIRE(f.chain.writable.size() == 1);
  CHECK(f.chain.writable[0].iov_len == 1024);
  CHECK_FALSE(f.queue.has_work());
  CHECK_FALSE(f.queue.pop(f.chain));
  CHECK_FALSE(f.queue.broken());
}

TEST_CASE("Used entries carry head and length and appear with publish") {
  Fixture f;
  f.guest.set_chain(5, {{kData, 16, true}});
  f.guest.submit(5);
  REQUIRE(f.queue.pop(f.chain));
  CHECK(f.queue.in_use() == 1);
  f.queue.push(5, 9);
  CHECK(f.guest.used_idx() == 0);
  CHECK(f.queue.publish());
  CHECK(f.guest.used_idx() == 1);
  CHECK(f.guest.used_entry(0).id == 5);
  CHECK(f.guest.used_entry(0).length == 9);
  CHECK(f.queue.in_use() == 0);
  CHECK_FALSE(f.queue.publish());
}

TEST_CASE("Indirect tables are walked, also behind direct descriptors") {
  Fixture f;
  f.guest.set_desc(0, kData, 16, GuestQueue::kNext, 1);
  f.guest.set_desc(1, kTable, 3 * 16, GuestQueue::kIndirect);
  f.guest.set_desc_at(kTable, kData + 16, 4, GuestQueue::kNext, 2);
  f.guest.set_desc_at(kTable + 32, kData + 64, 8, GuestQueue::kWrite);
  f.guest.submit(0);
  REQUIRE(f.queue.pop(f.chain));
  REQUIRE(f.chain.readable.size() == 2);
  CHECK(f.chain.readable[1].iov_len == 4);
  REQUIRE(f.chain.writable.size() == 1);
  CHECK(f.chain.writable[0].iov_len == 8);
}

TEST_CASE("A chain may use every entry of the queue, and a queue may be filled by chains") {
  Fixture f;
  f.guest.set_chain(0, std::vector<GuestQueue::Buffer>(8, {kData, 1, false}));
  f.guest.submit(0);
  REQUIRE(f.queue.pop(f.chain));
  CHECK(f.chain.readable.size() == 8);
  f.queue.push(0, 0);
  (void)f.queue.publish();
  for (uint16_t i = 0; i < 8; ++i) {
    f.guest.set_desc(i, kData, 1);
    f.guest.submit(i);
  }
  for (uint16_t i = 0; i < 8; ++i) {
    REQUIRE(f.queue.pop(f.chain));
    CHECK(f.chain.head == i);
  }
  CHECK_FALSE(f.queue.pop(f.chain));
  CHECK_FALSE(f.queue.broken());
}

TEST_CASE("An empty buffer counts for nothing") {
  Fixture f;
  f.guest.set_chain(0, {{0, 0, false}, {kData, 4, true}});
  f.guest.submit(0);
  REQUIRE(f.queue.pop(f.chain));
  CHECK(f.chain.readable.empty());
  CHECK(f.chain.writable.size() == 1);
}

TEST_CASE("Hostile chains break the queue") {
  struct Case {
    const char* name;
    std::function<void(GuestQueue&)> build;
  };
  using Q = GuestQueue;
  const std::vector<Case> cases = {
      {"head beyond the table", [](Q& q) { q.submit(8); }},
      {"head 65535", [](Q& q) { q.submit(0xffff); }},
      {"next beyond the table",
       [](Q& q) {
         q.set_desc(0, kData, 1, Q::kNext, 8);
         q.submit(0);
       }},
      {"chain that points at itself",
       [](Q& q) {
         q.set_desc(0, kData, 1, Q::kNext, 0);
         q.submit(0);
       }},
      {"loop of two",
       [](Q& q) {
         q.set_desc(0, kData, 1, Q::kNext, 1);
         q.set_desc(1, kData, 1, Q::kNext, 0);
         q.submit(0);
       }},
      {"loop of empty buffers",
       [](Q& q) {
         q.set_desc(0, 0, 0, Q::kNext, 1);
         q.set_desc(1, 0, 0, Q::kNext, 0);
         q.submit(0);
       }},
      {"available index ahead by more than the queue", [](Q& q) { q.set_avail_idx(9); }},
      {"available index behind", [](Q& q) { q.set_avail_idx(0xffff); }},
      {"buffer below RAM",
       [](Q& q) {
         q.set_chain(0, {{0x1000'1000, 16, true}});
         q.submit(0);
       }},
      {"buffer that ends outside RAM",
       [](Q& q) {
         q.set_chain(0, {{kBase + kSize - 4, 5, true}});
         q.submit(0);
       }},
      {"buffer that wraps around the address space",
       [](Q& q) {
         q.set_chain(0, {{0xffff'ffff'ffff'f000, 0xffff'ffff, true}});
         q.submit(0);
       }},
      {"largest length",
       [](Q& q) {
         q.set_chain(0, {{kData, 0xffff'ffff, false}});
         q.submit(0);
       }},
      {"readable behind writable",
       [](Q& q) {
         q.set_chain(0, {{kData, 1, true}, {kData, 1, false}});
         q.submit(0);
       }},
      {"indirect table of length 0",
       [](Q& q) {
         q.set_desc(0, kTable, 0, Q::kIndirect);
         q.submit(0);
       }},
      {"indirect table of odd length",
       [](Q& q) {
         q.set_desc(0, kTable, 24, Q::kIndirect);
         q.submit(0);
       }},
      {"indirect table outside RAM",
       [](Q& q) {
         q.set_desc(0, kBase + kSize - 16, 32, Q::kIndirect);
         q.submit(0);
       }},
      {"indirect table that wraps around",
       [](Q& q) {
         q.set_desc(0, 0xffff'ffff'ffff'fff0, 32, Q::kIndirect);
         q.submit(0);
       }},
      {"indirect in indirect",
       [](Q& q) {
         q.set_desc(0, kTable, 16, Q::kIndirect);
         q.set_desc_at(kTable, kTable, 16, Q::kIndirect);
         q.submit(0);
       }},
      {"indirect with a successor",
       [](Q& q) {
         q.set_desc(0, kTable, 16, Q::kIndirect | Q::kNext, 1);
         q.set_desc_at(kTable, kData, 16);
         q.set_desc(1, kData, 1);
         q.submit(0);
       }},
      {"loop in an indirect table",
       [](Q& q) {
         q.set_desc(0, kTable, 64, Q::kIndirect);
         q.set_desc_at(kTable, kData, 1, Q::kNext, 0);
         q.submit(0);
       }},
      {"next beyond an indirect table",
       [](Q& q) {
         q.set_desc(0, kTable, 16, Q::kIndirect);
         q.set_desc_at(kTable, kData, 1, Q::kNext, 1);
         q.submit(0);
       }},
      {"more than 1024 descriptors",
       [](Q& q) {
         q.set_desc(0, kTable, 1025 * 16, Q::kIndirect);
         for (uint16_t i = 0; i < 1025; ++i)
           q.set_desc_at(kTable + 16u * i, kData, 1, i < 1024 ? Q::kNext : 0,
                         static_cast<uint16_t>(i + 1));
         q.submit(0);
       }},
  };
  for (const Case& each : cases) {
    INFO(each.name);
    Fixture f;
    each.build(f.guest);
    CHECK_FALSE(f.queue.pop(f.chain));
    CHECK(f.queue.broken());
    CHECK(f.queue.reason() != nullptr);
    // Broken for good: a sound chain does not come out either.
    f.guest.set_chain(0, {{kData, 1, true}});
    f.guest.submit(0);
    CHECK_FALSE(f.queue.pop(f.chain));
    CHECK_FALSE(f.queue.has_work());
    f.queue.stop();
    CHECK_FALSE(f.queue.broken());
  }
}

TEST_CASE("1024 descriptors in an indirect table are fine") {
  Fixture f;
  f.guest.set_desc(0, kTable, 1024 * 16, GuestQueue::kIndirect);
  for (uint16_t i = 0; i < 1024; ++i)
    f.guest.set_desc_at(kTable + 16u * i, kData, 1, i < 1023 ? GuestQueue::kNext : 0,
                        static_cast<uint16_t>(i + 1));
  f.guest.submit(0);
  REQUIRE(f.queue.pop(f.chain));
  CHECK(f.chain.readable.size() == 1024);
}

TEST_CASE("Indirect descriptors need the feature") {
  Fixture f(8, 0);
  f.guest.set_desc(0, kTable, 16, GuestQueue::kIndirect);
  f.guest.set_desc_at(kTable, kData, 16);
  f.guest.submit(0);
  CHECK_FALSE(f.queue.pop(f.chain));
  CHECK(f.queue.broken());
}

TEST_CASE("The same head again and again cannot exceed the queue size in flight") {
  Fixture f;
  f.guest.set_chain(0, {{kData, 1, true}});
  for (int i = 0; i < 8; ++i) {
    f.guest.submit(0);
    REQUIRE(f.queue.pop(f.chain));
  }
  f.guest.submit(0);
  CHECK_FALSE(f.queue.pop(f.chain));
  CHECK(f.queue.broken());
  CHECK(f.queue.in_use() == 8);
}

TEST_CASE("Rings that do not fit are refused") {
  auto memory = *GuestMemory::create(kBase, kSize);
  const VirtQueueSetup good{true, 8, kBase, kBase + 0x1000, kBase + 0x2000};
  VirtQueue queue;
  REQUIRE(queue.start(*memory, good, 0));
  auto refused = [&](auto change) {
    VirtQueueSetup setup = good;
    change(setup);
    const bool started = queue.start(*memory, setup, 0);
    return !started && queue.broken() && !queue.running();
  };
  CHECK(refused([](auto& s) { s.size = 0; }));
  CHECK(refused([](auto& s) { s.size = 7; }));
  CHECK(refused([](auto& s) { s.size = 2048; }));
  CHECK(refused([](auto& s) { s.desc += 8; }));
  CHECK(refused([](auto& s) { s.driver += 1; }));
  CHECK(refused([](auto& s) { s.device += 2; }));
  CHECK(refused([](auto& s) { s.desc = 0; }));
  CHECK(refused([](auto& s) { s.driver = kBase + kSize - 20; }));  // 4 + 8 * 2 + 2 bytes are needed
  CHECK(refused([](auto& s) { s.device = kBase + kSize - 68; }));  // 4 + 8 * 8 + 2
  CHECK(refused([](auto& s) { s.device = 0xffff'ffff'ffff'fffc; }));
  CHECK(queue.start(*memory, good, 0));
}

TEST_CASE("Indices run through 65535 to 0") {
  Fixture f(4);
  for (unsigned round = 0; round < 70000; ++round) {
    const auto head = static_cast<uint16_t>(round % 4);
    f.guest.set_desc(head, kData, 8, GuestQueue::kWrite);
    f.guest.submit(head);
    if (!f.queue.has_work() || !f.queue.pop(f.chain) || f.chain.head != head) FAIL(round);
    f.queue.push(head, round);
    if (!f.queue.publish()) FAIL(round);
    const auto entry = f.guest.used_entry(static_cast<uint16_t>(round));
    if (entry.id != head || entry.length != round) FAIL(round);
  }
  CHECK(f.guest.used_idx() == static_cast<uint16_t>(70000));
}

TEST_CASE("Without EVENT_IDX the flags decide") {
  Fixture f;
  f.guest.set_chain(0, {{kData, 1, true}});
  f.guest.set_avail_flags(1);  // VIRTQ_AVAIL_F_NO_INTERRUPT
  f.guest.submit(0);
  f.take_and_push(1);
  CHECK_FALSE(f.queue.publish());
  f.guest.set_avail_flags(0);
  f.guest.submit(0);
  f.take_and_push(1);
  CHECK(f.queue.publish());

  f.queue.disable_notifications();
  CHECK(f.guest.used_flags() == 1);  // VIRTQ_USED_F_NO_NOTIFY
  f.guest.submit(0);
  CHECK(f.queue.enable_notifications());  // work that came meanwhile
  CHECK(f.guest.used_flags() == 0);
  f.take_and_push(1);
  CHECK_FALSE(f.queue.enable_notifications());
}

TEST_CASE("With EVENT_IDX an interrupt comes when used_event is passed") {
  // virtio 1.2, 2.7.7.2: interrupt when the entry at index used_event has been written.
  Fixture f(8, kVirtioRingEventIdx);
  f.guest.set_chain(0, {{kData, 1, true}});
  auto complete = [&](unsigned count) {
    for (unsigned i = 0; i < count; ++i) f.guest.submit(0), f.take_and_push(1);
    return f.queue.publish();
  };
  f.guest.set_avail_flags(1);  // ignored with the feature
  f.guest.set_used_event(0);
  CHECK(complete(1));  // entry 0
  CHECK_FALSE(complete(1));
  f.guest.set_used_event(4);
  CHECK_FALSE(complete(1));  // entry 2
  CHECK_FALSE(complete(1));  // entry 3
  CHECK(complete(1));        // entry 4
  f.guest.set_used_event(7);
  CHECK(complete(5));  // entries 5 to 9 pass 7
  CHECK_FALSE(complete(1));
  f.guest.set_used_event(30000);  // far ahead
  CHECK_FALSE(complete(8));
}

TEST_CASE("With EVENT_IDX the wrap of the used index counts as any other step") {
  Fixture f(8, kVirtioRingEventIdx);
  f.guest.set_chain(0, {{kData, 1, true}});
  f.guest.set_used_event(0xffff);
  unsigned interrupts = 0;
  for (unsigned i = 0; i < 65535; ++i) {
    f.guest.submit(0);
    f.take_and_push(1);
    interrupts += f.queue.publish();
  }
  CHECK(interrupts == 0);
  for (int i = 0; i < 2; ++i) {
    f.guest.submit(0);
    f.take_and_push(1);
  }
  CHECK(f.queue.publish());  // entries 0xffff and 0
  CHECK(f.guest.used_idx() == 1);
}

TEST_CASE("With EVENT_IDX avail_event asks for the next chain only while enabled") {
  Fixture f(8, kVirtioRingEventIdx);
  f.guest.set_chain(0, {{kData, 1, true}});
  CHECK_FALSE(f.queue.enable_notifications());
  CHECK(f.guest.avail_event() == 0);
  f.queue.disable_notifications();
  // The driver, at 0, has passed it: it stays quiet.
  CHECK(f.guest.avail_event() == 0xffff);
  for (int i = 0; i < 3; ++i) f.guest.submit(0);
  f.take_and_push(2);
  CHECK(f.guest.avail_event() == 0xffff);
  CHECK(f.queue.enable_notifications());
  CHECK(f.guest.avail_event() == 2);
  f.take_and_push(1);
  CHECK_FALSE(f.queue.enable_notifications());
  CHECK(f.guest.avail_event() == 3);
  CHECK(f.guest.used_flags() == 0);
}

TEST_CASE("Whoever watches memory is told of buffers once the device has done with them") {
  struct Watcher final : WriteWatcher {
    void written(uint64_t address, uint64_t length) override { told.emplace_back(address, length); }
    std::vector<std::pair<uint64_t, uint64_t>> told;
  };
  Watcher watcher;
  Fixture f;
  f.guest.set_chain(0, {{kData, 16, false}, {kData + 512, 1024, true}, {kData + 4096, 1, true}});
  f.guest.submit(0);
  REQUIRE(f.queue.pop(f.chain));
  f.memory->set_watcher(&watcher);
  SECTION("they are given back") {
    f.queue.push(0, 1);
  }
  // As after the driver's reset, when what was in flight has ended into nothing.
  SECTION("the queue stops") {
    f.queue.stop();
  }
  SECTION("the queue starts anew") {
    REQUIRE(f.queue.start(*f.memory, f.guest.setup(), 0));
  }
  using Told = std::vector<std::pair<uint64_t, uint64_t>>;
  CHECK(watcher.told == Told{{kData + 512, 1024}, {kData + 4096, 1}});
  f.queue.stop();
  CHECK(watcher.told.size() == 2);
  f.memory->set_watcher(nullptr);
}

TEST_CASE("A queue starts anew at index 0") {
  Fixture f;
  f.guest.set_chain(0, {{kData, 1, true}});
  f.guest.submit(0);
  f.take_and_push(1);
  (void)f.queue.publish();
  f.queue.stop();
  CHECK_FALSE(f.queue.has_work());
  GuestQueue again(*f.memory, kBase + 0x10000, 8);
  REQUIRE(f.queue.start(*f.memory, again.setup(), 0));
  again.set_chain(1, {{kData, 1, true}});
  again.submit(1);
  f.take_and_push(1);
  CHECK(f.queue.publish());
  CHECK(again.used_idx() == 1);
  CHECK(f.guest.used_idx() == 1);
}
