// The ioctls of the Linux SGX driver (/dev/sgx_enclave), as in the kernel's arch/x86/include/uapi/asm/sgx.h. Own definitions, so
// that the program can be built with headers of a kernel that lacks them and the driver's model uses the same names.
#ifndef SGX_UAPI_H
#define SGX_UAPI_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sgx::uapi {

inline constexpr std::uint32_t kMagic = 0xa4;

// _IOC() of asm-generic/ioctl.h.
inline constexpr std::uint32_t kIocNone = 0;
inline constexpr std::uint32_t kIocWrite = 1;
inline constexpr std::uint32_t kIocRead = 2;
constexpr std::uint32_t ioc(std::uint32_t direction, std::uint32_t number, std::size_t size) {
  return (direction << 30) | (static_cast<std::uint32_t>(size) << 16) | (kMagic << 8) | number;
}

struct EnclaveCreate {
  std::uint64_t src;  // address of a Secs, page aligned
};
struct EnclaveAddPages {
  std::uint64_t src;     // page aligned
  std::uint64_t offset;  // from the enclave's base
  std::uint64_t length;
  std::uint64_t secinfo;  // address of a Secinfo
  std::uint64_t flags;    // kAddPagesMeasure
  std::uint64_t count;    // out: bytes added
};
struct EnclaveInit {
  std::uint64_t sigstruct;  // address of a Sigstruct
};
struct EnclaveProvision {
  std::uint64_t fd;  // of /dev/sgx_provision
};
struct EnclaveRestrictPermissions {
  std::uint64_t offset;
  std::uint64_t length;
  std::uint64_t permissions;  // SECINFO R|W|X
  std::uint64_t result;       // out: error code of EMODPR
  std::uint64_t count;        // out: bytes done
};
struct EnclaveModifyTypes {
  std::uint64_t offset;
  std::uint64_t length;
  std::uint64_t page_type;  // PageType::tcs or ::trim
  std::uint64_t result;     // out: error code of EMODT
  std::uint64_t count;      // out: bytes done
};
struct EnclaveRemovePages {
  std::uint64_t offset;
  std::uint64_t length;
  std::uint64_t count;  // out: bytes done
};

inline constexpr std::uint64_t kAddPagesMeasure = 1;

inline constexpr std::uint32_t kEnclaveCreate = ioc(kIocWrite, 0x00, sizeof(EnclaveCreate));
inline constexpr std::uint32_t kEnclaveAddPages = ioc(kIocRead | kIocWrite, 0x01, sizeof(EnclaveAddPages));
inline constexpr std::uint32_t kEnclaveInit = ioc(kIocWrite, 0x02, sizeof(EnclaveInit));
inline constexpr std::uint32_t kEnclaveProvision = ioc(kIocWrite, 0x03, sizeof(EnclaveProvision));
inline constexpr std::uint32_t kVepcRemoveAll = ioc(kIocNone, 0x04, 0);
inline constexpr std::uint32_t kEnclaveRestrictPermissions = ioc(kIocRead | kIocWrite, 0x05, sizeof(EnclaveRestrictPermissions));
inline constexpr std::uint32_t kEnclaveModifyTypes = ioc(kIocRead | kIocWrite, 0x06, sizeof(EnclaveModifyTypes));
inline constexpr std::uint32_t kEnclaveRemovePages = ioc(kIocRead | kIocWrite, 0x07, sizeof(EnclaveRemovePages));

static_assert(sizeof(EnclaveCreate) == 8 && sizeof(EnclaveAddPages) == 48 && sizeof(EnclaveInit) == 8);
static_assert(sizeof(EnclaveProvision) == 8 && sizeof(EnclaveRestrictPermissions) == 40);
static_assert(sizeof(EnclaveModifyTypes) == 40 && sizeof(EnclaveRemovePages) == 24);
static_assert(std::has_unique_object_representations_v<EnclaveAddPages>);
static_assert(kEnclaveCreate == 0x4008a400 && kEnclaveAddPages == 0xc030a401 && kEnclaveInit == 0x4008a402);
static_assert(kEnclaveProvision == 0x4008a403 && kVepcRemoveAll == 0xa404 && kEnclaveRestrictPermissions == 0xc028a405);
static_assert(kEnclaveModifyTypes == 0xc028a406 && kEnclaveRemovePages == 0xc018a407);

}  // namespace sgx::uapi
#endif  // SGX_UAPI_H
