#include "cpu/cpu_config.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>

#include "io/key_values.h"

namespace hv {
namespace {

struct ExtensionRow {
  Ext ext;
  std::string_view name;
  bool on;
  std::string_view help;
};

constexpr ExtensionRow kExtensions[] = {
#define EXTENSION(id, name, on, help) {Ext::id, name, on, help},
#include "cpu/isa/extensions.inc"
};

// What the RVA22S64 profile mandates. Names rather than Ext: it has more than is implemented.
constexpr std::string_view kRva22[] = {
    "m",      "a",           "f",      "d",        "c",       "b",      "zicbom", "zicbop",
    "zicboz", "zicntr",      "zicsr",  "zifencei", "zba",     "zbb",    "zbs",    "zihpm",
    "zkt",    "zihintpause", "zfhmin", "svade",    "svinval", "svpbmt",
};

// Models beside max, which has everything. Paging modes as QEMU's models have them.
struct Model {
  std::string_view name;
  unsigned max_sv;
};
constexpr Model kModels[] = {{"rv64", 57}, {"rva22s64", 39}, {"max", 57}};

bool in_model(const ExtensionRow& row, std::string_view model) {
  // Beside Svadu, Svade means that hardware does not set A and D at first: QEMU's max is without.
  if (model == "max") return row.ext != Ext::kSvade;
  return model == "rva22s64" ? std::ranges::find(kRva22, row.name) != std::end(kRva22) : row.on;
}

// Extensions of QEMU's rv64 that no hart here has: "off" is the truth, "on" is refused.
constexpr std::string_view kAbsent[] = {
    "h", "v", "zfinx", "zdinx", "zcmp", "zcmt", "zkr", "smaia", "ssaia",
};

// Which extensions another one needs (unprivileged specification, the introduction of each).
struct Dependency {
  Ext ext, needs;
};
constexpr Dependency kDependencies[] = {
    {Ext::kD, Ext::kF},      {Ext::kF, Ext::kZicsr},     {Ext::kZicntr, Ext::kZicsr},
    {Ext::kZfhmin, Ext::kF}, {Ext::kZfh, Ext::kZfhmin},  {Ext::kZacas, Ext::kA},
    {Ext::kZabha, Ext::kA},  {Ext::kZihpm, Ext::kZicsr}, {Ext::kSscofpmf, Ext::kZihpm},
    {Ext::kZfa, Ext::kF},    {Ext::kZawrs, Ext::kA},     {Ext::kZcb, Ext::kC},
    {Ext::kZcmop, Ext::kC},
};

// What switching an extension on brings along.
constexpr Dependency kIncluded[] = {{Ext::kZfh, Ext::kZfhmin}};

// Names for several extensions together: group and member.
constexpr Dependency kGroups[] = {
    {Ext::kB, Ext::kZba},     {Ext::kB, Ext::kZbb},    {Ext::kB, Ext::kZbs},
    {Ext::kZkn, Ext::kZbkb},  {Ext::kZkn, Ext::kZbkc}, {Ext::kZkn, Ext::kZbkx},
    {Ext::kZkn, Ext::kZkne},  {Ext::kZkn, Ext::kZknd}, {Ext::kZkn, Ext::kZknh},
    {Ext::kZks, Ext::kZbkb},  {Ext::kZks, Ext::kZbkc}, {Ext::kZks, Ext::kZbkx},
    {Ext::kZks, Ext::kZksed}, {Ext::kZks, Ext::kZksh},
};

// These change page tables or their caching and need a paged mode (privileged specification).
constexpr Ext kPaging[] = {Ext::kSvade,   Ext::kSvadu,  Ext::kSvinval,
                           Ext::kSvnapot, Ext::kSvpbmt, Ext::kSvvptc};

constexpr unsigned kPagingModes[] = {39, 48, 57};

std::string_view name_of(Ext ext) {
  for (const auto& row : kExtensions)
    if (row.ext == ext) return row.name;
  return "?";
}

// sv39, sv48, sv57: the largest one that is on; with only "off" given, the one below the lowest
// that is off; nothing given: the largest.
Result<unsigned> take_paging(KeyValues& values, unsigned largest) {
  std::array<std::optional<bool>, 3> given;
  unsigned on = 0;
  std::optional<unsigned> limit;
  for (size_t i = 0; i < given.size(); ++i) {
    HV_TRY_ASSIGN(given[i], values.take_bool(fmt::format("sv{}", kPagingModes[i])));
    if (given[i] == true) on = kPagingModes[i];
    if (given[i] == false && !limit) limit = i == 0 ? 0 : kPagingModes[i - 1];
  }
  if (on == 0) return limit.value_or(largest);
  for (size_t i = 0; i < given.size(); ++i) {
    if (given[i] == false && kPagingModes[i] < on)
      return fail("-cpu: sv{0}=off: sv{1} includes sv{0}; switch sv{1} off as well",
                  kPagingModes[i], on);
  }
  return on;
}

// What the user has said of extensions; in neither set: nothing.
struct Wishes {
  ExtensionSet on, off;
};

Result<> take_extensions(KeyValues& values, ExtensionSet& set, Wishes& wishes) {
  for (const auto& row : kExtensions) {
    HV_TRY_ASSIGN(const auto on, values.take_bool(row.name));
    if (!on) continue;
    set.set(row.ext, *on);
    (*on ? wishes.on : wishes.off).set(row.ext, true);
  }
  for (const auto& [ext, included] : kIncluded)
    if (wishes.on.has(ext) && !wishes.off.has(included)) set.set(included, true);
  HV_TRY_ASSIGN(const auto zk, values.take_bool("zk"));
  if (zk == true)
    return fail("-cpu: zk=on: zk includes zkr, which is not implemented: use zkn=on,zkt=on");
  for (const auto name : kAbsent) {
    HV_TRY_ASSIGN(const auto on, values.take_bool(name));
    if (on == true) return fail("-cpu: {}=on: this extension is not implemented", name);
  }
  return {};
}

// A group brings its members. One that the model has goes with a member that the user takes away;
// one that the user asks for cannot be had without.
Result<> expand_groups(ExtensionSet& set, const Wishes& wishes) {
  for (const auto& [group, member] : kGroups) {
    if (!set.has(group) || !wishes.off.has(member)) continue;
    if (wishes.on.has(group))
      return fail("-cpu: {0}=on includes {1}: remove {1}=off or {0}=on", name_of(group),
                  name_of(member));
    set.set(group, false);
  }
  for (const auto& [group, member] : kGroups)
    if (set.has(group)) set.set(member, true);
  return {};
}

Result<> check(CpuConfig& config, const ExtensionSet& asked) {
  for (const auto& rule : kDependencies) {
    if (config.extensions.has(rule.ext) && !config.extensions.has(rule.needs))
      return fail("-cpu: {0} needs {1}: use {1}=on or {0}=off", name_of(rule.ext),
                  name_of(rule.needs));
  }
  if (config.max_sv != 0) return {};
  for (const Ext ext : kPaging) {
    if (asked.has(ext))
      return fail("-cpu: {}=on needs paging: remove it, or mmu=off and sv39=off", name_of(ext));
    config.extensions.set(ext, false);
  }
  return {};
}

Result<uint64_t> take_id(KeyValues& values, std::string_view key) {
  HV_TRY_ASSIGN(const auto id, values.take_number(key));
  return id.value_or(0);
}

std::string known_properties() {
  std::string text;
  for (const auto& row : kExtensions) text += fmt::format("{}, ", row.name);
  return text + "sv39, sv48, sv57, mmu, pmp, debug, mvendorid, marchid, mimpid";
}

}  // namespace

Result<CpuConfig> CpuConfig::parse(std::string_view text) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-cpu", text, "model"));
  const std::string model = values.take("model").value_or("");
  const auto* known = std::ranges::find(kModels, model, &Model::name);
  if (known == std::end(kModels))
    return fail("-cpu: there is no model '{}': use rv64, rva22s64 or max", model);

  CpuConfig config;
  config.max_sv = known->max_sv;
  for (const auto& row : kExtensions) config.extensions.set(row.ext, in_model(row, model));
  Wishes wishes;
  HV_TRY(take_extensions(values, config.extensions, wishes));
  HV_TRY(expand_groups(config.extensions, wishes));
  HV_TRY_ASSIGN(config.max_sv, take_paging(values, config.max_sv));
  HV_TRY_ASSIGN(const auto mmu, values.take_bool("mmu"));
  if (mmu == false) config.max_sv = 0;
  HV_TRY_ASSIGN(const auto pmp, values.take_bool("pmp"));
  if (pmp == false) config.pmp_regions = 0;
  if (pmp == false && config.extensions.has(Ext::kSmepmp)) {
    if (wishes.on.has(Ext::kSmepmp)) return fail("-cpu: smepmp=on needs pmp=on");
    config.extensions.set(Ext::kSmepmp, false);
  }
  HV_TRY_ASSIGN(const auto debug, values.take_bool("debug"));
  config.debug_triggers = debug.value_or(true);
  HV_TRY_ASSIGN(config.vendor_id, take_id(values, "mvendorid"));
  HV_TRY_ASSIGN(config.arch_id, take_id(values, "marchid"));
  HV_TRY_ASSIGN(config.imp_id, take_id(values, "mimpid"));
  HV_TRY(values.expect_empty(known_properties()));
  HV_TRY(check(config, wishes.on));
  return config;
}

std::vector<std::string> CpuConfig::isa_extensions() const {
  const ExtensionSet& set = extensions;
  std::vector<std::string> names{"i"};
#define EXTENSION(id, name, on, help) \
  if (set.has(Ext::id)) names.emplace_back(name);
#define IMPLIED(name, condition) \
  if (condition) names.emplace_back(name);
#include "cpu/isa/extensions.inc"
  return names;
}

std::string CpuConfig::isa_string() const {
  std::string text = "rv64";
  for (const auto& name : isa_extensions()) {
    if (name.size() > 1) text += '_';
    text += name;
  }
  return text;
}

std::string CpuConfig::mmu_type() const {
  return max_sv == 0 ? "riscv,none" : fmt::format("riscv,sv{}", max_sv);
}

uint64_t CpuConfig::misa() const {
  const auto letter = [](char c) { return 1ull << (c - 'a'); };
  uint64_t misa = 2ull << 62 | letter('i') | letter('s') | letter('u');
  for (const auto& row : kExtensions)
    if (row.name.size() == 1 && extensions.has(row.ext)) misa |= letter(row.name[0]);
  return misa;
}

std::string cpu_help() {
  std::string text =
      "-cpu MODEL[,PROPERTY=VALUE]...\n"
      "Models:\n"
      "  rv64      the default\n"
      "  rva22s64  the profile's mandatory extensions, sv39\n"
      "  max       everything that is implemented, but svade\n"
      "Properties (on or off; [on] is the default of rv64):\n";
  for (const auto& row : kExtensions)
    text += fmt::format("  {:<11} [{}] {}\n", row.name, row.on ? "on" : "off", row.help);
  text +=
      "  sv39, sv48, sv57  largest paging mode [sv57]\n"
      "  mmu         [on] paging at all\n"
      "  pmp         [on] physical memory protection\n"
      "  debug       [on] breakpoint and watchpoint triggers (Sdtrig)\n"
      "Numbers:\n"
      "  mvendorid, marchid, mimpid  identity registers [0]\n";
  return text;
}

}  // namespace hv
