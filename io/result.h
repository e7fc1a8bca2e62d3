// Error values for host and configuration faults.
//
// A function that can fail for a reason outside the program (a file, an option, a syscall) returns
// Result<T>. Guest misbehaviour is not an Error: it has an architected outcome and at most a log
// line. Asserts are for our own bugs only.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <expected>
#include <string>
#include <utility>

namespace hv {

// One clear sentence for a person: it names the option, file or field, and what would be right.
// No trailing newline or full stop.
struct Error {
  std::string message;
};

template <class T = void>
using Result = std::expected<T, Error>;

template <class... Args>
[[nodiscard]] std::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...)});
}

// As fail(), with ": " and the text of errno `error` appended.
template <class... Args>
[[nodiscard]] std::unexpected<Error> fail_errno(int error, fmt::format_string<Args...> format,
                                                Args&&... args) {
  return std::unexpected(
      Error{fmt::format(format, std::forward<Args>(args)...) + ": " + std::strerror(error)});
}

}  // namespace hv

#define HV_CONCAT_INNER(a, b) a##b
#define HV_CONCAT(a, b) HV_CONCAT_INNER(a, b)

// Returns from the enclosing function with the error of a Result<> expression.
#define HV_TRY(expression)                                      \
  do {                                                          \
    if (auto hv_try_result = (expression); !hv_try_result)      \
      return std::unexpected(std::move(hv_try_result).error()); \
  } while (0)

// HV_TRY_ASSIGN(auto x, make_x()): as HV_TRY, and moves the value into the declaration.
#define HV_TRY_ASSIGN(declaration, expression) \
  HV_TRY_ASSIGN_IMPL(HV_CONCAT(hv_try_, __LINE__), declaration, expression)
#define HV_TRY_ASSIGN_IMPL(temporary, declaration, expression)          \
  auto temporary = (expression);                                        \
  if (!temporary) return std::unexpected(std::move(temporary).error()); \
  declaration = std::move(*temporary)
