// The compute benchmark: programs of one binary, each a function that returns a checksum.
#pragma once

#include <stdint.h>

typedef uint64_t Program(void);

Program run_integer_mix, run_records, run_sha256, run_bytecode, run_indirect_calls;
Program run_matrix, run_bodies;
Program run_chase, run_memcpy, run_unaligned;
Program run_atomics_1, run_atomics_2, run_atomics_4, run_mutex_1, run_mutex_2, run_mutex_4;
Program run_syscalls, run_page_faults;

static inline uint64_t next_random(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static inline uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ hash >> 29;
}
