// Our device tree beside QEMU's, node by node and property by property.
//
// $HV_QEMU names the qemu-system-riscv64 to ask; without it the one in PATH. Where there is none
// the comparison is left out, with a warning.
#include <libfdt.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <span>

#include "tests/unit/machine/image_fixtures.h"
#include "tests/unit/machine/temporary_file.h"
#include "tests/unit/machine/virt_rig.h"

namespace hv {
namespace {

using Bytes = std::vector<uint8_t>;
// "/soc/serial@10000000:reg" to the property's value, "/soc" (no colon) to nothing.
using Tree = std::map<std::string, Bytes>;

uint32_t cell_at(const Bytes& bytes, size_t index) {
  uint32_t cell = 0;
  for (size_t i = 0; i < 4; ++i) cell = cell << 8 | bytes[index * 4 + i];
  return cell;
}

std::string path_of(const void* blob, int node) {
  char path[256];
  REQUIRE(fdt_get_path(blob, node, path, sizeof path) == 0);
  return path;
}

// Phandles are numbered at will: their values become the checksum of the path they stand for.
void name_phandle(const void* blob, Bytes& bytes, size_t index) {
  const int node = fdt_node_offset_by_phandle(blob, cell_at(bytes, index));
  REQUIRE(node >= 0);
  const auto name = static_cast<uint32_t>(std::hash<std::string>{}(path_of(blob, node)));
  for (size_t i = 0; i < 4; ++i) bytes[index * 4 + i] = static_cast<uint8_t>(name >> (24 - 8 * i));
}

Tree flatten(const Bytes& blob) {
  Tree tree;
  const void* fdt = blob.data();
  REQUIRE(fdt_check_full(fdt, blob.size()) == 0);
  for (int node = 0; node >= 0; node = fdt_next_node(fdt, node, nullptr)) {
    const std::string path = path_of(fdt, node);
    tree[path];
    int property;
    fdt_for_each_property_offset(property, fdt, node) {
      const char* name;
      int size;
      const auto* data =
          static_cast<const uint8_t*>(fdt_getprop_by_offset(fdt, property, &name, &size));
      Bytes value(data, data + size);
      const std::string_view key = name;
      if (key == "phandle") name_phandle(fdt, value, 0);
      if (key == "interrupt-parent" || key == "regmap" || key == "cpu") name_phandle(fdt, value, 0);
      if (key == "interrupts-extended")
        for (size_t i = 0; i < value.size() / 4; i += 2) name_phandle(fdt, value, i);
      tree[path + ":" + name] = value;
    }
  }
  return tree;
}

// What QEMU has and we do not, and the other way round, as "path" (a whole node) or
// "path:property",
// '#' standing for any number.
struct Difference {
  std::string_view where;
  std::string_view why;
};
constexpr Difference kExpected[] = {
    {"/platform-bus@4000000", "no dynamic sysbus devices"},
    {"/fw-cfg@10100000", "no fw_cfg"},
    {"/flash@20000000", "no flash"},
    {"/soc/pci@30000000", "no PCIe"},
    {"/chosen:rng-seed", "random"},
    {"/cpus/cpu@#:riscv,isa", "another set of extensions"},
    {"/cpus/cpu@#:riscv,isa-extensions", "another set of extensions"},
    {"/cpus/cpu@#:riscv,cbop-block-size", "no Zicbop"},
};
// The tree follows QEMU 10; Debian 12 has 7.2.
constexpr Difference kExpectedOfOlder[] = {
    {"/aliases", "since QEMU 8.1"},
    {"/chosen:linux,initrd-start", "128 MiB above the kernel at most until QEMU 9"},
    {"/chosen:linux,initrd-end", "likewise"},
    {"/cpus/cpu@#:riscv,cbom-block-size", "since QEMU 8.0"},
    {"/cpus/cpu@#:riscv,cboz-block-size", "since QEMU 8.0"},
    {"/cpus/cpu@#:riscv,isa-base", "since QEMU 9.0"},
    {"/cpus/cpu@#:mmu-type", "another default"},
    {"/pmu:riscv,event-to-mhpmcounters", "counters 3 to 18 since QEMU 9.0"},
    {"/soc/plic@c000000:riscv,ndev", "another number of sources"},
};

bool is_expected(std::span<const Difference> expected, std::string_view where) {
  for (const Difference& difference : expected) {
    std::string_view pattern = difference.where, text = where;
    while (!pattern.empty() && !text.empty()) {
      if (pattern.front() == '#' && isdigit(text.front())) {
        while (!text.empty() && isdigit(text.front())) text.remove_prefix(1);
      } else if (pattern.front() == text.front()) {
        text.remove_prefix(1);
      } else {
        break;
      }
      pattern.remove_prefix(1);
    }
    const bool below = difference.where.find(':') == std::string_view::npos &&
                       (text.starts_with('/') || text.starts_with(':'));
    if (pattern.empty() && (text.empty() || below)) return true;
  }
  return false;
}

Bytes read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string differences(const Tree& ours, const Tree& theirs, bool older) {
  std::string report;
  std::set<std::string> keys;
  for (const auto& [key, value] : ours) keys.insert(key);
  for (const auto& [key, value] : theirs) keys.insert(key);
  for (const std::string& key : keys) {
    if (is_expected(kExpected, key) || (older && is_expected(kExpectedOfOlder, key))) continue;
    if (!theirs.contains(key))
      report += "only ours: " + key + "\n";
    else if (!ours.contains(key))
      report += "only QEMU's: " + key + "\n";
    else if (ours.at(key) != theirs.at(key))
      report += "differs: " + key + "\n";
  }
  return report;
}

// 0: it does not run.
int major_version(const std::string& qemu) {
  FILE* pipe = popen((qemu + " --version 2>/dev/null").c_str(), "r");
  REQUIRE(pipe);
  int version = 0;
  if (fscanf(pipe, "QEMU emulator version %d", &version) != 1) version = 0;
  pclose(pipe);
  return version;
}

TEST_CASE("the device tree is QEMU's, but for what is listed") {
  const char* named = std::getenv("HV_QEMU");
  const std::string qemu = named ? named : "qemu-system-riscv64";
  const int version = major_version(qemu);
  if (version == 0) {
    WARN("no " + qemu + ": device tree not compared");
    return;
  }
  TemporaryFile kernel(linux_image(8192, 8192)), initrd(Bytes(5000, 1)), dump({});
  for (unsigned harts : {1u, 3u}) {
    VirtConfig config = board_config();
    config.smp = harts;
    config.aclint = harts == 3;
    config.memory_size = 256 << 20;
    config.kernel = kernel.path();
    config.initrd = initrd.path();
    config.append = "console=ttyS0 quiet";
    VirtRig rig;
    REQUIRE(rig.create(config));
    const std::string command = qemu + " -M virt,aclint=" + (config.aclint ? "on" : "off") +
                                ",dumpdtb=" + dump.path() + " -display none -m 256M -smp " +
                                std::to_string(harts) + " -kernel " + kernel.path() + " -initrd " +
                                initrd.path() + " -append 'console=ttyS0 quiet' >/dev/null 2>&1";
    REQUIRE(std::system(command.c_str()) == 0);
    CHECK(differences(flatten(rig.vm.machine().device_tree()), flatten(read_all(dump.path())),
                      version < 10) == "");
  }
}

TEST_CASE("dumpdtb writes the tree, with or without a kernel") {
  TemporaryFile dump({});
  VirtConfig config = board_config();
  config.dumpdtb = dump.path();
  VirtRig rig;
  REQUIRE(rig.create(config));
  Tree written = flatten(read_all(dump.path())), own = flatten(rig.vm.machine().device_tree());
  CHECK(written.contains("/cpus/cpu@0/interrupt-controller:phandle"));
  // A file that others boot from has a seed, too.
  CHECK(written.at("/chosen:rng-seed").size() == 32);
  CHECK(written.at("/chosen:rng-seed") != Bytes(32));
  written.erase("/chosen:rng-seed");
  own.erase("/chosen:rng-seed");
  CHECK(written == own);
}

TEST_CASE("-dtb: the user's tree, with the command line and initrd of this boot") {
  TemporaryFile dump({}), kernel(linux_image(8192, 8192)), initrd(Bytes(5000, 1));
  {
    VirtConfig config = board_config();
    config.dumpdtb = dump.path();
    VirtRig rig;
    REQUIRE(rig.create(config));
  }
  VirtConfig config = board_config();
  config.kernel = kernel.path();
  config.initrd = initrd.path();
  config.append = "quiet";
  config.dtb = dump.path();
  VirtRig rig;
  REQUIRE(rig.create(config));
  const Tree tree = flatten(rig.vm.machine().device_tree());
  CHECK(tree.at("/chosen:bootargs") == Bytes{'q', 'u', 'i', 'e', 't', 0});
  CHECK(tree.contains("/chosen:linux,initrd-start"));
  Tree rest = tree, original = flatten(read_all(dump.path()));
  for (const char* key : {"bootargs", "linux,initrd-start", "linux,initrd-end"})
    rest.erase(std::string("/chosen:") + key);
  CHECK(rest == original);
}

}  // namespace
}  // namespace hv
