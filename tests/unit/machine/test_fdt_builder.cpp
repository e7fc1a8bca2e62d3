#include <libfdt.h>

#include <catch2/catch.hpp>
#include <set>

#include "hw/machine/fdt_builder.h"

namespace hv {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes property(const std::vector<uint8_t>& tree, const char* path, const char* name) {
  int size = 0;
  const int node = fdt_path_offset(tree.data(), path);
  REQUIRE(node >= 0);
  const void* data = fdt_getprop(tree.data(), node, name, &size);
  REQUIRE(data);
  const auto* bytes = static_cast<const uint8_t*>(data);
  return {bytes, bytes + size};
}

Bytes text(std::string_view value) {
  return {value.begin(), value.end()};
}

TEST_CASE("FdtBuilder: values have the encodings of the Devicetree Specification") {
  FdtBuilder builder;
  builder.prop_u32("cell", 0x11223344);
  builder.begin_node("soc");
  builder.prop_u64("wide", 0x1122334455667788);
  builder.prop_cells("cells", {1, 0x80000000});
  builder.prop_string("name", "a");
  builder.begin_node("dev@1000");
  builder.prop_strings("compatible", {"x,y", "z"});
  builder.prop_empty("flag");
  builder.prop_bytes("raw", "\1\2\3", 3);
  builder.end_node();
  builder.end_node();
  const auto tree = builder.finish();

  REQUIRE(fdt_check_full(tree.data(), tree.size()) == 0);
  CHECK(fdt_totalsize(tree.data()) == tree.size());
  CHECK(property(tree, "/", "cell") == Bytes{0x11, 0x22, 0x33, 0x44});
  CHECK(property(tree, "/soc", "wide") == Bytes{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88});
  CHECK(property(tree, "/soc", "cells") == Bytes{0, 0, 0, 1, 0x80, 0, 0, 0});
  CHECK(property(tree, "/soc", "name") == text(std::string_view("a\0", 2)));
  CHECK(property(tree, "/soc/dev@1000", "compatible") == text(std::string_view("x,y\0z\0", 6)));
  CHECK(property(tree, "/soc/dev@1000", "flag").empty());
  CHECK(property(tree, "/soc/dev@1000", "raw") == Bytes{1, 2, 3});
}

TEST_CASE("FdtBuilder: phandles differ") {
  FdtBuilder builder;
  std::set<uint32_t> seen;
  for (int i = 0; i < 100; ++i) seen.insert(builder.new_phandle());
  CHECK(seen.size() == 100);
  CHECK(!seen.contains(0));
}

TEST_CASE("patch_chosen: makes /chosen, replaces what is there, keeps the rest") {
  FdtBuilder empty;
  auto tree = empty.finish();
  REQUIRE(patch_chosen(tree, {"quiet", BootArguments::Range{0x88200000, 0x1'0000'0000}}, "-dtb f"));
  CHECK(property(tree, "/chosen", "bootargs") == text(std::string_view("quiet\0", 6)));
  CHECK(property(tree, "/chosen", "linux,initrd-start") == Bytes{0, 0, 0, 0, 0x88, 0x20, 0, 0});
  CHECK(property(tree, "/chosen", "linux,initrd-end") == Bytes{0, 0, 0, 1, 0, 0, 0, 0});

  const std::string longer(5000, 'x');
  REQUIRE(patch_chosen(tree, {longer, {}}, "-dtb f"));
  CHECK(property(tree, "/chosen", "bootargs").size() == 5001);
  CHECK(property(tree, "/chosen", "linux,initrd-end") == Bytes{0, 0, 0, 1, 0, 0, 0, 0});
  REQUIRE(patch_chosen(tree, {}, "-dtb f"));
  CHECK(property(tree, "/chosen", "bootargs").size() == 5001);
  CHECK(fdt_check_full(tree.data(), tree.size()) == 0);
}

TEST_CASE("check_device_tree: refuses what is none, and what was cut") {
  const auto error = [](const std::vector<uint8_t>& blob) {
    auto result = check_device_tree(blob, "-dtb f");
    return result ? std::string() : result.error().message;
  };
  FdtBuilder builder;
  builder.prop_u32("cell", 1);
  const auto tree = builder.finish();
  CHECK(error(tree).empty());
  CHECK(error(text("/dts-v1/; / { };")) ==
        "-dtb f: not a flattened device tree (compile it with dtc -I dts -O dtb)");
  CHECK_THAT(error({tree.begin(), tree.end() - 1}), Catch::Contains("truncated"));
  auto damaged = tree;
  damaged[11] = 0xff;  // offset of the structure block
  CHECK_THAT(error(damaged), Catch::Contains("damaged device tree"));
}

TEST_CASE("randomize_seeds: each call gives other bytes") {
  FdtBuilder builder;
  builder.prop_u32("cell", 7);
  builder.begin_node("chosen");
  builder.prop_bytes("rng-seed", std::string(300, '\0').data(), 300);
  builder.end_node();
  auto tree = builder.finish();
  std::set<Bytes> seen{Bytes(300)};
  for (int i = 0; i < 3; ++i) {
    randomize_seeds(tree);
    seen.insert(property(tree, "/chosen", "rng-seed"));
  }
  CHECK(seen.size() == 4);
  CHECK(property(tree, "/", "cell") == Bytes{0, 0, 0, 7});
  // The tail beyond one getrandom() is filled too.
  const Bytes seed = property(tree, "/chosen", "rng-seed");
  CHECK(Bytes(seed.begin() + 256, seed.end()) != Bytes(44));
}

}  // namespace
}  // namespace hv
