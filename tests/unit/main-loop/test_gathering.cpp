#include <catch2/catch.hpp>

#include "main-loop/gathering.h"

using namespace hv;

namespace {

constexpr int64_t kUs = 1000;

// Two rounds, each with `completed` completions, and with `in_flight` in flight.
void show_depth(Gathering& gathering, unsigned completed, unsigned in_flight) {
  for (int i = 0; i < 2; ++i) gathering.round(completed, 0, in_flight);
}

// One sleep, at whose end `left` are in flight.
Gathering::Sleep sleep(Gathering& gathering, unsigned in_flight, unsigned requests,
                       unsigned left = 0, int64_t took_ns = 60 * kUs) {
  REQUIRE(gathering.wants(in_flight));
  const Gathering::Sleep planned = gathering.begin(in_flight, 0);
  gathering.end(left, requests, requests > 0 || left < in_flight, took_ns);
  return planned;
}

}  // namespace

TEST_CASE("one in flight at a time never gathers but for trials", "[gathering]") {
  Gathering gathering;
  unsigned gathered = 0;
  for (int i = 0; i < 1000; ++i) {
    gathering.round(1, 0, 0);
    gathered += gathering.wants(1);
    gathering.slept(50 * kUs);
  }
  // After 4, 8, 16 ... 512.
  CHECK(gathered <= 8);
  CHECK(gathered >= 1);
}

TEST_CASE("long sleeps bring no trial", "[gathering]") {
  Gathering gathering;
  for (int i = 0; i < 10'000; ++i) {
    gathering.slept(Gathering::kShortNs);
    CHECK_FALSE(gathering.wants(0));
  }
}

TEST_CASE("a burst makes the next trial come soon again", "[gathering]") {
  Gathering gathering;
  const auto sleeps_to_trial = [&] {
    unsigned sleeps = 0;
    for (; !gathering.wants(0); ++sleeps) gathering.slept(kUs);
    return sleeps;
  };
  CHECK(sleeps_to_trial() == Gathering::kFirstTrial);
  CHECK(sleeps_to_trial() == 2 * Gathering::kFirstTrial);
  gathering.round(0, Gathering::kTurnFrom, 0);
  for (; gathering.wants(0); gathering.end(0, 0, false, kUs)) gathering.begin(0, 0);
  CHECK(sleeps_to_trial() == Gathering::kFirstTrial);
}

TEST_CASE("what is in flight is waited for: some, few and quick ones, or many", "[gathering]") {
  Gathering gathering;
  CHECK(sleep(gathering, 2, 0).operations == 1);
  CHECK(sleep(gathering, 3, 0).operations == 2);
  CHECK(sleep(gathering, 8, 0).operations == 8);
  // One of them took long: the next ones do not wait for all.
  CHECK(sleep(gathering, 8, 0, 1, 300 * kUs).operations == 8);
  CHECK(sleep(gathering, 8, 0).operations == 6);
  CHECK(sleep(gathering, 8, 0).operations == 8);
  sleep(gathering, 8, 0, 1, 300 * kUs);
  const Gathering::Sleep many = sleep(gathering, 12, 0);
  CHECK(many.operations == 12);
  CHECK(many.longest_ns == Gathering::kLongestAllNs);
}

TEST_CASE("while many are the guest's, the loop sleeps a turn", "[gathering]") {
  Gathering gathering;
  SECTION("with some in flight") {
    show_depth(gathering, 16, 16);
    const Gathering::Sleep turn = sleep(gathering, 16, 10);
    CHECK(turn.operations > 16);
    CHECK(turn.longest_ns >= Gathering::kShortestTurnNs);
    CHECK(turn.longest_ns <= Gathering::kLongestTurnNs);
  }
  SECTION("with none in flight") {
    CHECK_FALSE(gathering.wants(0));
    for (int i = 0; i < 2; ++i) gathering.round(0, 16, 0);
    CHECK(gathering.wants(0));
    CHECK(gathering.looks_first());
    gathering.served(true);
    CHECK_FALSE(gathering.looks_first());
  }
  SECTION("unless all it has are found before the sleep") {
    for (int i = 0; i < 2; ++i) gathering.round(8, 0, 0);
    CHECK(gathering.wants(0));
    CHECK(gathering.begin(8, 8).operations == 8);
  }
  SECTION("not after one burst") {
    gathering.round(16, 0, 0);
    CHECK_FALSE(gathering.wants(0));
  }
  SECTION("not when nearly all are in flight") {
    show_depth(gathering, 4, 14);
    CHECK(sleep(gathering, 12, 0).operations == 12);
  }
}

TEST_CASE("a turn finds its length", "[gathering]") {
  Gathering gathering;
  // A guest that makes a request each `pace_ns` until it has none of `most` left.
  const auto turns = [&](int64_t pace_ns, unsigned most) {
    int64_t length = 0;
    for (int i = 0; i < 300; ++i) {
      show_depth(gathering, 16, 16);
      REQUIRE(gathering.wants(16));
      const int64_t now = gathering.begin(16, 0).longest_ns;
      length = std::max(now, length * 3 / 4);  // for some are short
      const auto made = static_cast<unsigned>(now / pace_ns);
      gathering.end(0, std::min(made, most), true, now);
    }
    return length;
  };
  SECTION("enough for 16 to 24 requests") {
    for (int64_t pace_ns : {10'000, 5'000, 12'000}) {
      const int64_t length = turns(pace_ns, 1000);
      CHECK(length >= 16 * pace_ns);
      CHECK(length <= 25 * pace_ns);
    }
  }
  SECTION("but for no more than a slow guest's or a quick one's") {
    CHECK(turns(1'000'000, 1000) <= Gathering::kLongestTurnNs);
    CHECK(turns(100, 1000) == Gathering::kShortestTurnNs);
  }
  SECTION("and not much longer than the guest has something to do") {
    const int64_t length = turns(10'000, 8);
    CHECK(length > 80'000);
    CHECK(length < 240'000);
  }
}

TEST_CASE("a guest that does not answer is waited for twice", "[gathering]") {
  Gathering gathering;
  show_depth(gathering, 16, 16);
  gathering.round(16, 0, 0);
  const int64_t first = sleep(gathering, 0, 0).longest_ns;
  CHECK(sleep(gathering, 0, 0).longest_ns > first);
  CHECK_FALSE(gathering.wants(0));  // until it notifies
  gathering.round(0, 1, 1);
  SECTION("it has more to say") {
    sleep(gathering, 1, 5);
    CHECK(gathering.wants(0));
  }
  SECTION("it has not") {
    sleep(gathering, 1, 0);
    CHECK_FALSE(gathering.wants(0));
    CHECK_FALSE(gathering.wants(1));
  }
}

TEST_CASE("a straggler does not end it, a guest that changes does", "[gathering]") {
  Gathering gathering;
  show_depth(gathering, 16, 16);
  gathering.round(1, 0, 0);
  CHECK(gathering.wants(0));
  for (int i = 0; i < 100; ++i) gathering.round(1, 0, 0);
  CHECK_FALSE(gathering.wants(0));
}

TEST_CASE("a turn too short for the disk gets longer, without a pause", "[gathering]") {
  Gathering gathering;
  show_depth(gathering, 16, 4);
  int64_t before = 0;
  for (int i = 0; i < 2; ++i) {
    const int64_t now = sleep(gathering, 4, 0, 4).longest_ns;
    CHECK(now > before);
    before = now;
  }
}

TEST_CASE("a slow disk is not waited for in turns for ever", "[gathering]") {
  Gathering gathering;
  for (int i = 0; i < 10; ++i) {
    show_depth(gathering, 16, 16);
    sleep(gathering, 16, 16);
  }
  unsigned gathered = 0;
  for (; gathering.wants(4) && gathered < 100; ++gathered) {
    gathering.begin(4, 0);
    gathering.end(4, 0, false, Gathering::kLongestTurnNs);
  }
  CHECK(gathered <= 10);
}

TEST_CASE("a sleep that something else ends at once says nothing of the guest's pace",
          "[gathering]") {
  Gathering gathering;
  const auto turn = [&](unsigned requests, int64_t took_ns) {
    show_depth(gathering, 16, 16);
    return sleep(gathering, 16, requests, 0, took_ns).longest_ns;
  };
  const int64_t before = turn(10, 100 * kUs);
  turn(10, 1 * kUs);
  for (int i = 0; i < 10; ++i) turn(10, 100 * kUs);
  CHECK(turn(10, 100 * kUs) >= before);
}

TEST_CASE("a slow disk is not waited for in vain again and again", "[gathering]") {
  Gathering gathering;
  unsigned gathered = 0;
  for (int i = 0; i < 170; ++i) {
    if (!gathering.wants(4)) continue;
    ++gathered;
    gathering.begin(4, 0);
    gathering.end(4, 0, false, Gathering::kLongestNs);
  }
  CHECK(gathered <= 15);
  // And as soon as something completes, always.
  while (!gathering.wants(4)) {
  }
  gathering.begin(4, 0);
  gathering.end(1, 0, true, Gathering::kLongestNs);
  CHECK(gathering.wants(4));
}
