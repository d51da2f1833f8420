// SIGSTRUCT: building, signing (RSA-3072, exponent 3, PKCS#1 v1.5, SHA-256) and checking, as EINIT does (SDM 38.13, "EINIT").
#ifndef SGX_SIGSTRUCT_H
#define SGX_SIGSTRUCT_H

#include <memory>
#include <string>
#include <string_view>

#include "sgx/arch.h"
#include "sgx/result.h"

struct evp_pkey_st;  // EVP_PKEY

namespace sgx {

// An RSA-3072 private key with public exponent 3.
class SigningKey {
 public:
  // A new random key.
  static Result<SigningKey> generate();
  // From the text of a PEM file (PKCS#8 or PKCS#1, not encrypted). Errors: not PEM, not RSA, not 3072 bits, exponent not 3.
  static Result<SigningKey> from_pem(std::string_view pem);
  // As from_pem(), of a file.
  static Result<SigningKey> load(const std::string& path);
  // PKCS#8 PEM text: a secret.
  Result<std::string> to_pem() const;
  // MRSIGNER of enclaves signed with this key: SHA-256 of the little-endian modulus.
  Result<Hash> mrsigner() const;

  evp_pkey_st* get() const { return key_.get(); }

 private:
  struct Free {
    void operator()(evp_pkey_st* key) const;
  };
  explicit SigningKey(evp_pkey_st* key) : key_(key) {}
  std::unique_ptr<evp_pkey_st, Free> key_;
};

// Attribute bits that the processor or the platform may add without changing what the enclave is: their mask bits are 0.
inline constexpr std::uint64_t kXfrmOptional = kXfrmAvx | kXfrmAvx512 | kXfrmPkru;

// The signed fields of a SIGSTRUCT that the signer chooses.
struct SigstructFields {
  std::uint32_t date = 0;  // BCD, see bcd_date()
  std::uint32_t swdefined = 0;
  std::uint32_t miscselect = kMiscExinfo;
  std::uint32_t miscmask = 0xffffffff;
  Attributes attributes{kAttrMode64, kXfrmLegacy};
  Attributes attributes_mask{~std::uint64_t{0}, ~kXfrmOptional};
  Hash enclave_hash{};
  std::uint16_t isv_prod_id = 0;
  std::uint16_t isv_svn = 0;
  Id128 isv_family_id{};    // only with KSS
  Id128 isv_ext_prod_id{};  // only with KSS
};

// The UTC date of `epoch` (seconds since 1970) as SIGSTRUCT.DATE: 0xYYYYMMDD.
std::uint32_t bcd_date(std::uint64_t epoch);

// Builds and signs a SIGSTRUCT. The result passes check_sigstruct(); the same input gives the same bytes.
Result<Sigstruct> sign_sigstruct(const SigstructFields& fields, const SigningKey& key);

// What EINIT checks of the SIGSTRUCT alone: constants, reserved bytes, exponent, modulus, q1 and q2, signature.
// Errors: invalid_sig_struct, invalid_signature.
SgxError check_sigstruct(const Sigstruct& sigstruct);

// What EINIT checks with the enclave at hand, including check_sigstruct(). `mrenclave` is the final measurement.
// Errors: invalid_sig_struct, invalid_signature, invalid_measurement, invalid_attribute.
SgxError check_einit(const Sigstruct& sigstruct, const Attributes& secs_attributes, std::uint32_t secs_miscselect,
                     const Hash& mrenclave);

// MRSIGNER of the key that a SIGSTRUCT carries.
Result<Hash> mrsigner_of(const Sigstruct& sigstruct);

}  // namespace sgx
#endif  // SGX_SIGSTRUCT_H
