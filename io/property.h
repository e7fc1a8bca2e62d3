// One declaration of a device's options: command line, help, introspection and defaults.
//
//   struct Config { std::string serial; uint16_t num_queues = 1; bool discard = true; };
//   inline constexpr auto kProps = std::make_tuple(
//       Prop{"serial", &Config::serial, "serial number shown to the guest (20 bytes at most)"},
//       Prop{"num-queues", &Config::num_queues, "request queues", 1, 64},
//       Prop{"discard", &Config::discard, "accept DISCARD requests"});
//
// The default is the member's initialiser, the type the member's type. A member of type KeyValues
// takes what is written below its name: "name.0.key=value" gives it "0.key=value".
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "io/key_values.h"
#include "io/result.h"

namespace hv {

template <class Config, class T>
struct Prop {
  std::string_view name;
  T Config::* field;
  std::string_view help;
  // Bounds for unsigned fields; ignored for others.
  uint64_t minimum = 0;
  uint64_t maximum =
      std::is_unsigned_v<T>
          ? std::numeric_limits<std::conditional_t<std::is_unsigned_v<T>, T, uint64_t>>::max()
          : 0;
};
template <class Config, class T, class... Rest>
Prop(const char*, T Config::*, const char*, Rest...) -> Prop<Config, T>;

// What help and introspection show of one property.
struct PropInfo {
  std::string name;
  std::string type;  // "bool", "str", "size", "uint16", ...
  std::string help;
  std::string default_value;
};

namespace property_internal {

template <class T>
std::string type_name() {
  if constexpr (std::is_same_v<T, bool>)
    return "bool";
  else if constexpr (std::is_same_v<T, std::string>)
    return "str";
  else if constexpr (std::is_same_v<T, KeyValues>)
    return "list";
  else
    return fmt::format("uint{}", sizeof(T) * 8);
}

template <class T>
std::string show(const T& value) {
  if constexpr (std::is_same_v<T, bool>)
    return value ? "on" : "off";
  else if constexpr (std::is_same_v<T, std::string>)
    return value;
  else if constexpr (std::is_same_v<T, KeyValues>)
    return "";
  else
    return fmt::format("{}", value);
}

template <class Config, class T>
Result<> take_one(KeyValues& values, const Prop<Config, T>& prop, Config& config) {
  if constexpr (std::is_same_v<T, bool>) {
    HV_TRY_ASSIGN(auto value, values.take_bool(prop.name));
    if (value) config.*prop.field = *value;
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (auto value = values.take(prop.name)) config.*prop.field = *value;
  } else if constexpr (std::is_same_v<T, KeyValues>) {
    config.*prop.field = values.take_below(prop.name);
  } else {
    static_assert(std::is_unsigned_v<T>);
    const auto text = values.get(prop.name);
    HV_TRY_ASSIGN(auto value, values.take_size(prop.name));
    if (value) {
      if (*value < prop.minimum || *value > prop.maximum)
        return fail("{}: {}={} is out of range: use {} to {}", values.option(), prop.name, *text,
                    prop.minimum, prop.maximum);
      config.*prop.field = static_cast<T>(*value);
    }
  }
  return {};
}

}  // namespace property_internal

// Takes every declared property out of `values` into a Config; other keys stay in `values`.
template <class Config, class... Props>
Result<Config> take_props(KeyValues& values, const std::tuple<Props...>& props) {
  Config config;
  Result<> result;
  std::apply(
      [&](const auto&... prop) {
        ((result = result ? property_internal::take_one(values, prop, config) : std::move(result)),
         ...);
      },
      props);
  if (!result) return std::unexpected(std::move(result).error());
  return config;
}

template <class Config, class... Props>
std::vector<PropInfo> describe_props(const std::tuple<Props...>& props) {
  std::vector<PropInfo> infos;
  const Config defaults;
  std::apply(
      [&](const auto&... prop) {
        (infos.push_back(
             {std::string(prop.name),
              property_internal::type_name<std::remove_cvref_t<decltype(defaults.*prop.field)>>(),
              std::string(prop.help), property_internal::show(defaults.*prop.field)}),
         ...);
      },
      props);
  return infos;
}

}  // namespace hv
