#include <string_view>

#include "block/disk.h"
#include "block/throttle.h"

namespace hv {

namespace {

struct CacheMode {
  std::string_view name;
  bool write_back, direct, no_flush;
};
// As QEMU's manual has them.
constexpr CacheMode kCacheModes[] = {
    {"writeback", true, false, false},     {"none", true, true, false},
    {"writethrough", false, false, false}, {"directsync", false, true, false},
    {"unsafe", true, false, true},
};

// on|off or one of two words; the option means `yes` when it is true.
Result<> take_choice(KeyValues& values, std::string_view key, std::string_view yes,
                     std::string_view no, bool& field) {
  const auto text = values.take(key);
  if (!text) return {};
  if (*text == yes || *text == "on")
    field = true;
  else if (*text == no || *text == "off")
    field = false;
  else
    return fail("{}: {}={} is unknown: use {} or {}", values.option(), key, *text, yes, no);
  return {};
}

Result<> take_switch(KeyValues& values, std::string_view key, bool& field) {
  HV_TRY_ASSIGN(const auto value, values.take_bool(key));
  if (value) field = *value;
  return {};
}

Result<> take_cache(KeyValues& values, DiskOptions& options) {
  if (const auto name = values.take("cache")) {
    const CacheMode* mode = nullptr;
    for (const CacheMode& each : kCacheModes)
      if (each.name == *name) mode = &each;
    if (!mode)
      return fail(
          "{}: cache={} is unknown: use writeback, none, writethrough, directsync or unsafe",
          values.option(), *name);
    options.write_through = !mode->write_back;
    options.direct = mode->direct;
    options.no_flush = mode->no_flush;
  }
  bool write_back = !options.write_through;
  HV_TRY(take_switch(values, "cache.writeback", write_back));
  options.write_through = !write_back;
  HV_TRY(take_switch(values, "cache.direct", options.direct));
  HV_TRY(take_switch(values, "cache.no-flush", options.no_flush));
  return {};
}

Result<> take_aio(KeyValues& values, std::string_view key, DiskOptions& options) {
  const auto name = values.take(key);
  if (!name) return {};
  if (*name == "io_uring")
    options.use_uring = true;
  else if (*name == "threads")
    options.use_uring = false;
  else if (*name == "native")
    return fail("{}: {}=native (Linux AIO) is not supported: use io_uring or threads",
                values.option(), key);
  else
    return fail("{}: {}={} is unknown: use io_uring or threads", values.option(), key, *name);
  return {};
}

// Features that exist in QEMU and not here: only the value that turns them off is taken.
Result<> refuse_unless_off(KeyValues& values, std::string_view key) {
  const auto value = values.take(key);
  if (value && parse_bool(*value) != false)
    return fail("{}: {}={} is not supported: use {}=off", values.option(), key, *value, key);
  return {};
}

// What -blockdev nests: keys of the file node under `prefix` ("" or "file.").
Result<> take_file_node(KeyValues& values, std::string_view prefix, DiskOptions& options) {
  const std::string p(prefix);
  if (auto name = values.take(p + "filename")) options.filename = *name;
  HV_TRY(take_aio(values, p + "aio", options));
  const auto locking = values.take(p + "locking");
  if (locking) {
    if (*locking != "auto" && !parse_bool(*locking))
      return fail("{}: {}locking={} is unknown: use auto, on or off", values.option(), prefix,
                  *locking);
    options.locking = *locking == "auto" || *parse_bool(*locking);
  }
  return {};
}

Result<> take_detect_zeroes(KeyValues& values, DiskOptions& options) {
  using enum DiskOptions::DetectZeroes;
  const auto word = values.take("detect-zeroes");
  if (!word) return {};
  if (*word == "off")
    options.detect_zeroes = kOff;
  else if (*word == "on")
    options.detect_zeroes = kOn;
  else if (*word == "unmap")
    options.detect_zeroes = kUnmap;
  else
    return fail("{}: detect-zeroes={} is unknown: use off, on or unmap", values.option(), *word);
  if (options.detect_zeroes == kUnmap && !options.discard_unmap)
    return fail("{}: detect-zeroes=unmap needs discard=unmap", values.option());
  return {};
}

Result<> take_throttle(KeyValues& values, const DiskLookup& lookup, DiskOptions& options) {
  HV_TRY_ASSIGN(const ThrottleConfig config, take_throttle_config(values, "throttling."));
  const auto group = values.take("throttling.group");
  if (group && lookup.throttle_group)
    options.throttle = lookup.throttle_group(*group, &config);
  else if (config.any())
    options.throttle = std::make_shared<ThrottleGroup>(config);
  return {};
}

// driver=null-co or null-aio (the same here): size, latency-ns, read-zeroes.
Result<> take_null(KeyValues& values, DiskOptions& options) {
  NullDiskOptions null;
  HV_TRY_ASSIGN(const auto size, values.take_size("size"));
  if (size) null.size = *size;
  if (null.size == 0 || null.size % 512 != 0)
    return fail("{}: size={} of a null-co disk is not a multiple of 512", values.option(),
                null.size);
  HV_TRY_ASSIGN(const auto latency, values.take_number("latency-ns"));
  if (latency && *latency > 3'600'000'000'000)
    return fail("{}: latency-ns={} is too long: use an hour at most", values.option(), *latency);
  null.latency_ns = static_cast<int64_t>(latency.value_or(0));
  HV_TRY(take_switch(values, "read-zeroes", null.read_zeroes));
  options.null = null;
  return {};
}

bool is_null_driver(std::string_view name) {
  return name == "null-co" || name == "null-aio";
}

bool is_file_driver(std::string_view name) {
  return name == "file" || name == "host_device";
}

}  // namespace

Result<DiskOptions> take_disk_options(KeyValues& values, const DiskLookup& lookup) {
  DiskOptions options;
  const bool blockdev = values.option().starts_with("-blockdev");
  auto format = values.take("format");
  auto driver = values.take("driver");
  if (format && driver)
    return fail("{}: both format= and driver= are given: use one", values.option());
  const std::string name = driver ? *driver : format.value_or("");

  const auto file = values.take("file");
  if (blockdev) {
    if (name.empty())
      return fail("{}: names no driver (driver=raw or driver=file)", values.option());
    if (is_null_driver(name)) {
      HV_TRY(take_null(values, options));
    } else if (name == "throttle") {
      const DiskOptions* node = file && lookup.node ? lookup.node(*file) : nullptr;
      if (!node)
        return fail("{}: driver=throttle needs file=NODE, an earlier -blockdev", values.option());
      options = *node;
      const std::string group = values.take("throttle-group").value_or("");
      options.throttle = lookup.throttle_group ? lookup.throttle_group(group, nullptr) : nullptr;
      if (!options.throttle)
        return fail("{}: throttle-group={}: there is no such -object throttle-group",
                    values.option(), group);
    } else if (is_file_driver(name)) {
      if (file) return fail("{}: driver={} takes filename=, not file=", values.option(), name);
    } else if (name == "raw" && file) {
      const DiskOptions* node = lookup.node ? lookup.node(*file) : nullptr;
      if (!node) return fail("{}: file={}: there is no such block node", values.option(), *file);
      options = *node;
    }
    // A -blockdev is what it says: nothing is probed.
    options.format =
        is_file_driver(name) || is_null_driver(name) || name == "throttle" ? "raw" : name;
  } else {
    if (file) options.filename = *file;
    options.format = is_file_driver(name) || is_null_driver(name) ? "raw" : name;
    if (is_null_driver(name) || options.filename.starts_with("null-co://") ||
        options.filename.starts_with("null-aio://"))
      HV_TRY(take_null(values, options));
  }
  if (!options.format.empty() && options.format != "raw")
    return fail("{}: the format {} is not supported: convert the image to raw", values.option(),
                options.format);

  const auto nested = values.take("file.driver");
  if (nested && is_null_driver(*nested)) {
    KeyValues own(values.option());
    for (const std::string key : {"size", "latency-ns", "read-zeroes"})
      if (const auto value = values.take("file." + key)) own.add(key, *value);
    HV_TRY(take_null(own, options));
  } else if (nested && !is_file_driver(*nested))
    return fail("{}: file.driver={} is not supported: use file, host_device or null-co",
                values.option(), *nested);
  HV_TRY(take_file_node(values, "", options));
  HV_TRY(take_file_node(values, "file.", options));
  HV_TRY(take_cache(values, options));
  HV_TRY(take_choice(values, "discard", "unmap", "ignore", options.discard_unmap));
  HV_TRY(take_switch(values, "readonly", options.read_only));
  HV_TRY(take_switch(values, "read-only", options.read_only));
  HV_TRY(take_switch(values, "file.read-only", options.read_only));
  HV_TRY(take_switch(values, "snapshot", options.snapshot));
  HV_TRY(take_detect_zeroes(values, options));
  HV_TRY(take_throttle(values, lookup, options));
  HV_TRY(refuse_unless_off(values, "copy-on-read"));
  // It would open read-only what cannot be written, and every device here then refuses the node
  // unless it was read-only anyway; so both values mean the same.
  bool auto_read_only = false;
  HV_TRY(take_switch(values, "auto-read-only", auto_read_only));
  options.lock_later = true;
  return options;
}

}  // namespace hv
