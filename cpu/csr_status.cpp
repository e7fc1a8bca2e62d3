// CSRs that describe the hart and set its modes of operation.
#include "cpu/csr_access.h"
#include "cpu/page_table.h"
#include "cpu/trap.h"

namespace hv {
namespace {

constexpr unsigned kFirstSstateen = 0x10c, kFirstMstateen = 0x30c;

constexpr uint64_t kMstatusWritable = kSstatusWritable | kMstatusMie | kMstatusMpie | kMstatusMprv |
                                      kMstatusTvm | kMstatusTw | kMstatusTsr;
constexpr uint64_t kSstatusVisible = kSstatusStored | kMstatusUxl | kMstatusSd;

// Common to mstatus and sstatus: `writable` without FS and MPP, which have rules of their own.
void update_mstatus(Hart& hart, uint64_t value, uint64_t writable) {
  if (hart.has(Ext::kF)) writable |= kMstatusFs;
  hart.csr.mstatus = (hart.csr.mstatus & ~writable) | (value & writable);
  state_changed(hart);
  request_interrupt_check(hart);
}

// CBIE = 2 is reserved: the field keeps its value.
uint64_t envcfg_mask(const Hart& hart, uint64_t value) {
  uint64_t mask = kEnvcfgFiom;
  if (hart.has(Ext::kZicbom)) {
    mask |= kEnvcfgCbcfe;
    if ((value & kEnvcfgCbie) != 2ull << 4) mask |= kEnvcfgCbie;
  }
  if (hart.has(Ext::kZicboz)) mask |= kEnvcfgCbze;
  return mask;
}

}  // namespace

uint64_t read_misa(Hart& hart, unsigned) {
  return hart.config->misa();
}
uint64_t read_mvendorid(Hart& hart, unsigned) {
  return hart.config->vendor_id;
}
uint64_t read_marchid(Hart& hart, unsigned) {
  return hart.config->arch_id;
}
uint64_t read_mimpid(Hart& hart, unsigned) {
  return hart.config->imp_id;
}
uint64_t read_mhartid(Hart& hart, unsigned) {
  return hart.id;
}

uint64_t read_mstatus(Hart& hart, unsigned) {
  const uint64_t value = hart.csr.mstatus | kMstatusUxl | kMstatusSxl;
  return (value & kMstatusFs) == kMstatusFs ? value | kMstatusSd : value;
}

void write_mstatus(Hart& hart, unsigned, uint64_t value, uint64_t) {
  // MPP holds U, S or M; another value leaves it as it was.
  uint64_t writable = kMstatusWritable;
  if ((value & kMstatusMpp) != 2ull << 11) writable |= kMstatusMpp;
  update_mstatus(hart, value, writable);
}

uint64_t read_sstatus(Hart& hart, unsigned csr) {
  return read_mstatus(hart, csr) & kSstatusVisible;
}

void write_sstatus(Hart& hart, unsigned, uint64_t value, uint64_t) {
  update_mstatus(hart, value, kSstatusWritable);
}

uint64_t read_menvcfg(Hart& hart, unsigned) {
  return hart.csr.menvcfg;
}

void write_menvcfg(Hart& hart, unsigned, uint64_t value, uint64_t) {
  uint64_t mask = envcfg_mask(hart, value);
  if (hart.has(Ext::kSvadu)) mask |= kEnvcfgAdue;
  if (hart.has(Ext::kSvpbmt)) mask |= kEnvcfgPbmte;
  if (hart.has(Ext::kSstc)) mask |= kEnvcfgStce;
  const uint64_t old = hart.csr.menvcfg;
  hart.csr.menvcfg = (old & ~mask) | (value & mask);
  const uint64_t changed = old ^ hart.csr.menvcfg;
  if (changed & (kEnvcfgAdue | kEnvcfgPbmte)) hart.mmu->flush(std::nullopt, std::nullopt);
  if (changed & kEnvcfgStce) {
    // Without Sstc STIP belongs to M-mode software, which finds it clear.
    if (!(hart.csr.menvcfg & kEnvcfgStce)) hart.mip.fetch_and(~kMipStip);
    update_timers(hart);
    hart.requests.fetch_or(kReqTimer);
    request_interrupt_check(hart);
  }
}

uint64_t read_senvcfg(Hart& hart, unsigned) {
  return hart.csr.senvcfg;
}

void write_senvcfg(Hart& hart, unsigned, uint64_t value, uint64_t) {
  const uint64_t mask = envcfg_mask(hart, value);
  hart.csr.senvcfg = (hart.csr.senvcfg & ~mask) | (value & mask);
}

bool senvcfg_allowed(const Hart& hart, unsigned, Priv priv) {
  return priv == Priv::kMachine || !hart.has(Ext::kSmstateen) ||
         (hart.csr.mstateen[0] & kStateenEnvcfg);
}

// The sstateen registers hold nothing: the state that they could keep from U-mode (FCSR of Zfinx,
// JVT of Zcmt) does not exist here.
bool sstateen_allowed(const Hart& hart, unsigned csr, Priv priv) {
  return priv == Priv::kMachine || (hart.csr.mstateen[csr - kFirstSstateen] & kStateenSe);
}

uint64_t read_mstateen(Hart& hart, unsigned csr) {
  return hart.csr.mstateen[csr - kFirstMstateen];
}

void write_mstateen(Hart& hart, unsigned csr, uint64_t value, uint64_t) {
  const unsigned index = csr - kFirstMstateen;
  hart.csr.mstateen[index] = value & (index == 0 ? kStateenSe | kStateenEnvcfg : kStateenSe);
}

bool satp_allowed(const Hart& hart, unsigned, Priv priv) {
  return priv != Priv::kSupervisor || !(hart.csr.mstatus & kMstatusTvm);
}

uint64_t read_satp(Hart& hart, unsigned) {
  return hart.csr.satp;
}

void write_satp(Hart& hart, unsigned, uint64_t value, uint64_t) {
  // A mode that the hart lacks: the whole write has no effect (4.1.11). Linux probes this way.
  const unsigned levels = satp_levels(value);
  if (satp_mode(value) != 0 && (levels == 0 || 12 + 9 * levels > hart.config->max_sv)) return;
  // Without an MMU satp is read-only zero.
  if (hart.config->max_sv == 0) return;
  hart.csr.satp = value;
  state_changed(hart);
}

}  // namespace hv
