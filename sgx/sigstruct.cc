#include "sgx/sigstruct.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <vector>

#include "sgx/measure.h"

namespace sgx {
namespace {

constexpr int kKeyBits = 3072;
constexpr std::size_t kKeyBytes = kKeyBits / 8;
static_assert(kKeyBytes == std::tuple_size_v<RsaNumber>);

struct BnFree {
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
  void operator()(BN_CTX* context) const { BN_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
template <class T>
using Owned = std::unique_ptr<T, BnFree>;

Error crypto_error(std::string_view what) {
  std::array<char, 160> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  ERR_clear_error();
  return Error{std::string(what) + ": " + text.data()};
}

Owned<BIGNUM> from_little_endian(const RsaNumber& bytes) {
  return Owned<BIGNUM>(BN_lebin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
}

bool to_little_endian(const BIGNUM* number, RsaNumber& out) {
  return BN_bn2lebinpad(number, out.data(), static_cast<int>(out.size())) == static_cast<int>(out.size());
}

Owned<BIGNUM> key_number(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &number) != 1) return nullptr;
  return Owned<BIGNUM>(number);
}

// The helper numbers that let the processor check s^3 mod m without dividing: q1 = floor(s^2 / m), q2 = floor(s (s^2 mod m) / m);
// `power` becomes s^3 mod m.
struct Quotients {
  Owned<BIGNUM> q1{BN_new()}, q2{BN_new()}, power{BN_new()};
};

bool compute_quotients(const BIGNUM* s, const BIGNUM* m, Quotients& out) {
  const Owned<BN_CTX> context(BN_CTX_new());
  const Owned<BIGNUM> square(BN_new());
  const Owned<BIGNUM> rest(BN_new());
  const Owned<BIGNUM> product(BN_new());
  return context && square && rest && product && out.q1 && out.q2 && out.power && BN_sqr(square.get(), s, context.get()) == 1 &&
         BN_div(out.q1.get(), rest.get(), square.get(), m, context.get()) == 1 &&
         BN_mul(product.get(), s, rest.get(), context.get()) == 1 &&
         BN_div(out.q2.get(), out.power.get(), product.get(), m, context.get()) == 1;
}

// The bytes that the signature covers.
std::array<std::uint8_t, kSigstructSigned1 + kSigstructSigned2Size> signed_bytes(const Sigstruct& sigstruct) {
  const auto all = std::bit_cast<std::array<std::uint8_t, sizeof(Sigstruct)>>(sigstruct);
  std::array<std::uint8_t, kSigstructSigned1 + kSigstructSigned2Size> out{};
  std::copy_n(all.begin(), kSigstructSigned1, out.begin());
  std::copy_n(all.begin() + kSigstructSigned2Start, kSigstructSigned2Size, out.begin() + kSigstructSigned1);
  return out;
}

// EMSA-PKCS1-v1_5 of a SHA-256 hash (RFC 8017, 9.2), as a big-endian number of 3072 bits.
std::array<std::uint8_t, kKeyBytes> encoded_message(const Hash& hash) {
  constexpr std::array<std::uint8_t, 19> kDigestInfo{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                                     0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
  std::array<std::uint8_t, kKeyBytes> out{};
  out.fill(0xff);
  out[0] = 0;
  out[1] = 1;
  const std::size_t info_at = kKeyBytes - hash.size() - kDigestInfo.size();
  out[info_at - 1] = 0;
  std::ranges::copy(kDigestInfo, out.begin() + static_cast<std::ptrdiff_t>(info_at));
  std::ranges::copy(hash, out.end() - static_cast<std::ptrdiff_t>(hash.size()));
  return out;
}

template <std::size_t n>
bool all_zero(const std::array<std::uint8_t, n>& bytes) {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

bool constants_right(const Sigstruct& s) {
  return s.header1 == kSigstructHeader1 && s.header2 == kSigstructHeader2 &&
         (s.vendor == kSigstructVendorOther || s.vendor == kSigstructVendorIntel) && s.exponent == 3 && all_zero(s.reserved1) &&
         all_zero(s.reserved2) && all_zero(s.reserved3) && all_zero(s.reserved4);
}

bool signature_right(const Sigstruct& sigstruct) {
  const auto s = from_little_endian(sigstruct.signature);
  const auto m = from_little_endian(sigstruct.modulus);
  const auto q1 = from_little_endian(sigstruct.q1);
  const auto q2 = from_little_endian(sigstruct.q2);
  if (!s || !m || !q1 || !q2 || BN_num_bits(m.get()) != kKeyBits || BN_is_odd(m.get()) != 1) return false;
  if (BN_cmp(s.get(), m.get()) >= 0) return false;
  Quotients expected;
  if (!compute_quotients(s.get(), m.get(), expected)) return false;
  if (BN_cmp(q1.get(), expected.q1.get()) != 0 || BN_cmp(q2.get(), expected.q2.get()) != 0) return false;
  const auto hash = sha256(signed_bytes(sigstruct));
  if (!hash) return false;
  std::array<std::uint8_t, kKeyBytes> decrypted{};
  if (BN_bn2binpad(expected.power.get(), decrypted.data(), kKeyBytes) != static_cast<int>(kKeyBytes)) return false;
  return decrypted == encoded_message(*hash);
}

// RSA-3072 with exponent 3, or what is wrong with it.
Result<> check_key(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") != 1) return fail("the signing key is not an RSA key");
  if (EVP_PKEY_get_bits(key) != kKeyBits) {
    return fail("the signing key has " + std::to_string(EVP_PKEY_get_bits(key)) + " bits, 3072 are needed");
  }
  const auto exponent = key_number(key, OSSL_PKEY_PARAM_RSA_E);
  if (!exponent || BN_is_word(exponent.get(), 3) != 1) {
    return fail("the signing key's public exponent is not 3 (make one with: openssl genrsa -3 3072)");
  }
  if (!key_number(key, OSSL_PKEY_PARAM_RSA_D)) return fail("the signing key has no private part");
  return {};
}

}  // namespace

void SigningKey::Free::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }

Result<SigningKey> SigningKey::generate() {
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  const Owned<BIGNUM> exponent(BN_new());
  EVP_PKEY* key = nullptr;
  if (!context || !exponent || BN_set_word(exponent.get(), 3) != 1 || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), kKeyBits) != 1 ||
      EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context.get(), exponent.get()) != 1 ||
      EVP_PKEY_keygen(context.get(), &key) != 1) {
    return std::unexpected(crypto_error("cannot generate a signing key"));
  }
  return SigningKey(key);
}

Result<SigningKey> SigningKey::from_pem(std::string_view pem) {
  if (pem.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) return fail("the signing key is too long");
  const Owned<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // An encrypted key must not ask on the terminal: an empty answer makes it an error.
  const auto no_password = [](char*, int, int, void*) { return 0; };
  EVP_PKEY* raw = bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr) : nullptr;
  if (raw == nullptr) return std::unexpected(crypto_error("not an unencrypted PEM private key"));
  SigningKey key(raw);
  if (auto checked = check_key(raw); !checked) return std::unexpected(checked.error());
  return key;
}

Result<SigningKey> SigningKey::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail("cannot read the signing key " + path);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  auto key = from_pem(text);
  std::ranges::fill(text, '\0');
  if (!key) return fail(path + ": " + key.error().message);
  return key;
}

Result<std::string> SigningKey::to_pem() const {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  if (!bio || PEM_write_bio_PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return std::unexpected(crypto_error("cannot write the signing key"));
  }
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Result<Hash> SigningKey::mrsigner() const {
  const auto modulus = key_number(key_.get(), OSSL_PKEY_PARAM_RSA_N);
  RsaNumber bytes{};
  if (!modulus || !to_little_endian(modulus.get(), bytes)) return std::unexpected(crypto_error("cannot read the modulus"));
  return sha256(bytes);
}

std::uint32_t bcd_date(std::uint64_t epoch) {
  // Years above 9999 have no BCD form: such an epoch is clamped.
  constexpr std::uint64_t kLastEpoch = 253'402'300'799;
  const std::chrono::sys_seconds time{std::chrono::seconds{std::min(epoch, kLastEpoch)}};
  const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(time)};
  const auto bcd = [](std::uint32_t value) {
    return (value / 1000 << 12) | (value / 100 % 10 << 8) | (value / 10 % 10 << 4) | (value % 10);
  };
  return (bcd(static_cast<std::uint32_t>(static_cast<int>(date.year()))) << 16) |
         (bcd(static_cast<unsigned>(date.month())) << 8) | bcd(static_cast<unsigned>(date.day()));
}

Result<Sigstruct> sign_sigstruct(const SigstructFields& fields, const SigningKey& key) {
  if (auto checked = check_key(key.get()); !checked) return std::unexpected(checked.error());
  Sigstruct out{};
  out.header1 = kSigstructHeader1;
  out.header2 = kSigstructHeader2;
  out.date = fields.date;
  out.swdefined = fields.swdefined;
  out.exponent = 3;
  out.miscselect = fields.miscselect;
  out.miscmask = fields.miscmask;
  out.isv_family_id = fields.isv_family_id;
  out.attributes = fields.attributes;
  out.attributes_mask = fields.attributes_mask;
  out.enclave_hash = fields.enclave_hash;
  out.isv_ext_prod_id = fields.isv_ext_prod_id;
  out.isv_prod_id = fields.isv_prod_id;
  out.isv_svn = fields.isv_svn;

  const auto message = signed_bytes(out);
  const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* padding = nullptr;  // owned by `context`
  std::array<std::uint8_t, kKeyBytes> signature{};
  std::size_t size = signature.size();
  if (!context || EVP_DigestSignInit(context.get(), &padding, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PADDING) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1 || size != signature.size()) {
    return std::unexpected(crypto_error("cannot sign the enclave"));
  }
  const Owned<BIGNUM> s(BN_bin2bn(signature.data(), static_cast<int>(signature.size()), nullptr));
  const auto m = key_number(key.get(), OSSL_PKEY_PARAM_RSA_N);
  Quotients quotients;
  if (!s || !m || !compute_quotients(s.get(), m.get(), quotients) || !to_little_endian(m.get(), out.modulus) ||
      !to_little_endian(s.get(), out.signature) || !to_little_endian(quotients.q1.get(), out.q1) ||
      !to_little_endian(quotients.q2.get(), out.q2)) {
    return std::unexpected(crypto_error("cannot sign the enclave"));
  }
  if (check_sigstruct(out) != SgxError::success) return fail("the new signature does not verify: the signing key is damaged");
  return out;
}

SgxError check_sigstruct(const Sigstruct& sigstruct) {
  if (!constants_right(sigstruct)) return SgxError::invalid_sig_struct;
  return signature_right(sigstruct) ? SgxError::success : SgxError::invalid_signature;
}

SgxError check_einit(const Sigstruct& sigstruct, const Attributes& secs_attributes, std::uint32_t secs_miscselect,
                     const Hash& mrenclave) {
  if (const SgxError error = check_sigstruct(sigstruct); error != SgxError::success) return error;
  const bool kss = (secs_attributes.flags & kAttrKss) != 0;
  if (!kss && !all_zero(sigstruct.isv_family_id)) return SgxError::invalid_sig_struct;
  if (sigstruct.enclave_hash != mrenclave) return SgxError::invalid_measurement;
  const Attributes& mask = sigstruct.attributes_mask;
  const bool attributes_right =
      (secs_attributes.flags & mask.flags) == (sigstruct.attributes.flags & mask.flags) &&
      (secs_attributes.xfrm & mask.xfrm) == (sigstruct.attributes.xfrm & mask.xfrm) &&
      (secs_miscselect & sigstruct.miscmask) == (sigstruct.miscselect & sigstruct.miscmask);
  return attributes_right ? SgxError::success : SgxError::invalid_attribute;
}

Result<Hash> mrsigner_of(const Sigstruct& sigstruct) { return sha256(sigstruct.modulus); }

}  // namespace sgx
