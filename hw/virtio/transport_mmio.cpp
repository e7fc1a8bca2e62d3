#include "hw/virtio/transport_mmio.h"

#include <array>
#include <cassert>

#include "io/log.h"

namespace hv {

namespace {

// Register offsets, virtio 1.2, section 4.2.2.
enum Register : uint64_t {
  kMagicValue = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00c,
  kDeviceFeatures = 0x010,
  kDeviceFeaturesSel = 0x014,
  kDriverFeatures = 0x020,
  kDriverFeaturesSel = 0x024,
  kQueueSel = 0x030,
  kQueueNumMax = 0x034,
  kQueueNum = 0x038,
  kQueueReady = 0x044,
  kInterruptStatus = 0x060,
  kInterruptAck = 0x064,
  kStatus = 0x070,
  kQueueDescLow = 0x080,
  kQueueDescHigh = 0x084,
  kQueueDriverLow = 0x090,
  kQueueDriverHigh = 0x094,
  kQueueDeviceLow = 0x0a0,
  kQueueDeviceHigh = 0x0a4,
  kShmSel = 0x0ac,
  kShmLenLow = 0x0b0,
  kShmBaseHigh = 0x0bc,
  kConfigGeneration = 0x0fc,
  kConfig = 0x100,
};

constexpr uint32_t kMagic = 0x7472'6976;   // "virt"
constexpr uint32_t kVendor = 0x554d'4551;  // what QEMU's virtio-mmio says

}  // namespace

VirtioMmioTransport::VirtioMmioTransport(unsigned index, IrqLine line)
    : index_(index), line_(line) {}

VirtioMmioTransport::~VirtioMmioTransport() = default;

std::string VirtioMmioTransport::bus_name() const {
  return fmt::format("virtio-mmio-bus.{}", index_);
}

void VirtioMmioTransport::plug(std::unique_ptr<VirtioDevice> device) {
  assert(!control_);
  control_ = std::make_unique<VirtioControl>(std::move(device), line_);
}

Result<> VirtioMmioTransport::map(MmioMap& map, uint64_t base) {
  HV_TRY(map.add(fmt::format("virtio-mmio.{}", index_), base, kWindowSize, *this, 1, 4));
  if (!control_) return {};
  std::vector<EventNotifier*> doorbells;
  for (unsigned i = 0; i < control_->device().queue_count(); ++i)
    doorbells.push_back(&control_->notifier(i));
  map.add_doorbell(base + kQueueNotify, 4, std::move(doorbells));
  return {};
}

void VirtioMmioTransport::describe(FdtNode& node) const {
  node.prop_string("compatible", "virtio,mmio");
}

void VirtioMmioTransport::reset() {
  device_features_sel_ = driver_features_sel_ = queue_sel_ = 0;
  if (control_) control_->reset();
}

void VirtioMmioTransport::quiesce() {
  if (control_) control_->quiesce();
}

void VirtioMmioTransport::resume() {
  if (control_) control_->resume();
}

uint64_t VirtioMmioTransport::mmio_read(uint64_t offset, unsigned size) {
  if (offset >= kConfig) {
    if (!control_) return 0;
    std::array<uint8_t, 8> bytes{};
    control_->read_config(static_cast<uint32_t>(offset - kConfig), std::span(bytes).first(size));
    uint64_t value = 0;
    for (unsigned i = 0; i < size; ++i) value |= uint64_t{bytes[i]} << (8 * i);
    return value;
  }
  if (size != 4 || offset % 4 != 0) {
    log(kLogGuestErrors, "virtio-mmio: {}-byte read of register {:#x}", size, offset);
    return 0;
  }
  return read_register(offset);
}

void VirtioMmioTransport::mmio_write(uint64_t offset, unsigned size, uint64_t value) {
  if (!control_) return;
  if (offset >= kConfig) {
    std::array<uint8_t, 8> bytes;
    for (unsigned i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
    control_->write_config(static_cast<uint32_t>(offset - kConfig), std::span(bytes).first(size));
    return;
  }
  if (size != 4 || offset % 4 != 0) {
    log(kLogGuestErrors, "virtio-mmio: {}-byte write of register {:#x}", size, offset);
    return;
  }
  write_register(offset, static_cast<uint32_t>(value));
}

uint32_t VirtioMmioTransport::read_register(uint64_t offset) {
  // Section 4.2.3.1.1: with DeviceID 0 the driver looks no further.
  switch (offset) {
    case kMagicValue:
      return kMagic;
    case kVersion:
      return 2;
    case kVendorId:
      return kVendor;
  }
  if (!control_) return 0;
  switch (offset) {
    case kDeviceId:
      return control_->device().device_id();
    case kDeviceFeatures:
      return control_->device_features(device_features_sel_);
    case kQueueNumMax:
      return control_->queue_max_size(queue_sel_);
    case kQueueReady:
      return control_->queue_ready(queue_sel_);
    case kInterruptStatus:
      return control_->interrupt_status();
    case kStatus:
      return control_->status();
    case kConfigGeneration:
      return control_->config_generation();
  }
  // No shared memory regions: length and base of all ones (section 4.2.2).
  if (offset >= kShmLenLow && offset <= kShmBaseHigh) return ~0u;
  log(kLogGuestErrors, "virtio-mmio: read of write-only or unknown register {:#x}", offset);
  return 0;
}

void VirtioMmioTransport::write_register(uint64_t offset, uint32_t value) {
  using Ring = VirtioControl::Ring;
  switch (offset) {
    case kDeviceFeaturesSel:
      device_features_sel_ = value;
      return;
    case kDriverFeatures:
      return control_->write_driver_features(driver_features_sel_, value);
    case kDriverFeaturesSel:
      driver_features_sel_ = value;
      return;
    case kQueueSel:
      queue_sel_ = value;
      return;
    case kQueueNum:
      return control_->write_queue_size(queue_sel_, value);
    case kQueueReady:
      return control_->write_queue_ready(queue_sel_, value & 1);
    case kQueueNotify:
      return control_->notify(value);
    case kInterruptAck:
      return control_->acknowledge(static_cast<uint8_t>(value));
    case kStatus:
      return control_->write_status(static_cast<uint8_t>(value));
    case kQueueDescLow:
    case kQueueDescHigh:
      return control_->write_queue_address(queue_sel_, Ring::kDesc, offset & 4, value);
    case kQueueDriverLow:
    case kQueueDriverHigh:
      return control_->write_queue_address(queue_sel_, Ring::kDriver, offset & 4, value);
    case kQueueDeviceLow:
    case kQueueDeviceHigh:
      return control_->write_queue_address(queue_sel_, Ring::kDevice, offset & 4, value);
    case kShmSel:
      return;  // every region reads as absent
  }
  log(kLogGuestErrors, "virtio-mmio: write of read-only or unknown register {:#x}", offset);
}

}  // namespace hv
