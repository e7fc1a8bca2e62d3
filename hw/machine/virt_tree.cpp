// The device tree of the board, with the node names and bindings of QEMU's virt.
#include "cpu/hpm.h"
#include "hw/machine/virt_board.h"

namespace hv {

namespace {

constexpr uint32_t kCacheBlock = 64;  // bytes that cbo.* work on
constexpr size_t kSeedSize = 32;

class NodeScope {
 public:
  NodeScope(FdtBuilder& tree, std::string_view name) : tree_(tree) { tree.begin_node(name); }
  ~NodeScope() { tree_.end_node(); }
  NodeScope(const NodeScope&) = delete;
  NodeScope& operator=(const NodeScope&) = delete;

 private:
  FdtBuilder& tree_;
};

std::string node_name(std::string_view name, uint64_t address) {
  return fmt::format("{}@{:x}", name, address);
}
std::string node_name(const MemoryRegion& region) {
  return node_name(region.name, region.base);
}

void prop_reg(FdtNode& node, uint64_t base, uint64_t size) {
  node.prop_cells("reg", {static_cast<uint32_t>(base >> 32), static_cast<uint32_t>(base),
                          static_cast<uint32_t>(size >> 32), static_cast<uint32_t>(size)});
}
void prop_reg(FdtNode& node, const MemoryRegion& region) {
  prop_reg(node, region.base, region.size);
}

// Which counters can count which events, for firmware: cycles and instructions also their own fixed
// ones, as in QEMU.
void describe_pmu(FdtBuilder& tree) {
  constexpr auto kBits = static_cast<uint32_t>(kHpmBits);
  NodeScope node(tree, "pmu");
  std::vector<uint32_t> cells;
  const auto add = [&](uint64_t event, uint32_t fixed) {
    const auto code = static_cast<uint32_t>(event);
    cells.insert(cells.end(), {code, code, kBits | fixed});
  };
  add(kHpmEventCycles, 1 << 0);
  add(kHpmEventInstructions, 1 << 2);
  add(kHpmEventLoadMisses, 0);
  add(kHpmEventStoreMisses, 0);
  add(kHpmEventFetchMisses, 0);
  tree.prop_cells("riscv,event-to-mhpmcounters", cells);
  tree.prop_string("compatible", "riscv,pmu");
}

// A store of `value` to the test finisher's register.
void describe_syscon(FdtBuilder& tree, std::string_view name, uint32_t value, uint32_t regmap) {
  NodeScope node(tree, name);
  tree.prop_u32("value", value);
  tree.prop_u32("offset", 0);
  tree.prop_u32("regmap", regmap);
  tree.prop_string("compatible", fmt::format("syscon-{}", name));
}

}  // namespace

Result<std::vector<uint8_t>> VirtBoard::make_device_tree(const VirtConfig& config) const {
  if (config.dtb.empty()) return describe();
  const std::string name = fmt::format("-dtb {}", config.dtb);
  HV_TRY_ASSIGN(auto tree, read_image_file(name, config.dtb, memory_->size()));
  HV_TRY(check_device_tree(tree, name));
  HV_TRY(patch_chosen(tree, images_.arguments(), name));
  return tree;
}

std::vector<uint8_t> VirtBoard::describe() const {
  FdtBuilder tree;
  tree.prop_u32("#address-cells", 2);
  tree.prop_u32("#size-cells", 2);
  tree.prop_string("compatible", "riscv-virtio");
  tree.prop_string("model", "riscv-virtio,qemu");

  const std::string console = "/soc/" + node_name(memory_map::kUart0);
  {
    NodeScope chosen(tree, "chosen");
    const BootArguments& arguments = images_.arguments();
    if (!arguments.command_line.empty()) tree.prop_string("bootargs", arguments.command_line);
    if (arguments.initrd) {
      tree.prop_u64("linux,initrd-start", arguments.initrd->start);
      tree.prop_u64("linux,initrd-end", arguments.initrd->end);
    }
    tree.prop_string("stdout-path", console);
    // Filled at each reset: without it the guest's random pool waits for minutes.
    const std::array<uint8_t, kSeedSize> seed{};
    tree.prop_bytes("rng-seed", seed.data(), seed.size());
  }
  {
    NodeScope aliases(tree, "aliases");
    tree.prop_string("serial0", console);
  }
  {
    NodeScope memory(tree, node_name("memory", memory_->base()));
    tree.prop_string("device_type", "memory");
    prop_reg(tree, memory_->base(), memory_->size());
  }
  const std::vector<uint32_t> hart_phandles = describe_harts(tree);
  if (cpu_.extensions.has(Ext::kZihpm)) describe_pmu(tree);
  const uint32_t finisher_phandle = tree.new_phandle();
  describe_syscon(tree, "poweroff", 0x5555, finisher_phandle);
  describe_syscon(tree, "reboot", 0x7777, finisher_phandle);
  describe_soc(tree, hart_phandles, finisher_phandle);
  return tree.finish();
}

std::vector<uint32_t> VirtBoard::describe_harts(FdtBuilder& tree) const {
  std::vector<uint32_t> intc_phandles, cpu_phandles;
  NodeScope cpus(tree, "cpus");
  tree.prop_u32("#address-cells", 1);
  tree.prop_u32("#size-cells", 0);
  tree.prop_u32("timebase-frequency", GuestClock::kFrequency);
  for (unsigned i = 0; i < vcpus_->count(); ++i) {
    NodeScope cpu(tree, node_name("cpu", i));
    cpu_phandles.push_back(tree.new_phandle());
    tree.prop_u32("phandle", cpu_phandles.back());
    tree.prop_string("device_type", "cpu");
    tree.prop_u32("reg", i);
    tree.prop_string("status", "okay");
    tree.prop_string("compatible", "riscv");
    if (cpu_.extensions.has(Ext::kZicboz)) tree.prop_u32("riscv,cboz-block-size", kCacheBlock);
    if (cpu_.extensions.has(Ext::kZicbom)) tree.prop_u32("riscv,cbom-block-size", kCacheBlock);
    tree.prop_strings("riscv,isa-extensions", cpu_.isa_extensions());
    tree.prop_string("riscv,isa-base", "rv64i");
    tree.prop_string("riscv,isa", cpu_.isa_string());
    tree.prop_string("mmu-type", cpu_.mmu_type());
    NodeScope intc(tree, "interrupt-controller");
    intc_phandles.push_back(tree.new_phandle());
    tree.prop_u32("#interrupt-cells", 1);
    tree.prop_empty("interrupt-controller");
    tree.prop_string("compatible", "riscv,cpu-intc");
    tree.prop_u32("phandle", intc_phandles.back());
  }
  NodeScope map(tree, "cpu-map");
  NodeScope cluster(tree, "cluster0");
  for (unsigned i = 0; i < cpu_phandles.size(); ++i) {
    NodeScope core(tree, fmt::format("core{}", i));
    tree.prop_u32("cpu", cpu_phandles[i]);
  }
  return intc_phandles;
}

void VirtBoard::describe_soc(FdtBuilder& tree, const std::vector<uint32_t>& hart_phandles,
                             uint32_t finisher_phandle) const {
  using namespace memory_map;
  NodeScope soc(tree, "soc");
  tree.prop_u32("#address-cells", 2);
  tree.prop_u32("#size-cells", 2);
  tree.prop_string("compatible", "simple-bus");
  tree.prop_empty("ranges");
  const uint32_t plic_phandle = tree.new_phandle();
  {
    NodeScope node(tree, node_name(kRtc));
    prop_reg(tree, kRtc);
    tree.prop_u32("interrupt-parent", plic_phandle);
    rtc_->describe_fdt(tree);
  }
  {
    NodeScope node(tree, node_name(kUart0));
    prop_reg(tree, kUart0);
    tree.prop_u32("interrupt-parent", plic_phandle);
    uart_->describe_fdt(tree);
  }
  {
    NodeScope node(tree, node_name(kTestFinisher));
    prop_reg(tree, kTestFinisher);
    tree.prop_u32("phandle", finisher_phandle);
    finisher_->describe_fdt(tree);
  }
  // Linux numbers disks in the order of the nodes, and slots are filled from the last.
  for (unsigned i = kVirtioSlots; i-- > 0;) {
    const uint64_t base = kVirtioMmio.base + i * kVirtioSlotSize;
    NodeScope node(tree, node_name(kVirtioMmio.name, base));
    prop_reg(tree, base, kVirtioSlotSize);
    tree.prop_u32("interrupt-parent", plic_phandle);
    tree.prop_u32("interrupts", irq_map::kVirtioMmio0 + i);
    virtio_[i]->describe(tree);
  }
  {
    NodeScope node(tree, node_name(kPlic));
    prop_reg(tree, kPlic);
    tree.prop_u32("phandle", plic_phandle);
    plic_->describe_fdt(tree, hart_phandles);
  }
  describe_core_interrupts(tree, hart_phandles);
}

void VirtBoard::describe_core_interrupts(FdtBuilder& tree,
                                         const std::vector<uint32_t>& hart_phandles) const {
  using namespace memory_map;
  if (!sswi_) {
    NodeScope node(tree, node_name(kClint));
    prop_reg(tree, kClint);
    clint_->describe_fdt(tree, hart_phandles);
    return;
  }
  constexpr uint32_t kMswiSize = 0x4000, kMtimeOffset = 0xbff8, kMtimecmpSize = 0x7ff8;
  constexpr auto kBase = static_cast<uint32_t>(kClint.base);
  {
    NodeScope node(tree, node_name("mswi", kBase));
    prop_reg(tree, kBase, kMswiSize);
    clint_->describe_mswi(tree, hart_phandles);
  }
  {
    NodeScope node(tree, node_name("mtimer", kBase + kMswiSize));
    const uint32_t mtime_size = static_cast<uint32_t>(kClint.size) - kMtimeOffset;
    tree.prop_cells(
        "reg", {0, kBase + kMtimeOffset, 0, mtime_size, 0, kBase + kMswiSize, 0, kMtimecmpSize});
    clint_->describe_mtimer(tree, hart_phandles);
  }
  {
    NodeScope node(tree, node_name(kAclintSswi));
    prop_reg(tree, kAclintSswi);
    sswi_->describe_fdt(tree, hart_phandles);
  }
}

}  // namespace hv
