// compute          lists the programs
// compute NAME     runs one and prints "NAME checksum"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "compute.h"

static const struct {
  const char* name;
  Program* run;
} programs[] = {
    {"integer-mix", run_integer_mix},
    {"records", run_records},
    {"sha256", run_sha256},
    {"bytecode", run_bytecode},
    {"indirect-calls", run_indirect_calls},
    {"matrix", run_matrix},
    {"bodies", run_bodies},
    {"chase", run_chase},
    {"memcpy", run_memcpy},
    {"unaligned", run_unaligned},
    {"atomics-1", run_atomics_1},
    {"atomics-2", run_atomics_2},
    {"atomics-4", run_atomics_4},
    {"mutex-1", run_mutex_1},
    {"mutex-2", run_mutex_2},
    {"mutex-4", run_mutex_4},
    {"syscalls", run_syscalls},
    {"page-faults", run_page_faults},
};

int main(int argc, char** argv) {
  for (unsigned i = 0; i < sizeof(programs) / sizeof(programs[0]); ++i) {
    if (argc == 1) puts(programs[i].name);
    if (argc != 2 || strcmp(argv[1], programs[i].name) != 0) continue;
    printf("%s %016" PRIx64 "\n", programs[i].name, programs[i].run());
    return 0;
  }
  return argc != 1;
}
