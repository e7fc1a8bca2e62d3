// Writes a random instruction stream for run_streams.py.
//
// make_stream --extensions       names of the extensions that rows need, one a line
// make_stream --disassemble CPU  "address word" lines on stdin become their text
// make_stream SEED GROUPS CPU ORACLE IMAGE LISTING
//   CPU      as after -cpu; its extensions' rows are used, and the others' as illegal instructions
//   ORACLE   QEMU's major version, for exclusions.h
//   IMAGE    gets the blob of layout.h
//   LISTING  gets a line for each instruction: offset, length, group
#include <charconv>
#include <cstring>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cpu/disasm.h"
#include "tests/isa/stream/layout.h"
#include "tests/isa/stream/operands.h"
#include "tests/isa/stream/stream.h"

using namespace hv;
using namespace hv::test;

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kBlob = STREAM_BLOB;
constexpr uint64_t kSatpModes[] = {0, 8, 9, 10};
constexpr uint64_t kV = 1, kR = 2, kW = 4, kX = 8, kU = 16, kA = 64, kD = 128;

class Image {
 public:
  explicit Image(size_t size) : bytes_(size) {}

  void put(uint64_t at, uint64_t value) { std::memcpy(bytes_.data() + at, &value, sizeof(value)); }
  void put(uint64_t at, const std::vector<uint8_t>& data) {
    if (at + data.size() > bytes_.size()) throw std::runtime_error("the stream is too long");
    std::memcpy(bytes_.data() + at, data.data(), data.size());
  }
  void write(const char* path) const {
    std::ofstream(path, std::ios::binary).write(bytes_.data(), std::ssize(bytes_));
  }

 private:
  std::vector<char> bytes_;
};

// Identity map of the blob; page 3 of the scratch pages gets other permissions. Returns satp.
uint64_t put_page_tables(Image& image, bool supervisor, Random& random) {
  const uint64_t mode = random.pick(kSatpModes);
  const auto table = [](unsigned level) { return STREAM_TABLES + (4 - level) * kPage; };
  const auto entry = [](uint64_t address) { return address >> 12 << 10; };
  for (unsigned level = 4; level > 0; --level) {
    const uint64_t index = kBlob >> (12 + 9 * level) & 511;
    image.put(table(level) + index * 8, entry(kBlob + table(level - 1)) | kV);
  }
  const uint64_t who = (supervisor ? 0 : kU) | kV | kA | kD;
  const uint64_t odd = random.pick((const uint64_t[]){0, kR, kX, kR | kX});
  for (uint64_t at = 0; at < STREAM_LIMIT; at += kPage) {
    uint64_t rights = kR;
    if (at >= STREAM_SCRATCH) rights = kR | kW;
    if (at == STREAM_SCRATCH + 3 * kPage) rights = odd;
    if (at >= STREAM_CODE) rights = kR | kX;
    const uint64_t index = (kBlob + at) >> 12 & 511;
    image.put(table(0) + index * 8, rights ? entry(kBlob + at) | rights | who : 0);
  }
  if (mode == 0) return 0;
  const auto root = static_cast<unsigned>(mode - 6);
  return mode << 60 | (kBlob + table(root)) >> 12;
}

Image make_image(const Stream& stream, uint64_t seed, bool supervisor, Random& random) {
  Image image(STREAM_LIMIT);
  for (uint64_t i = 0; i < STREAM_POOL_SIZE; ++i) {
    image.put(STREAM_POOL + i * 8, random_integer(random));
    image.put(STREAM_POOL + (STREAM_POOL_SIZE + i) * 8, random_float(random));
  }
  for (uint64_t i = 0; i < 4 * kPage; i += 8)
    image.put(STREAM_SCRATCH + i,
              random.percent(50) ? random_integer(random) : random_float(random));
  image.put(STREAM_CODE, stream.code());
  const uint64_t satp = put_page_tables(image, supervisor, random);
  const uint64_t header[] = {0, 1, 0, seed, supervisor, satp, kBlob + STREAM_CODE + stream.end()};
  for (size_t i = 0; i < std::size(header); ++i) image.put(i * 8, header[i]);
  return image;
}

uint64_t number(const char* text) {
  uint64_t value = 0;
  const char* end = text + std::strlen(text);
  if (std::from_chars(text, end, value).ptr != end)
    throw std::runtime_error(fmt::format("{}: not a number", text));
  return value;
}

ExtensionSet extensions_of(const char* cpu) {
  const auto config = CpuConfig::parse(cpu);
  if (!config) throw std::runtime_error(config.error().message);
  return config->extensions;
}

void disassemble_lines(const char* cpu) {
  const ExtensionSet extensions = extensions_of(cpu);
  uint64_t address;
  uint32_t word;
  while (std::cin >> std::hex >> address >> word)
    std::cout << disassemble(word, address, extensions) << '\n';
}

void make(char** argv) {
  const uint64_t seed = number(argv[1]);
  Random random(seed);
  const bool supervisor = random.percent(50);
  const Stream stream({.extensions = extensions_of(argv[3]),
                       .oracle = {static_cast<unsigned>(number(argv[4])), supervisor},
                       .groups = static_cast<unsigned>(number(argv[2]))},
                      random);
  make_image(stream, seed, supervisor, random).write(argv[5]);
  std::ofstream listing(argv[6]);
  for (const auto& instruction : stream.instructions())
    listing << fmt::format("{} {} {}\n", instruction.offset, instruction.length, instruction.group);
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (argc == 2 && verb == "--extensions") {
    for (const auto name : extensions_of_rows()) std::cout << name << '\n';
  } else if (argc == 3 && verb == "--disassemble") {
    disassemble_lines(argv[2]);
  } else if (argc == 7) {
    make(argv);
  } else {
    std::cerr << "usage: make_stream SEED GROUPS CPU ORACLE IMAGE LISTING\n";
    return 2;
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "make_stream: " << error.what() << '\n';
  return 1;
}
