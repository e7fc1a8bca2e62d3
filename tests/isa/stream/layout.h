// Where the parts of a stream's image lie, for the generator and the harness (C and C++).
#pragma once

// The harness is linked at the start of RAM; the generator's blob follows. All of it is in one
// 2 MiB region, so that one table of 4 KiB pages maps it.
#define STREAM_BLOB 0x80100000
#define STREAM_POOL 0x1000      // two tables of STREAM_POOL_SIZE values, integer and floating point
#define STREAM_TABLES 0x5000    // page tables, root of Sv57 first
#define STREAM_SCRATCH 0x10000  // four pages that loads and stores reach
#define STREAM_CODE 0x20000
#define STREAM_LIMIT 0x100000

#define STREAM_POOL_SIZE 1024

// Registers that instructions of the stream do not write, but for a loop's counter:
// x2 and x8 point into the scratch pages, x3 into the pool. Page 3 has odd permissions.
#define STREAM_X2 (STREAM_BLOB + STREAM_SCRATCH + 0x1000)
#define STREAM_X8 (STREAM_BLOB + STREAM_SCRATCH + 0x2c00)
#define STREAM_X3 (STREAM_BLOB + STREAM_POOL + 0x800)

#ifndef __ASSEMBLER__
// Head of the blob; run_streams.py changes the first four.
struct StreamHeader {
  unsigned long first, last;  // rounds to run; a round's registers follow from its number
  unsigned long dump;         // print the registers after each round instead of a hash
  unsigned long random;       // unused by the harness: the seed, for people
  unsigned long privilege;    // 0 = U, 1 = S
  unsigned long satp;
  unsigned long end;  // address of the instruction that ends a round
};
#endif
