#include "hw/machine/virt.h"

#include <algorithm>
#include <fstream>

#include "hw/machine/virt_board.h"

namespace hv {

namespace {

constexpr unsigned kMaxHarts = 64;

static_assert(TestFinisher::kWindowSize <= memory_map::kTestFinisher.size &&
              GoldfishRtc::kWindowSize <= memory_map::kRtc.size &&
              Clint::kWindowSize <= memory_map::kClint.size &&
              Plic::kWindowSize <= memory_map::kPlic.size &&
              Uart16550::kWindowSize <= memory_map::kUart0.size &&
              VirtioMmioTransport::kWindowSize <= memory_map::kVirtioSlotSize);

uint64_t round_up_to_page(uint64_t size) {
  return (size + GuestMemory::kPageSize - 1) / GuestMemory::kPageSize * GuestMemory::kPageSize;
}

Result<> write_file(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) return fail_errno(errno, "-machine dumpdtb={}: cannot write", path);
  return {};
}

}  // namespace

Result<std::unique_ptr<VirtMachine>> VirtMachine::create(const VirtConfig& config,
                                                         Backends& backends, EventLoop& main_loop,
                                                         SystemControl& control) {
  auto board = std::make_unique<VirtBoard>(config);
  HV_TRY(board->build(config, backends, main_loop, control));
  if (!config.dumpdtb.empty()) {
    auto tree = board->device_tree();
    randomize_seeds(tree);  // whoever boots from the file takes its seed for a secret
    HV_TRY(write_file(config.dumpdtb, tree));
  }
  return board;
}

Result<> VirtBoard::build(const VirtConfig& config, Backends& backends, EventLoop& main_loop,
                          SystemControl& control) {
  if (config.smp < 1 || config.smp > kMaxHarts)
    return fail("-smp {}: the board takes 1 to {} harts", config.smp, kMaxHarts);
  if (config.memory_size == 0) return fail("-m: guest memory of no size; give a size as in -m 1G");
  HV_TRY_ASSIGN(memory_,
                GuestMemory::create(memory_map::kRamBase, round_up_to_page(config.memory_size)));
  if (config.memory_locked) HV_TRY(memory_->lock());
  HV_TRY_ASSIGN(images_, BootImages::read({.bios = config.bios,
                                           .kernel = config.kernel,
                                           .initrd = config.initrd,
                                           .append = config.append,
                                           .may_be_nothing = !config.dumpdtb.empty()},
                                          *memory_));
  VcpuSet::Config vcpus{
      .count = config.smp, .cpu = &cpu_, .memory = memory_.get(), .mmio = &map_, .clock = &clock_};
  if (config.jit) vcpus.make_engine = jit_engines(*config.jit);
  HV_TRY_ASSIGN(vcpus_, VcpuSet::create(vcpus));
  HV_TRY(make_devices(config, backends, main_loop, control));
  HV_TRY(map_devices());
  HV_TRY_ASSIGN(auto tree, make_device_tree(config));
  HV_TRY(images_.place_device_tree(std::move(tree), *memory_));
  make_firmware(config, control);
  return {};
}

Result<> VirtBoard::make_devices(const VirtConfig& config, Backends& backends, EventLoop& main_loop,
                                 SystemControl& control) {
  std::vector<HartPort*> harts;
  for (unsigned i = 0; i < vcpus_->count(); ++i) harts.push_back(&vcpus_->at(i));

  plic_ = std::make_unique<Plic>(harts);
  clint_ = std::make_unique<Clint>(harts, clock_);
  if (config.aclint) sswi_ = std::make_unique<AclintSswi>(harts);
  finisher_ = std::make_unique<TestFinisher>(control);
  rtc_ = std::make_unique<GoldfishRtc>(IrqLine(*plic_, irq_map::kRtc), main_loop);
  uart_ = std::make_unique<Uart16550>(IrqLine(*plic_, irq_map::kUart0), config.serial0);
  devices_ = {plic_.get(), clint_.get(), finisher_.get(), rtc_.get(), uart_.get()};

  std::array<VirtioMmioTransport*, memory_map::kVirtioSlots> slots;
  for (unsigned i = 0; i < memory_map::kVirtioSlots; ++i) {
    virtio_[i] =
        std::make_unique<VirtioMmioTransport>(i, IrqLine(*plic_, irq_map::kVirtioMmio0 + i));
    slots[i] = virtio_[i].get();
    devices_.push_back(slots[i]);
  }

  const DeviceContext context{*memory_, backends, slots, &control};
  for (const KeyValues& options : config.devices) {
    HV_TRY_ASSIGN(CreatedDevice created, create_device(context, options));
    const bool id_taken =
        !created.id.empty() &&
        std::ranges::find(device_infos_, created.id, &DeviceInfo::id) != device_infos_.end();
    if (id_taken) return fail("-device {}: id={} is used twice", created.type, created.id);
    device_infos_.push_back({created.type, created.id, created.slot});
  }
  for (VirtioMmioTransport* slot : slots) {
    auto* balloon = dynamic_cast<Balloon*>(slot->device());
    if (balloon && balloon_) return fail("-device: the machine can have only one balloon");
    if (balloon) balloon_ = balloon;
  }
  return {};
}

Result<> VirtBoard::map_devices() {
  using namespace memory_map;
  HV_TRY(map_.add(kBootRom.name, kBootRom.base, kBootRom.size, boot_rom_));
  const auto add = [&](const MemoryRegion& region, auto& device) {
    using Type = std::remove_reference_t<decltype(device)>;
    return map_.add(region.name, region.base, Type::kWindowSize, device, Type::kMinAccess,
                    Type::kMaxAccess);
  };
  HV_TRY(add(kTestFinisher, *finisher_));
  HV_TRY(add(kRtc, *rtc_));
  HV_TRY(add(kClint, *clint_));
  if (sswi_) HV_TRY(add(kAclintSswi, *sswi_));
  HV_TRY(add(kPlic, *plic_));
  HV_TRY(add(kUart0, *uart_));
  for (unsigned i = 0; i < kVirtioSlots; ++i)
    HV_TRY(virtio_[i]->map(map_, kVirtioMmio.base + i * kVirtioSlotSize));
  map_.freeze();
  return {};
}

void VirtBoard::make_firmware(const VirtConfig& config, SystemControl& control) {
  boot_rom_.set_next_stage(images_.kernel_entry());
  if (images_.firmware() == Firmware::kBuiltin) {
    sbi_ = BuiltinSbi::create(*vcpus_, *memory_, config.serial0, control);
    sbi_->set_console_input([this](std::span<uint8_t> bytes) { return uart_->take_input(bytes); });
  }
  vcpus_->set_reset_hook([this](Hart& hart) { return place_hart(hart); });
}

bool VirtBoard::place_hart(Hart& hart) const {
  constexpr unsigned kA0 = 10, kA1 = 11, kA2 = 12;
  if (images_.firmware() == Firmware::kBuiltin) {
    if (hart.id != 0) return false;
    sbi_->enter_supervisor(hart, images_.start_address(), images_.device_tree_address());
    return true;
  }
  hart.pc = images_.start_address();
  hart.x[kA0] = hart.id;
  hart.x[kA1] = images_.device_tree_address();
  hart.x[kA2] = memory_map::kBootRom.base;
  return true;
}

VirtBoard::~VirtBoard() {
  if (running_) pause();
}

Result<> VirtBoard::reset() {
  vcpus_->reset_all();
  for (Device* device : devices_) device->reset();
  images_.load(*memory_);
  return {};
}

void VirtBoard::pause() {
  running_ = false;
  vcpus_->pause_all();
  for (Device* device : devices_) device->quiesce();
  clock_.pause();
}

void VirtBoard::resume() {
  running_ = true;
  clock_.resume();
  for (Device* device : devices_) device->resume();
  vcpus_->resume_all();
}

std::string machine_help() {
  return "Supported machines are:\n"
         "virt                 RISC-V VirtIO board (default)\n"
         "\n"
         "'-machine virt,help' lists the options of virt\n";
}

}  // namespace hv
