#include "app/help.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "app/option_table.h"

namespace hv {

TEST_CASE("Help: fits 80 columns, shows every option, names QEMU") {
  const std::string text = help_text("hartvisor");
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(line.size() <= 80);
  }
  for (const OptionRow& row : option_table()) {
    INFO(row.names);
    CHECK(text.find(fmt::format("  -{}", row.names.substr(0, row.names.find(' ')))) !=
          std::string::npos);
  }
  CHECK(text.find("QEMU") != std::string::npos);
}

TEST_CASE("Help: under QEMU's name the first line is QEMU's") {
  CHECK(version_text("hartvisor").starts_with("hartvisor version "));
  for (const std::string& text :
       {version_text("qemu-system-riscv64"), help_text("qemu-system-riscv64")})
    CHECK(text.starts_with("QEMU emulator version 10.0.0 (hartvisor "));
}

TEST_CASE("Manual: docs/MANUAL.md has the option table as it is") {
  std::ifstream file(HV_MANUAL);
  std::stringstream manual;
  manual << file.rdbuf();
  const std::string text = manual.str();
  const size_t begin = text.find("<!-- options -->\n");
  const size_t end = text.find("<!-- end of options -->\n");
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  const size_t start = begin + std::string_view("<!-- options -->\n").size();
  // When this fails: ninja -C build manual
  CHECK(text.substr(start, end - start) == manual_options());
}

}  // namespace hv
