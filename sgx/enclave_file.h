// The enclave file (`enclave.bin`): a signed, position-resolved kernel with its configuration and the plan by which a loader
// adds its pages. The form is documented in docs/enclave-file.md; the structures below are that form.
#ifndef SGX_ENCLAVE_FILE_H
#define SGX_ENCLAVE_FILE_H

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "host_abi/enclave_config.h"
#include "host_abi/kernel_layout.h"
#include "sgx/arch.h"
#include "sgx/result.h"
#include "sgx/sigstruct.h"

namespace sgx {

// ---- The bytes of the file.

inline constexpr std::uint64_t kFileMagic = 0x31434e45'4c43434f;  // "OCCLENC1"
inline constexpr std::uint32_t kFileVersion = 1;
inline constexpr std::uint32_t kMaxRegions = 4096;
inline constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 30;

struct FileHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t header_size;  // sizeof(FileHeader)
  std::uint64_t file_size;
  std::uint64_t elrange_size;  // SECS.SIZE; SECS.BASEADDR is 0
  std::uint32_t ssa_frame_pages;
  std::uint32_t region_count;
  std::uint64_t regions_offset;    // FileRegion[region_count]
  std::uint64_t sigstruct_offset;  // page aligned
  std::uint64_t layout_address;    // of the KernelLayout in ELRANGE
  std::uint64_t reserved[8];       // zero
};
static_assert(sizeof(FileHeader) == 128 && std::has_unique_object_representations_v<FileHeader>);

inline constexpr std::uint32_t kRegionMeasured = 1;  // EEXTEND every chunk
inline constexpr std::uint32_t kRegionContent = 2;   // bytes are in the file at file_offset; else the pages are zero

struct FileRegion {
  std::uint64_t offset;  // in ELRANGE, page aligned
  std::uint64_t size;    // page aligned, not 0
  std::uint64_t secinfo_flags;
  std::uint32_t flags;  // kRegion*
  std::uint32_t reserved;
  std::uint64_t file_offset;  // page aligned; 0 without kRegionContent
};
static_assert(sizeof(FileRegion) == 40 && std::has_unique_object_representations_v<FileRegion>);

// ---- Reading.

// One run of pages, to be added in the order of the file.
struct Region {
  std::uint64_t offset;  // in ELRANGE
  std::uint64_t size;
  std::uint64_t secinfo_flags;
  bool measured;
  Bytes content;  // `size` bytes, page aligned in memory; empty: the pages are zero
  PageType type() const { return secinfo_type(secinfo_flags); }
};

// A validated enclave file in memory. Its content lives as long as the object.
class EnclaveFile {
 public:
  // Reads and validates a file. Every error names the file and what is wrong with it.
  static Result<EnclaveFile> open(const std::string& path);
  // Validates bytes (they are copied); `name` is used in errors.
  static Result<EnclaveFile> parse(Bytes bytes, const std::string& name);

  std::uint64_t elrange_size() const { return header_.elrange_size; }
  std::uint32_t ssa_frame_pages() const { return header_.ssa_frame_pages; }
  std::span<const Region> regions() const { return regions_; }
  const Sigstruct& sigstruct() const { return sigstruct_; }
  const host_abi::KernelLayout& layout() const { return layout_; }
  const host_abi::ConfigHeader& config_header() const { return config_; }
  Bytes config() const { return config_bytes_; }  // the whole blob
  const std::string& name() const { return name_; }

 private:
  struct Mapping;  // page-aligned anonymous memory
  EnclaveFile() = default;
  static Result<EnclaveFile> validate(std::shared_ptr<Mapping> memory, std::string name);
  Result<> read_header();
  Result<> read_regions();
  Result<> read_region(const FileRegion& raw, std::uint64_t& next_content);
  Result<> check_overlaps() const;
  Result<> read_layout();
  Result<> check_image_regions() const;
  Result<> check_planned_regions() const;
  std::unexpected<Error> bad(const std::string& what) const;
  Bytes bytes() const;
  // The content of the region that starts at `address` if it is read-only and measured and has content, else empty.
  Bytes read_only_content(std::uint64_t address) const;

  std::shared_ptr<Mapping> memory_;
  std::string name_;
  FileHeader header_{};
  std::vector<Region> regions_;
  Sigstruct sigstruct_{};
  host_abi::KernelLayout layout_{};
  host_abi::ConfigHeader config_{};
  Bytes config_bytes_;
};

// Parameters of SECS that the file leaves to the machine.
struct LaunchParams {
  std::uint64_t host_xfrm = kXfrmLegacy;  // XCR0 of the machine, limited to what CPUID(0x12,1) allows
  ConfigId config_id{};                   // only with KSS
  std::uint16_t config_svn = 0;           // only with KSS
};

// The SECS for ECREATE. Optional extended features that the machine has are taken. Errors: KSS values without the KSS attribute,
// a machine that lacks a required feature.
Result<Secs> make_secs(const EnclaveFile& file, const LaunchParams& params);

// MRENCLAVE, by replaying the load plan.
Result<Hash> measure_enclave_file(const EnclaveFile& file);

// Replays the plan and checks the SIGSTRUCT: what EINIT will say, in words. The error names the kernel, configuration or signature.
Result<> verify_enclave_file(const EnclaveFile& file);

struct EnclaveFileInfo {
  Hash mrenclave;
  Hash mrsigner;
  Attributes attributes;
  Attributes attributes_mask;
  std::uint32_t miscselect;
  std::uint32_t date;  // BCD
  std::uint16_t isv_prod_id;
  std::uint16_t isv_svn;
  Id128 isv_family_id;
  Id128 isv_ext_prod_id;
  bool debuggable;
  bool kss;
  bool edmm;
  std::uint64_t elrange_size;
  std::uint32_t tcs_count;
};

// The identity of the enclave, for `occlum print` and `occlum status`. The SIGSTRUCT is checked, the pages are measured.
Result<EnclaveFileInfo> enclave_file_info(const std::string& path);

// ---- Writing.

struct SigningParams {
  bool debuggable = false;
  bool provision_key = false;
  bool kss = false;
  bool require_amx = false;  // no launch on a machine without AMX
  std::uint16_t isv_prod_id = 0;
  std::uint16_t isv_svn = 0;
  Id128 isv_family_id{};    // needs kss
  Id128 isv_ext_prod_id{};  // needs kss
};

inline constexpr std::uint64_t kDefaultBootHeap = 2 * 1024 * 1024;

struct EnclaveFileInputs {
  std::string kernel_path;           // static-PIE linked at 0
  std::vector<std::uint8_t> config;  // the blob of host_abi/enclave_config.h; its ConfigHeader decides geometry and sizes
  SigningParams signing;             // must agree with the attributes in ConfigHeader
  std::uint64_t boot_heap_size = kDefaultBootHeap;  // with EDMM; never more than ConfigHeader::kernel_heap_max
};

// The SIGSTRUCT's fields for these parameters, without date and hash. AMX is left open only if the SSA frames can hold it.
SigstructFields sigstruct_fields(const SigningParams& params, std::uint32_t ssa_frame_pages);

// Sets what the kernel will compare with its own report: attributes (with INIT), attributes_mask, miscselect, and the flags
// kConfigDebuggable and kConfigKss. The image builder calls it; build_enclave_file() refuses a header that says something else.
void set_config_attributes(host_abi::ConfigHeader& config, const SigningParams& params);

// The bytes of the enclave file: deterministic for the same inputs and key.
Result<std::vector<std::uint8_t>> build_enclave_file(const EnclaveFileInputs& inputs, const SigningKey& key);

// build_enclave_file() written to `path` (through a temporary file in the same folder, then renamed). Returns MRENCLAVE.
Result<Hash> write_enclave_file(const EnclaveFileInputs& inputs, const SigningKey& key, const std::string& path);

}  // namespace sgx
#endif  // SGX_ENCLAVE_FILE_H
