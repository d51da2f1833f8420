#include "sgx/sigstruct.h"

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <bit>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "tests/sgx/fixture.h"

namespace {

using sgx::SgxError;
using sgx::Sigstruct;

sgx::SigstructFields fields() {
  sgx::SigstructFields out;
  out.date = 0x20231114;
  out.attributes.flags = sgx::kAttrMode64 | sgx::kAttrDebug | sgx::kAttrKss;
  out.enclave_hash.fill(0x42);
  out.isv_prod_id = 0x1122;
  out.isv_svn = 9;
  out.isv_family_id.fill(5);
  out.isv_ext_prod_id.fill(6);
  return out;
}

const Sigstruct& good() {
  static const Sigstruct sigstruct = [] {
    auto made = sgx::sign_sigstruct(fields(), sgx_test::load_key("key.pem"));
    if (!made) throw std::runtime_error(made.error().message);
    return *made;
  }();
  return sigstruct;
}

sgx::Hash hash_of(std::uint8_t byte) {
  sgx::Hash hash;
  hash.fill(byte);
  return hash;
}

TEST(SigstructTest, SignedFieldsAreWhereTheManualSaysAndVerify) {
  const Sigstruct& s = good();
  EXPECT_EQ(sgx::check_sigstruct(s), SgxError::success);
  const auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof(Sigstruct)>>(s);
  EXPECT_EQ(bytes[0], 6);
  EXPECT_EQ(bytes[4], 0xe1);
  EXPECT_EQ(bytes[20], 0x14);  // the date, little endian
  EXPECT_EQ(bytes[23], 0x20);
  EXPECT_EQ(bytes[512], 3);
  EXPECT_EQ(bytes[900], 1);     // EXINFO
  EXPECT_EQ(bytes[912], 5);     // family id
  EXPECT_EQ(bytes[928], 0x86);  // MODE64 | DEBUG | KSS
  EXPECT_EQ(bytes[936], 3);     // XFRM
  EXPECT_EQ(bytes[960], 0x42);
  EXPECT_EQ(bytes[1008], 6);
  EXPECT_EQ(bytes[1024], 0x22);
  EXPECT_EQ(bytes[1026], 9);
}

TEST(SigstructTest, SigningIsDeterministic) {
  const auto again = sgx::sign_sigstruct(fields(), sgx_test::load_key("key.pem"));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(std::memcmp(&*again, &good(), sizeof(Sigstruct)), 0);
}

TEST(SigstructTest, EveryByteMatters) {
  auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof(Sigstruct)>>(good());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes.at(i) ^= static_cast<std::uint8_t>(1U << (i % 8));
    EXPECT_NE(sgx::check_sigstruct(std::bit_cast<Sigstruct>(bytes)), SgxError::success) << "byte " << i;
    bytes.at(i) ^= static_cast<std::uint8_t>(1U << (i % 8));
  }
}

TEST(SigstructTest, ConstantsGiveInvalidSigStruct) {
  const std::vector<std::function<void(Sigstruct&)>> changes{
      [](Sigstruct& s) { s.header1[6] = 1; },   [](Sigstruct& s) { s.vendor = 1; },
      [](Sigstruct& s) { s.header2[0] = 2; },   [](Sigstruct& s) { s.reserved1[83] = 1; },
      [](Sigstruct& s) { s.exponent = 65537; }, [](Sigstruct& s) { s.reserved2[0] = 1; },
      [](Sigstruct& s) { s.reserved3[15] = 1; }, [](Sigstruct& s) { s.reserved4[11] = 1; }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Sigstruct s = good();
    changes[i](s);
    EXPECT_EQ(sgx::check_sigstruct(s), SgxError::invalid_sig_struct) << i;
  }
}

TEST(SigstructTest, SignedAndHelperNumbersGiveInvalidSignature) {
  const std::vector<std::function<void(Sigstruct&)>> changes{
      [](Sigstruct& s) { s.date = 0x20240101; }, [](Sigstruct& s) { s.attributes.flags |= sgx::kAttrProvisionKey; },
      [](Sigstruct& s) { s.isv_svn = 10; },      [](Sigstruct& s) { s.q1[0] ^= 1; },
      [](Sigstruct& s) { s.q2[0] ^= 1; },        [](Sigstruct& s) { s.signature.fill(0xff); },
      [](Sigstruct& s) { s.modulus.fill(0); },   [](Sigstruct& s) { s.modulus[0] &= 0xfe; },
      [](Sigstruct& s) { s.modulus[383] = 0; }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Sigstruct s = good();
    changes[i](s);
    EXPECT_EQ(sgx::check_sigstruct(s), SgxError::invalid_signature) << i;
  }
}

TEST(SigstructTest, EinitChecks) {
  const sgx::Attributes right = good().attributes;
  EXPECT_EQ(sgx::check_einit(good(), right, 1, hash_of(0x42)), SgxError::success);
  EXPECT_EQ(sgx::check_einit(good(), right, 1, hash_of(0x43)), SgxError::invalid_measurement);
  EXPECT_EQ(sgx::check_einit(good(), right, 0, hash_of(0x42)), SgxError::invalid_attribute);
  for (const std::uint64_t bit : {sgx::kAttrDebug, sgx::kAttrMode64, sgx::kAttrProvisionKey, sgx::kAttrAexNotify}) {
    EXPECT_EQ(sgx::check_einit(good(), {right.flags ^ bit, right.xfrm}, 1, hash_of(0x42)), SgxError::invalid_attribute) << bit;
  }
  // Without KSS a family id is not allowed at all.
  EXPECT_EQ(sgx::check_einit(good(), {right.flags ^ sgx::kAttrKss, right.xfrm}, 1, hash_of(0x42)),
            SgxError::invalid_sig_struct);
  // Optional features are free, others are not.
  EXPECT_EQ(sgx::check_einit(good(), {right.flags, 0xe7}, 1, hash_of(0x42)), SgxError::success);
  EXPECT_EQ(sgx::check_einit(good(), {right.flags, 0x2e7}, 1, hash_of(0x42)), SgxError::success);
  EXPECT_EQ(sgx::check_einit(good(), {right.flags, 0x600e7}, 1, hash_of(0x42)), SgxError::invalid_attribute);
  EXPECT_EQ(sgx::check_einit(good(), {right.flags, 0x1}, 1, hash_of(0x42)), SgxError::invalid_attribute);
}

// Numbers of a SIGSTRUCT made by hand, for signatures that RSA accepts and the processor does not.
struct Numbers {
  BN_CTX* context = BN_CTX_new();
  BIGNUM* m = BN_new();
  BIGNUM* s = BN_new();
  BIGNUM* q1 = BN_new();
  BIGNUM* q2 = BN_new();
  BIGNUM* rest = BN_new();
  Numbers() = default;
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;
  ~Numbers() {
    for (BIGNUM* number : {m, s, q1, q2, rest}) BN_free(number);
    BN_CTX_free(context);
  }
  // Puts m, s and the q1 and q2 that follow from them into `out`; false if one has more than 3072 bits.
  bool store(Sigstruct& out) {
    BN_sqr(rest, s, context);
    BN_div(q1, rest, rest, m, context);
    BN_mul(rest, s, rest, context);
    BN_div(q2, rest, rest, m, context);
    return BN_bn2lebinpad(m, out.modulus.data(), 384) == 384 && BN_bn2lebinpad(s, out.signature.data(), 384) == 384 &&
           BN_bn2lebinpad(q1, out.q1.data(), 384) == 384 && BN_bn2lebinpad(q2, out.q2.data(), 384) == 384;
  }
};

TEST(SigstructTest, ASignatureAboveTheModulusIsRefused) {
  Numbers n;
  bool made = false;
  sgx::SigstructFields changed = fields();
  const auto key = sgx_test::load_key("key.pem");
  for (std::uint16_t svn = 0; svn < 200 && !made; ++svn) {  // s + m must fit into 3072 bits
    changed.isv_svn = svn;
    Sigstruct s = sgx::sign_sigstruct(changed, key).value();
    BN_lebin2bn(s.modulus.data(), 384, n.m);
    BN_lebin2bn(s.signature.data(), 384, n.s);
    ASSERT_TRUE(n.store(s));
    EXPECT_EQ(sgx::check_sigstruct(s), SgxError::success);
    BN_add(n.s, n.s, n.m);
    made = n.store(s);
    if (made) EXPECT_EQ(sgx::check_sigstruct(s), SgxError::invalid_signature);
  }
  EXPECT_TRUE(made);
}

TEST(SigstructTest, AShortModulusIsRefused) {
  // An RSA key of 3064 bits and the private operation on the padded message, which is a smaller number still.
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  BIGNUM* three = BN_new();
  BN_set_word(three, 3);
  EVP_PKEY* key = nullptr;
  EVP_PKEY_keygen_init(context);
  EVP_PKEY_CTX_set_rsa_keygen_bits(context, 3064);
  EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, three);
  ASSERT_EQ(EVP_PKEY_keygen(context, &key), 1);
  Numbers n;
  BIGNUM* d = nullptr;
  EVP_PKEY_get_bn_param(key, "n", &n.m);
  EVP_PKEY_get_bn_param(key, "d", &d);

  // s^3 mod m of the good signature is the padded message.
  Sigstruct s = good();
  Numbers full;
  BN_lebin2bn(s.modulus.data(), 384, full.m);
  BN_lebin2bn(s.signature.data(), 384, full.s);
  BIGNUM* message = BN_new();
  BN_mod_exp(message, full.s, three, full.m, full.context);
  BN_mod_exp(n.s, message, d, n.m, n.context);
  ASSERT_TRUE(n.store(s));
  EXPECT_EQ(sgx::check_sigstruct(s), SgxError::invalid_signature);
  for (BIGNUM* number : {three, d, message}) BN_free(number);
  EVP_PKEY_free(key);
  EVP_PKEY_CTX_free(context);
}

TEST(SigstructTest, MrsignerIsTheHashOfTheModulus) {
  const auto from_key = sgx_test::load_key("key.pem").mrsigner();
  const auto from_sigstruct = sgx::mrsigner_of(good());
  const auto other = sgx_test::load_key("other_key.pem").mrsigner();
  ASSERT_TRUE(from_key && from_sigstruct && other);
  EXPECT_EQ(*from_key, *from_sigstruct);
  EXPECT_NE(*from_key, *other);
}

TEST(SigstructTest, Date) {
  EXPECT_EQ(sgx::bcd_date(0), 0x19700101U);
  EXPECT_EQ(sgx::bcd_date(1'700'000'000), 0x20231114U);
  EXPECT_EQ(sgx::bcd_date(951'782'400), 0x20000229U);
  EXPECT_EQ(sgx::bcd_date(~std::uint64_t{0}), 0x99991231U);
}

TEST(SigningKeyTest, GenerateAndPemRoundTrip) {
  const auto key = sgx::SigningKey::generate();
  ASSERT_TRUE(key.has_value());
  const auto pem = key->to_pem();
  ASSERT_TRUE(pem.has_value());
  const auto again = sgx::SigningKey::from_pem(*pem);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(*key->mrsigner(), *again->mrsigner());
  EXPECT_TRUE(sgx::sign_sigstruct(fields(), *again).has_value());
}

std::string make_pem(const char* type, unsigned bits) {
  EVP_PKEY* key = bits != 0 ? EVP_PKEY_Q_keygen(nullptr, nullptr, type, static_cast<std::size_t>(bits))
                            : EVP_PKEY_Q_keygen(nullptr, nullptr, type);
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  EVP_PKEY_free(key);
  return out;
}

TEST(SigningKeyTest, WrongKeysAreRefused) {
  const auto refused = [](const std::string& pem) { return sgx_test::error_of(sgx::SigningKey::from_pem(pem)); };
  EXPECT_NE(refused("").find("not an unencrypted PEM private key"), std::string::npos);
  EXPECT_NE(refused("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").find("not an unencrypted"),
            std::string::npos);
  EXPECT_NE(refused(make_pem("RSA", 2048)).find("has 2048 bits"), std::string::npos);
  EXPECT_NE(refused(make_pem("RSA", 3072)).find("exponent is not 3"), std::string::npos);
  EXPECT_NE(refused(make_pem("ED25519", 0)).find("not an RSA key"), std::string::npos);
  const auto load_error = [](const std::string& path) { return sgx_test::error_of(sgx::SigningKey::load(path)); };
  EXPECT_EQ(load_error("/nonexistent/key.pem"), "cannot read the signing key /nonexistent/key.pem");
  const std::string elf = sgx_test::data_path("kernel.elf");
  EXPECT_EQ(load_error(elf).find(elf + ": not an unencrypted PEM private key"), 0U);
}

}  // namespace
