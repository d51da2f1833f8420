// The ECDSA quote, version 3, of SGX DCAP as data ("Intel SGX ECDSA QuoteGenReference", appendix A): a header, the report body of the
// quoted enclave, and a signature section of variable length. Header only and usable in freestanding code.
//
//   QuoteHeader, ReportBody, u32 signature_size, QuoteSignature, u16 auth_size, auth bytes, u16 certification type, u32 size, data
//
// The signature covers header and report body. The quoting enclave's report carries SHA-256(attestation key || auth bytes) in the
// first half of its REPORTDATA; the platform's certification key signs that report.
#ifndef SGX_QUOTE_H
#define SGX_QUOTE_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "sgx/arch.h"

namespace sgx {

inline constexpr std::uint16_t kQuoteVersion = 3;
inline constexpr std::uint16_t kAttestationKeyEcdsaP256 = 2;
inline constexpr std::uint32_t kTeeTypeSgx = 0;
inline constexpr std::array<std::uint8_t, 16> kQuoteVendorIntel{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                                                0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07};

struct QuoteHeader {
  std::uint16_t version;
  std::uint16_t attestation_key_type;
  std::uint32_t tee_type;
  std::uint16_t qe_svn;
  std::uint16_t pce_svn;
  std::array<std::uint8_t, 16> qe_vendor_id;
  std::array<std::uint8_t, 20> user_data;
};
static_assert(sizeof(QuoteHeader) == 48 && std::has_unique_object_representations_v<QuoteHeader>);
static_assert(offsetof(QuoteHeader, qe_svn) == 8 && offsetof(QuoteHeader, qe_vendor_id) == 12);
static_assert(offsetof(QuoteHeader, user_data) == 28);

// The bytes that the attestation key signs.
struct QuotedReport {
  QuoteHeader header;
  ReportBody report;
};
static_assert(sizeof(QuotedReport) == 432 && std::has_unique_object_representations_v<QuotedReport>);

using EcdsaSignature = std::array<std::uint8_t, 64>;  // r || s, big endian each
using EcdsaPublicKey = std::array<std::uint8_t, 64>;  // x || y, big endian each

// The part of the signature section of fixed size. It starts at byte 436 of a quote, behind the u32 size of the section.
struct QuoteSignature {
  EcdsaSignature isv_signature;
  EcdsaPublicKey attestation_key;
  ReportBody qe_report;
  EcdsaSignature qe_report_signature;
};
static_assert(sizeof(QuoteSignature) == 576 && std::has_unique_object_representations_v<QuoteSignature>);
static_assert(offsetof(QuoteSignature, attestation_key) == 64 && offsetof(QuoteSignature, qe_report) == 128);
static_assert(offsetof(QuoteSignature, qe_report_signature) == 512);
inline constexpr std::size_t kQuoteSignatureSizeOffset = sizeof(QuotedReport);
inline constexpr std::size_t kQuoteSignatureOffset = kQuoteSignatureSizeOffset + sizeof(std::uint32_t);
inline constexpr std::size_t kQuoteAuthSizeOffset = kQuoteSignatureOffset + sizeof(QuoteSignature);
static_assert(kQuoteAuthSizeOffset == 1012);

enum class CertificationType : std::uint16_t {
  ppid_plain = 1,
  ppid_rsa2048 = 2,
  ppid_rsa3072 = 3,
  pck_leaf = 4,
  pck_chain = 5,  // PEM: leaf, intermediate, root
  qe_report = 6,
  platform_manifest = 7,
};

}  // namespace sgx
#endif  // SGX_QUOTE_H
