// Ways to write code: all kinds of stores, a disk, and the mappings they go through.
#include "smc.h"

static const u64 kBases[] = {0, 4ul << 30, 5ul << 30};
u64 address_of(u64 mapping, u64 offset) {
  return (mapping == PHYSICAL ? (u64)arenas : kBases[mapping]) + offset;
}

u64* data_word(u64 mapping, u64 page_offset, u64 index) {
  return (u64*)address_of(mapping, page_offset / PAGE * PAGE + DATA_CELL * CELL) + index;
}

void hammer(u64 page_offset, u64 count) {
  const u64 hart = hart_id();
  // Its owner may have changed WINDOW_A.
  volatile u64* word = data_word(random_below(2) ? PHYSICAL : MAPPINGS - 1, page_offset, hart);
  u64* known = &harts[hart].hammer[page_offset / PAGE];
  expect("data beside code", *known, *word);
  for (u64 i = 0; i < count; ++i) ++*word;
  *known += count;
  harts[hart].counts.hammered += count;
}

// --- The disk: virtio-mmio, version 2, one request at a time. ---

struct Descriptor {
  u64 address;
  u32 length;
  u16 flags, next;
};
enum { NEXT = 1, WRITE = 2, QUEUE = 8 };
static struct Descriptor descriptors[QUEUE] __attribute__((aligned(16)));
static struct {
  u16 flags, index, ring[QUEUE], event;
} available __attribute__((aligned(4)));
static struct {
  u16 flags, index;
  struct {
    u32 id, length;
  } ring[QUEUE];
  u16 event;
} used __attribute__((aligned(4)));
static volatile u32* disk;

static void set_wide(u64 index, const void* to) {
  disk[index] = (u32)(u64)to;
  disk[index + 1] = (u32)((u64)to >> 32);
}

void find_disk(void) {
  for (u64 slot = 0x10001000; slot < 0x10009000; slot += 0x1000) {
    volatile u32* registers = (volatile u32*)slot;
    if (registers[0] != 0x74726976 || registers[1] != 2 || registers[2] != 2) continue;
    disk = registers;
    disk[0x70 / 4] = 0;
    disk[0x70 / 4] = 1 | 2;  // ACKNOWLEDGE, DRIVER
    disk[0x24 / 4] = 0;
    disk[0x20 / 4] = 0;
    disk[0x24 / 4] = 1;
    disk[0x20 / 4] = 1;  // VERSION_1
    disk[0x70 / 4] = 1 | 2 | 8;
    disk[0x30 / 4] = 0;
    disk[0x38 / 4] = QUEUE;
    set_wide(0x80 / 4, descriptors);
    set_wide(0x90 / 4, &available);
    set_wide(0xa0 / 4, &used);
    disk[0x44 / 4] = 1;
    disk[0x70 / 4] = 1 | 2 | 4 | 8;
    available.flags = 1;  // no interrupts
    return;
  }
}

static u64 disk_lock;
static void request(u32 type, u64 sector, const struct Descriptor* data, u64 count) {
  static struct {
    u32 type, reserved;
    u64 sector;
  } header;
  static volatile u8 status;
  header.type = type;
  header.sector = sector;
  status = 0xff;
  descriptors[0] = (struct Descriptor){(u64)&header, 16, NEXT, 1};
  u64 at = 1;
  for (u64 i = 0; i < count; ++i) {
    if (data[i].length == 0) continue;
    descriptors[at] = data[i];
    descriptors[at].flags = (u16)(NEXT | (type == 0 ? WRITE : 0));
    descriptors[at].next = (u16)(at + 1);
    ++at;
  }
  descriptors[at] = (struct Descriptor){(u64)&status, 1, WRITE, 0};
  const u16 before = __atomic_load_n(&used.index, __ATOMIC_ACQUIRE);
  available.ring[available.index % QUEUE] = 0;
  __atomic_store_n(&available.index, (u16)(available.index + 1), __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  disk[0x50 / 4] = 0;
  while (__atomic_load_n(&used.index, __ATOMIC_ACQUIRE) == before) asm volatile(".word 0x0100000f");
  if (status != 0) fail("disk", 0, status);
}

// The disk gets it from a buffer and puts it where it shall be.
static void put_by_disk(u64 offset, const u8* bytes, u64 size) {
  static u8 buffer[2 * PAGE], rest[2 * PAGE];
  while (__atomic_exchange_n(&disk_lock, 1, __ATOMIC_ACQUIRE)) {
  }
  const u64 lead = random_below(256) * 2, total = (lead + size + 511) / 512 * 512;
  for (u64 i = 0; i < size; ++i) buffer[lead + i] = bytes[i];
  const u64 sector = hart_id() * 16;
  const struct Descriptor out = {(u64)buffer, (u32)total, 0, 0};
  request(1, sector, &out, 1);
  const struct Descriptor in[] = {
      {(u64)rest, (u32)lead, 0, 0},
      {address_of(PHYSICAL, offset), (u32)size, 0, 0},
      {(u64)rest + lead, (u32)(total - lead - size), 0, 0},
  };
  request(0, sector, in, 3);
  __atomic_store_n(&disk_lock, 0, __ATOMIC_RELEASE);
  ++harts[hart_id()].counts.dma;
}

// --- Stores. ---

enum Way {
  BYTES,
  HALVES,
  WORDS,
  DOUBLES,
  SWAPS,
  XORS,
  CONDITIONAL_WORDS,
  CONDITIONAL_DOUBLES,
  FLOATS,
  FLOAT_DOUBLES,
  ZEROED,
  MISALIGNED,
  DISK,
  WAYS
};
static const u8 kUnits[] = {1, 2, 4, 8, 4, 8, 4, 8, 4, 8, 64};

static void put_line(u64* to, const u64* from) {
  harts[hart_id()].probing = 1;  // a hart without Zicboz goes on behind it
  asm volatile(".insn i 0x0f, 2, x0, %0, 4" ::"r"(to) : "memory");  // cbo.zero
  harts[hart_id()].probing = 0;
  for (u64 i = 0; i < 8; ++i) ((volatile u64*)to)[i] = from[i];
}

static void put_unit(u64 way, void* to, const void* from) {
  u64 failed, old;
  switch (way) {
    case BYTES:
      *(volatile u8*)to = *(const u8*)from;
      break;
    case HALVES:
      *(volatile u16*)to = *(const u16*)from;
      break;
    case WORDS:
      *(volatile u32*)to = *(const u32*)from;
      break;
    case DOUBLES:
      *(volatile u64*)to = *(const u64*)from;
      break;
    case SWAPS:
      __atomic_exchange_n((u32*)to, *(const u32*)from, __ATOMIC_RELAXED);
      break;
    case XORS:
      __atomic_fetch_xor((u64*)to, *(u64*)to ^ *(const u64*)from, __ATOMIC_RELAXED);
      break;
    case CONDITIONAL_WORDS:
      do {
        asm volatile("lr.w %1, (%2)\nsc.w %0, %3, (%2)"
                     : "=&r"(failed), "=&r"(old)
                     : "r"(to), "r"(*(const u32*)from)
                     : "memory");
      } while (failed);
      break;
    case CONDITIONAL_DOUBLES:
      do {
        asm volatile("lr.d %1, (%2)\nsc.d %0, %3, (%2)"
                     : "=&r"(failed), "=&r"(old)
                     : "r"(to), "r"(*(const u64*)from)
                     : "memory");
      } while (failed);
      break;
    case FLOATS:
      asm volatile("flw ft0, (%1)\nfsw ft0, (%0)" ::"r"(to), "r"(from) : "ft0", "memory");
      break;
    case FLOAT_DOUBLES:
      asm volatile("fld ft0, (%1)\nfsd ft0, (%0)" ::"r"(to), "r"(from) : "ft0", "memory");
      break;
    default:
      put_line(to, from);
  }
}

// Each store crosses an eight-byte boundary, some a page's.
static void put_misaligned(u8* to, const u8* from, u64 size) {
  u64 i = 0;
  for (; i + 8 <= size; i += 8) {
    u64 value = 0;
    for (u64 k = 8; k > 0; --k) value = value << 8 | from[i + k - 1];
    asm volatile("sd %1, (%0)" ::"r"(to + i), "r"(value) : "memory");
  }
  for (; i < size; i += 2) {
    asm volatile("sh %1, (%0)" ::"r"(to + i), "r"(from[i] | from[i + 1] << 8) : "memory");
  }
}

static void put_units(u64 way, u8* to, const u8* from, u64 size) {
  static u8 lines[HARTS][2 * PAGE] __attribute__((aligned(64)));
  u8* line = lines[hart_id()];
  const u64 unit = kUnits[way], lead = (u64)to % unit;
  const u64 whole = (lead + size + unit - 1) / unit * unit;
  to -= lead;
  for (u64 i = 0; i < whole; ++i) line[i] = i < lead || i >= lead + size ? to[i] : from[i - lead];
  for (u64 i = 0; i < whole; i += unit) put_unit(way, to + i, line + i);
}

static u64 usable_mapping(void) {
  const u64 mapping = random_below(MAPPINGS);
  return harts[hart_id()].window_changed && mapping == 1 ? PHYSICAL : mapping;
}

void put(u64 offset, const void* bytes, u64 size) {
  const u64 way = random_below(WAYS), mapping = usable_mapping();
  u8* to = (u8*)address_of(mapping, offset);
  ++harts[hart_id()].counts.changes;
  if (way == DISK && disk)
    put_by_disk(offset, bytes, size);
  else if (way >= MISALIGNED)
    put_misaligned(to, bytes, size);
  else
    put_units(way, to, bytes, size);
  const u8* there = (const u8*)address_of(usable_mapping(), offset);
  for (u64 i = 0; i < size; ++i) expect("memory just written", ((const u8*)bytes)[i], there[i]);
}

// --- Translation: one root for all harts, and one in which neighbouring pages are exchanged. ---

#ifdef SUPERVISOR
enum { VALID = 1, READ = 2, WRITE_ = 4, EXECUTE = 8, ALL = 0xcf };  // with A and D
static u64 roots[2][512] __attribute__((aligned(4096)));
static u64 middles[3][512] __attribute__((aligned(4096)));
static u64 leaves[3][512] __attribute__((aligned(4096)));

static u64 entry(const void* to, u64 bits) {
  return (u64)to >> 12 << 10 | bits;
}

void map_page(u64 window, u64 offset, u64 target, u64 how) {
  const u64 bits = how == MAP_NORMAL ? ALL : how == MAP_NOTHING ? 0 : ALL & ~(u64)EXECUTE;
  __atomic_store_n(&leaves[window - WINDOW_A][offset / PAGE], entry(arenas + target, bits),
                   __ATOMIC_SEQ_CST);
}

void make_maps(void) {
  for (u64 offset = 0; offset < ARENA_BYTES; offset += PAGE) {
    leaves[0][offset / PAGE] = leaves[1][offset / PAGE] = entry(arenas + offset, ALL);
    const u64 other = (offset ^ PAGE) < ARENA_BYTES ? offset ^ PAGE : offset;
    leaves[2][offset / PAGE] = entry(arenas + other, ALL);
  }
  for (u64 i = 0; i < 3; ++i) middles[i][0] = entry(leaves[i], VALID);
  for (u64 space = 0; space < 2; ++space) {
    roots[space][0] = entry(0, ALL & ~(u64)EXECUTE);
    roots[space][2] = entry((void*)(2ul << 30), ALL);
    roots[space][4] = entry(middles[space == 0 ? 0 : 2], VALID);
    roots[space][5] = entry(middles[1], VALID);
  }
}

// Each has its address space identifier, so no fence is needed.
void use_space(u64 space) {
  csr_write(satp, 8ul << 60 | space << 44 | (u64)roots[space - 1] >> 12);
}
#endif
