#include "hw/machine/fdt_builder.h"

#include <libfdt.h>
#include <sys/random.h>

#include <cassert>
#include <cstring>

namespace hv {

namespace {

// Enough for 64 harts and every device of the board several times over.
constexpr size_t kScratchSize = 1 << 20;

void expect_ok(int error) {
  // The tree is ours and the buffer ample: a failure is a bug in the calls' order.
  assert(error == 0);
  (void)error;
}

void append_cell(std::vector<uint8_t>& bytes, uint32_t cell) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<uint8_t>(cell >> shift));
}

}  // namespace

FdtBuilder::FdtBuilder() : blob_(kScratchSize) {
  expect_ok(fdt_create(blob_.data(), static_cast<int>(blob_.size())));
  expect_ok(fdt_finish_reservemap(blob_.data()));
  begin_node("");
}

void FdtBuilder::begin_node(std::string_view name) {
  expect_ok(fdt_begin_node(blob_.data(), std::string(name).c_str()));
}

void FdtBuilder::end_node() {
  expect_ok(fdt_end_node(blob_.data()));
}

std::vector<uint8_t> FdtBuilder::finish() {
  end_node();
  expect_ok(fdt_finish(blob_.data()));
  blob_.resize(fdt_totalsize(blob_.data()));
  return std::move(blob_);
}

void FdtBuilder::prop_u32(std::string_view name, uint32_t value) {
  prop_cells(name, {value});
}

void FdtBuilder::prop_u64(std::string_view name, uint64_t value) {
  prop_cells(name, {static_cast<uint32_t>(value >> 32), static_cast<uint32_t>(value)});
}

void FdtBuilder::prop_cells(std::string_view name, const std::vector<uint32_t>& cells) {
  std::vector<uint8_t> bytes;
  for (uint32_t cell : cells) append_cell(bytes, cell);
  prop_bytes(name, bytes.data(), bytes.size());
}

void FdtBuilder::prop_string(std::string_view name, std::string_view value) {
  prop_strings(name, {std::string(value)});
}

void FdtBuilder::prop_strings(std::string_view name, const std::vector<std::string>& values) {
  std::string bytes;
  for (const std::string& value : values) bytes.append(value).push_back('\0');
  prop_bytes(name, bytes.data(), bytes.size());
}

void FdtBuilder::prop_empty(std::string_view name) {
  prop_bytes(name, nullptr, 0);
}

void FdtBuilder::prop_bytes(std::string_view name, const void* data, size_t size) {
  expect_ok(fdt_property(blob_.data(), std::string(name).c_str(), data, static_cast<int>(size)));
}

Result<> check_device_tree(const std::vector<uint8_t>& blob, const std::string& name) {
  if (blob.size() < sizeof(fdt_header) || fdt_magic(blob.data()) != FDT_MAGIC)
    return fail("{}: not a flattened device tree (compile it with dtc -I dts -O dtb)", name);
  if (fdt_totalsize(blob.data()) > blob.size())
    return fail("{}: truncated: the device tree has {} bytes, the file {}", name,
                fdt_totalsize(blob.data()), blob.size());
  if (int error = fdt_check_full(blob.data(), blob.size()))
    return fail("{}: damaged device tree: {}", name, fdt_strerror(error));
  return {};
}

Result<> patch_chosen(std::vector<uint8_t>& blob, const BootArguments& arguments,
                      const std::string& name) {
  std::vector<uint8_t> roomy(blob.size() + arguments.command_line.size() + 4096);
  int error = fdt_open_into(blob.data(), roomy.data(), static_cast<int>(roomy.size()));
  void* tree = roomy.data();
  int chosen = error ? error : fdt_path_offset(tree, "/chosen");
  if (chosen == -FDT_ERR_NOTFOUND) chosen = fdt_add_subnode(tree, 0, "chosen");
  if (chosen >= 0 && !arguments.command_line.empty())
    error = fdt_setprop_string(tree, chosen, "bootargs", arguments.command_line.c_str());
  if (chosen >= 0 && !error && arguments.initrd) {
    error = fdt_setprop_u64(tree, chosen, "linux,initrd-start", arguments.initrd->start);
    if (!error) error = fdt_setprop_u64(tree, chosen, "linux,initrd-end", arguments.initrd->end);
  }
  if (chosen < 0) error = chosen;
  if (!error) error = fdt_pack(tree);
  if (error) return fail("{}: cannot edit the device tree: {}", name, fdt_strerror(error));
  roomy.resize(fdt_totalsize(tree));
  blob = std::move(roomy);
  return {};
}

void randomize_seeds(std::vector<uint8_t>& blob) {
  void* tree = blob.data();
  for (int node = 0; node >= 0; node = fdt_next_node(tree, node, nullptr)) {
    int size = 0;
    void* seed = fdt_getprop_w(tree, node, "rng-seed", &size);
    // getrandom() gives up to 256 bytes in one piece, whatever signals arrive.
    for (int done = 0; seed && done < size;) {
      const ssize_t got = getrandom(static_cast<uint8_t*>(seed) + done,
                                    static_cast<size_t>(std::min(size - done, 256)), 0);
      if (got > 0) done += static_cast<int>(got);
    }
  }
}

}  // namespace hv
