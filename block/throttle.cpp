#include "block/throttle.h"

#include <algorithm>
#include <vector>

namespace hv {

namespace {

// Without a burst limit this part of a second's budget may go at once.
constexpr double kSlack = 0.1;

struct KindNames {
  std::string_view name, old;  // "total", "": throttling.iops-total, iops
};
constexpr std::array<KindNames, ThrottleConfig::kKinds> kKindNames{
    {{"total", ""}, {"read", "_rd"}, {"write", "_wr"}}};

Result<> take_value(KeyValues& values, const std::string& key, const std::string& old_key,
                    double& field) {
  for (const std::string& name : {key, old_key}) {
    if (name.empty()) continue;
    HV_TRY_ASSIGN(const auto value, values.take_number(name));
    if (!value) continue;
    if (*value > 1'000'000'000'000'000)
      return fail("{}: {}={} is too large: use 10^15 at most", values.option(), name, *value);
    field = static_cast<double>(*value);
  }
  return {};
}

// `unit` is "iops" or "bps".
Result<> take_limits(KeyValues& values, std::string_view prefix, std::string_view unit,
                     std::array<ThrottleLimit, ThrottleConfig::kKinds>& limits) {
  const bool old_names = prefix == "throttling.";
  for (size_t i = 0; i < limits.size(); ++i) {
    ThrottleLimit& limit = limits[i];
    const std::string key = fmt::format("{}{}-{}", prefix, unit, kKindNames[i].name);
    const std::string old = fmt::format("{}{}", unit, kKindNames[i].old);
    const auto old_key = [&](std::string_view end) {
      return old_names ? fmt::format("{}{}", old, end) : std::string();
    };
    HV_TRY(take_value(values, key, old_key(""), limit.average));
    HV_TRY(take_value(values, key + "-max", old_key("_max"), limit.maximum));
    HV_TRY(take_value(values, key + "-max-length", old_key("_max_length"), limit.length));
    if (limit.maximum != 0 && limit.average == 0)
      return fail("{}: {}-max needs {}", values.option(), key, key);
    if (limit.maximum != 0 && limit.maximum < limit.average)
      return fail("{}: {}-max is below {}", values.option(), key, key);
    if (limit.length == 0)
      return fail("{}: {}-max-length=0 is too short: use 1 or more", values.option(), key);
    if (limit.length != 1 && limit.maximum == 0)
      return fail("{}: {}-max-length needs {}-max", values.option(), key, key);
  }
  if (limits[ThrottleConfig::kTotal].average != 0 &&
      (limits[ThrottleConfig::kRead].average != 0 || limits[ThrottleConfig::kWrite].average != 0))
    return fail("{}: {}{}-total excludes {}{}-read and {}{}-write", values.option(), prefix, unit,
                prefix, unit, prefix, unit);
  return {};
}

}  // namespace

bool ThrottleConfig::any() const {
  const auto limits = [](const ThrottleLimit& limit) { return limit.average != 0; };
  return std::ranges::any_of(bytes, limits) || std::ranges::any_of(requests, limits);
}

Result<ThrottleConfig> take_throttle_config(KeyValues& values, std::string_view prefix) {
  ThrottleConfig config;
  HV_TRY(take_limits(values, prefix, "bps", config.bytes));
  HV_TRY(take_limits(values, prefix, "iops", config.requests));
  double size = 0;
  HV_TRY(take_value(values, fmt::format("{}iops-size", prefix),
                    prefix == "throttling." ? "iops_size" : "", size));
  config.request_size = static_cast<uint64_t>(size);
  return config;
}

double ThrottleGroup::wait(const ThrottleLimit& limit, const Bucket& bucket) {
  if (limit.average == 0) return 0;
  if (limit.maximum == 0)
    return std::max(0.0, (bucket.level - limit.average * kSlack) / limit.average);
  double seconds = (bucket.level - limit.maximum * limit.length) / limit.average;
  if (limit.length > 1)
    seconds = std::max(seconds, (bucket.burst_level - limit.maximum * kSlack) / limit.maximum);
  return std::max(0.0, seconds);
}

void ThrottleGroup::leak_locked(int64_t now_ns) {
  const double seconds = static_cast<double>(std::max<int64_t>(now_ns - leaked_ns_, 0)) / 1e9;
  leaked_ns_ = now_ns;
  const auto leak = [seconds](const ThrottleLimit& limit, Bucket& bucket) {
    bucket.level = std::max(0.0, bucket.level - limit.average * seconds);
    bucket.burst_level = std::max(0.0, bucket.burst_level - limit.maximum * seconds);
  };
  for (size_t i = 0; i < bytes_.size(); ++i) {
    leak(config_.bytes[i], bytes_[i]);
    leak(config_.requests[i], requests_[i]);
  }
}

void ThrottleGroup::configure(const ThrottleConfig& config) {
  MutexLock lock(mutex_);
  config_ = config;
}

int64_t ThrottleGroup::reserve(bool write, uint64_t bytes, int64_t now_ns) {
  MutexLock lock(mutex_);
  leak_locked(now_ns);
  const double units =
      config_.request_size == 0
          ? 1
          : std::max(1.0, static_cast<double>(bytes) / static_cast<double>(config_.request_size));
  double seconds = 0;
  const auto enter = [&seconds](const ThrottleLimit& limit, Bucket& bucket, double amount) {
    seconds = std::max(seconds, wait(limit, bucket));
    bucket.level += amount;
    bucket.burst_level += amount;
  };
  for (const auto kind :
       {ThrottleConfig::kTotal, write ? ThrottleConfig::kWrite : ThrottleConfig::kRead}) {
    enter(config_.bytes[kind], bytes_[kind], static_cast<double>(bytes));
    enter(config_.requests[kind], requests_[kind], units);
  }
  return now_ns + static_cast<int64_t>(seconds * 1e9);
}

}  // namespace hv
