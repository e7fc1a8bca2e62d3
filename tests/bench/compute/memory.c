// Programs about memory.
#include <stdlib.h>
#include <string.h>

#include "compute.h"

// A cycle through 16 MiB in random order: each load needs the one before.
uint64_t run_chase(void) {
  enum { kCount = 1 << 21 };
  static uint64_t next[kCount];
  uint64_t state = 5;
  for (uint64_t i = 0; i < kCount; ++i) next[i] = i;
  for (uint64_t i = kCount - 1; i > 0; --i) {
    const uint64_t other = next_random(&state) % i, t = next[i];
    next[i] = next[other];
    next[other] = t;
  }
  uint64_t at = 0, hash = 0;
  for (unsigned i = 0; i < 10000000; ++i) hash += at = next[at];
  return hash;
}

uint64_t run_memcpy(void) {
  enum { kSize = 1 << 20 };
  static uint8_t from[kSize + 64], to[kSize + 64];
  uint64_t state = 9, hash = 0;
  for (unsigned i = 0; i < kSize; ++i) from[i] = (uint8_t)next_random(&state);
  for (unsigned round = 0; round < 1400; ++round) {
    const size_t size = round % 4 ? kSize - 64 : 4096 + round;
    memcpy(to + round % 8, from + round % 3 * 8, size);
    if (round % 16 == 0) memmove(from + 1, from, 5000);
    hash = mix(hash, to[round * 997 % size]);
  }
  return hash;
}

// Loads and stores at odd addresses, as the guest's hardware is asked to do them.
uint64_t run_unaligned(void) {
  static uint8_t bytes[1 << 16];
  uint64_t hash = 1;
  for (unsigned round = 0; round < 36000000; ++round) {
    uint8_t* const at = bytes + (hash >> 20) % (sizeof(bytes) - 8);
    uint64_t value;
    asm volatile("ld %0, (%1)" : "=r"(value) : "r"(at) : "memory");
    hash = hash * 5 + value + round;
    asm volatile("sd %0, (%1)" ::"r"(hash), "r"(at) : "memory");
  }
  return hash;
}
