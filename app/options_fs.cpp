// Handlers: directories of the host for the guest.
#include <algorithm>
#include <cstdlib>

#include "app/option_handlers.h"

namespace hv::option_handlers {
namespace {

// QEMU's numbers: octal with a leading 0, as modes are written.
Result<std::optional<uint32_t>> take_mode(KeyValues& values, std::string_view key) {
  const auto text = values.take(key);
  if (!text) return std::nullopt;
  char* end = nullptr;
  errno = 0;
  const unsigned long mode = std::strtoul(text->c_str(), &end, 0);
  if (text->empty() || *end != '\0' || errno != 0 || mode > 0777)
    return fail("{}: {}={} is no mode: use 0 to 0777 in octal, as {}=0644", values.option(), key,
                *text, key);
  return static_cast<uint32_t>(mode);
}

Result<SecurityModel> security_model(const std::string& option, const std::string& word) {
  if (word == "none") return SecurityModel::kNone;
  if (word == "passthrough") return SecurityModel::kPassthrough;
  if (word == "mapped-xattr" || word == "mapped") return SecurityModel::kMappedXattr;
  if (word == "mapped-file") return SecurityModel::kMappedFile;
  return fail(
      "{}: security_model={} is unknown: use none, passthrough, mapped-xattr or mapped-file",
      option, word);
}

// What -fsdev and -virtfs share; `values` keeps what is only the latter's.
Result<FsOptions> take_fs_options(KeyValues& values) {
  const std::string option = values.option();
  const std::string driver = values.take("fsdriver").value_or("");
  if (driver == "proxy" || driver == "synth")
    return fail("{} {}: not supported (only 'local', a directory of the host)", option, driver);
  if (driver != "local")
    return fail("{} {}: no such file system; there is 'local'", option, driver);
  FsOptions fs;
  const auto path = values.take("path");
  if (!path || path->empty()) return fail("{}: path= is missing: the directory to share", option);
  fs.path = *path;
  const auto model = values.take("security_model");
  if (!model)
    return fail(
        "{}: security_model= is missing: passthrough (owners and modes as on the host), "
        "mapped-xattr, mapped-file (kept beside the files) or none",
        option);
  HV_TRY_ASSIGN(fs.security, security_model(option, *model));
  HV_TRY_ASSIGN(const auto read_only, values.take_bool("readonly"));
  fs.read_only = read_only.value_or(false);
  if (const auto word = values.take("writeout")) {
    if (*word != "immediate")
      return fail("{}: writeout={} is unknown: use immediate, or leave it out", option, *word);
    fs.write_through = true;
  }
  const bool mapped = fs.security >= SecurityModel::kMappedXattr;
  HV_TRY_ASSIGN(const auto file_mode, take_mode(values, "fmode"));
  HV_TRY_ASSIGN(const auto directory_mode, take_mode(values, "dmode"));
  if ((file_mode || directory_mode) && !mapped)
    return fail("{}: {} works only with security_model=mapped-xattr or mapped-file", option,
                file_mode ? "fmode" : "dmode");
  fs.file_mode = file_mode.value_or(fs.file_mode);
  fs.directory_mode = directory_mode.value_or(fs.directory_mode);
  if (const auto word = values.take("multidevs")) {
    if (*word == "remap")
      fs.multi_devices = MultiDevices::kRemap;
    else if (*word == "forbid")
      fs.multi_devices = MultiDevices::kForbid;
    else if (*word == "warn")
      fs.multi_devices = MultiDevices::kWarn;
    else
      return fail("{}: multidevs={} is unknown: use remap, forbid or warn", option, *word);
  }
  for (const auto& [key, value] : values.items())
    if (key.starts_with("throttling."))
      return fail("{}: {} is not supported: shares are not throttled", option, key);
  return fs;
}

Result<> add_fs(Options& options, FsOptions fs, const std::string& option) {
  if (std::ranges::find(options.file_systems, fs.id, &FsOptions::id) != options.file_systems.end())
    return fail("{}: there is an -fsdev '{}' already", option, fs.id);
  options.file_systems.push_back(std::move(fs));
  return {};
}

bool asks_for_help(Options& options, const KeyValues& values) {
  const auto driver = values.get("fsdriver");
  const bool help = driver == "help" || driver == "?";
  if (help) options.print_and_exit = "File systems: local\n";
  return help;
}

constexpr std::string_view kKeys =
    "path, security_model, readonly, fmode, dmode, multidevs, writeout";

}  // namespace

Result<> fsdev(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-fsdev", value, "fsdriver"));
  if (asks_for_help(options, values)) return {};
  HV_TRY_ASSIGN(FsOptions fs, take_fs_options(values));
  const auto id = values.take("id");
  if (!id || id->empty()) return fail("-fsdev {}: id= is missing", value);
  fs.id = *id;
  HV_TRY(values.expect_empty(fmt::format("id, {}", kKeys)));
  return add_fs(options, std::move(fs), "-fsdev");
}

Result<> virtfs(Options& options, const std::string& value) {
  HV_TRY_ASSIGN(auto values, KeyValues::parse("-virtfs", value, "fsdriver"));
  if (asks_for_help(options, values)) return {};
  HV_TRY_ASSIGN(FsOptions fs, take_fs_options(values));
  const auto tag = values.take("mount_tag");
  if (!tag || tag->empty())
    return fail("-virtfs {}: mount_tag= is missing: the name for the guest", value);
  fs.id = values.take("id").value_or(*tag);
  HV_TRY(values.expect_empty(fmt::format("id, mount_tag, {}", kKeys)));
  KeyValues device("-virtfs");
  device.add("driver", "virtio-9p-device");
  device.add("fsdev", fs.id);
  device.add("mount_tag", *tag);
  options.machine.devices.push_back(std::move(device));
  return add_fs(options, std::move(fs), "-virtfs");
}

}  // namespace hv::option_handlers
