// Makes and edits flattened device trees (Devicetree Specification v0.4, chapter 5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/device.h"
#include "io/result.h"

namespace hv {

// Writes a tree from front to back: properties of a node come before its children. Main thread.
class FdtBuilder final : public FdtNode {
 public:
  // The root node is open.
  FdtBuilder();

  void begin_node(std::string_view name);
  void end_node();
  // A number that no other node of this tree has.
  uint32_t new_phandle() { return next_phandle_++; }
  // Closes the root; the builder is spent.
  std::vector<uint8_t> finish();

  // FdtNode: into the node that was begun last.
  void prop_u32(std::string_view name, uint32_t value) override;
  void prop_u64(std::string_view name, uint64_t value) override;
  void prop_cells(std::string_view name, const std::vector<uint32_t>& cells) override;
  void prop_string(std::string_view name, std::string_view value) override;
  void prop_strings(std::string_view name, const std::vector<std::string>& values) override;
  void prop_empty(std::string_view name) override;
  void prop_bytes(std::string_view name, const void* data, size_t size) override;

 private:
  std::vector<uint8_t> blob_;
  uint32_t next_phandle_ = 1;
};

// What a boot loader leaves in /chosen.
struct BootArguments {
  std::string command_line;  // "" leaves bootargs as it is
  struct Range {
    uint64_t start, end;
  };
  std::optional<Range> initrd;
};

// A blob from a file (-dtb): fails when it is no device tree or is cut short. `name` is for the
// message.
Result<> check_device_tree(const std::vector<uint8_t>& blob, const std::string& name);
// Sets bootargs and linux,initrd-* in /chosen of a tree that the user brought.
Result<> patch_chosen(std::vector<uint8_t>& blob, const BootArguments& arguments,
                      const std::string& name);
// Fills every rng-seed property with fresh random bytes, as each boot must see another seed.
void randomize_seeds(std::vector<uint8_t>& blob);

}  // namespace hv
