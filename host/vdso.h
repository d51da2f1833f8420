// Finds functions in an ELF image in memory, such as the vDSO.
#ifndef HOST_VDSO_H
#define HOST_VDSO_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace host {

// The address of the function `name` in the shared object loaded at `image`, or 0 if it is not there or the image is malformed.
// Reads only within `image`. The object's dynamic section must name DT_HASH or DT_GNU_HASH (System V ABI, "Dynamic Linking").
std::uintptr_t find_elf_function(std::span<const std::byte> image, std::string_view name);

// `find_elf_function` in this process's vDSO (AT_SYSINFO_EHDR). 0 if there is no vDSO.
std::uintptr_t find_vdso_function(std::string_view name);

}  // namespace host
#endif  // HOST_VDSO_H
